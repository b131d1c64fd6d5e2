"""Operators' corrections through the log: exactly once, in order, the same in a replay."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from stgal_stream.log.port import Log, NewRecord
from stgal_stream.log.topics import topic_specs
from stgal_stream.settings import Config
from stgal_stream.streaming.operator_word import say
from stgal_stream.types import Detection, OperatorCorrection, Verdict
from stgal_stream.wire.embedding import EmbeddingRecord, encode
from tests.support.corrections import holds, said
from tests.support.places import TOPICS
from tests.support.streams import results, run_to_end, schema, values
from tests.support.walk import simulated_walk

SITE = "shop"


def embedded(detections: Sequence[Detection], config: Config) -> list[NewRecord]:
    """What the embed stage writes of detections."""
    bodies = [
        EmbeddingRecord(
            SITE, d.id, d.camera, d.time_s, d.extractor, d.embedding.tobytes(), d.track_id,
            None, None, None, 1.7e9,
        )
        for d in detections
    ]  # fmt: skip
    return [NewRecord(config.topics.embeddings, SITE.encode(), encode(body)) for body in bodies]


def tracks(detections: Sequence[Detection]) -> dict[int, list[list[str]]]:
    """Detections of each camera's track, by person."""
    found: dict[str, list[str]] = {}
    for d in detections:
        found.setdefault(d.track_id or "", []).append(d.id)
    people: dict[int, list[list[str]]] = {}
    for ids in found.values():
        people.setdefault(int(ids[0][1:].split("-")[0]), []).append(ids)
    return people


def words(detections: Sequence[Detection]) -> list[OperatorCorrection]:
    """Against the truth, so that the tracker would not come to them by itself: two people are
    one, and one is two."""
    whole = {p: ids for p, ids in tracks(detections).items() if len(ids) > 1}
    (one, other, third), ids = list(whole)[:3], whole
    return [
        said("glue", Verdict.SAME, ids[one][0][2:3], ids[other][1][:1]),
        said("part", Verdict.DIFFERENT, ids[third][0], ids[third][1]),
        said("lost", Verdict.SAME, ["nobody"], ids[third][1]),
    ]


def identities(log: Log, config: Config) -> dict[str, str]:
    """Whose each detection is, by the events alone."""
    whose: dict[str, str] = {}
    members: dict[str, list[str]] = {}
    for value in values(log, config.topics.identities):
        event = json.loads(value)
        if event["type"] == "ended":
            continue
        if "tracklet" in event:
            tracklet = event["tracklet"]
            members.setdefault(tracklet["id"], tracklet["detections"])
            whose[tracklet["id"]] = event["globalId"]
        else:
            moved = [name for name, identity in whose.items() if identity == event["from"]]
            whose |= dict.fromkeys(moved, event["to"])
    return {each: whose[name] for name, ids in members.items() for each in ids}


def test_words_are_obeyed_once_and_hold(log: Log, config: Config) -> None:
    walk = simulated_walk(3, n_people=30)
    first, corrections = walk[:250], words(walk[:200])
    config.associate = replace(config.associate, first_calibration=20)
    log.ensure_topics(topic_specs(config))
    log.append(embedded(first, config))
    for correction in corrections:
        say(log, config.topics, SITE, correction)
    say(log, config.topics, "elsewhere", corrections[0])
    log.append(embedded(walk[250:], config))
    run_to_end(log, config)
    told = [json.loads(value) for value in results(log, config)["corrections"]]
    for body in told:
        schema("correction.v1").validate(body)
    assert [(t["site"], t["correctionId"], "refused" in t) for t in told] == [
        (SITE, "glue", False),
        (SITE, "part", False),
        (SITE, "lost", True),
        ("elsewhere", "glue", True),
    ]
    whose = identities(log, config)
    assert all(holds(correction, whose) for correction in corrections[:2])
    events = [json.loads(value) for value in results(log, config)["identities"]]
    for event in events:
        schema("identity.v1").validate(event)
    assert {"glue"} <= {event.get("correctionId") for event in events} <= {"glue", "part", None}
    run_to_end(log, config)
    assert len(results(log, config)["corrections"]) == len(told)


def test_a_replay_obeys_the_same_words(log: Log, config: Config, tmp_path: Path) -> None:
    """The embeddings in one go, and with a restart around each word; once without snapshots."""
    walk = simulated_walk(4, n_people=30)
    config.associate = replace(config.associate, first_calibration=20)
    corrections = words(walk[:200])
    outcome: list[dict[str, Any]] = []
    for way in ("whole", "restarted", "forgotten"):
        here = replace(config, topics=replace(config.topics))
        for name in TOPICS:
            setattr(here.topics, name, f"{config.kafka.group_prefix}-{way}-{name}")
        here.kafka = replace(config.kafka, group_prefix=f"{config.kafka.group_prefix}-{way}")
        here.daemon = replace(config.daemon, state_dir=str(tmp_path / way))
        log.ensure_topics(topic_specs(here))
        log.append(embedded(walk[:250], here))
        for at, correction in enumerate(corrections):
            say(log, here.topics, SITE, correction)
            if way != "whole":
                run_to_end(log, here, "associate")
            if way == "forgotten" and at == 1:
                for path in (tmp_path / way).glob("*.snapshot"):
                    path.unlink()
        log.append(embedded(walk[250:], here))
        run_to_end(log, here, "associate")
        outcome.append({name.rsplit("-", 1)[-1]: v for name, v in results(log, here).items()})
    assert outcome[0]["corrections"]
    assert outcome[0] == outcome[1] == outcome[2]
