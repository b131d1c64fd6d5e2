"""The read model follows from the log, whatever happens meanwhile."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stgal_stream.log.embedded import EmbeddedLog
from stgal_stream.log.port import Log, NewRecord
from stgal_stream.log.topics import topic_specs
from stgal_stream.settings import Config
from stgal_stream.types import IdentityEvent, Tracklet
from stgal_stream.web.follower import Follower
from stgal_stream.web.questions import Questions
from stgal_stream.web.read_model import ReadModel
from stgal_stream.wire.embedding import EmbeddingRecord, as_vector, decode, encode
from stgal_stream.wire.events import encode_identity
from tests.support.identity_events import told_of_a_person
from tests.support.read_model import follow
from tests.support.streams import embedded_upstream, publish, results, run_to_end
from tests.support.waiting import wait_for
from tests.support.walk import simulated_walk
from tests.web.conftest import SITE, Seen, Web

_SEEN = EmbeddingRecord("s", "d", "c", 1.0, "m", b"\0" * 8, None, None, None, None, 1.0)


def dump(model: ReadModel) -> dict[str, list[Any]]:
    """All rows but how they are numbered."""
    tables = {
        "sighting": "site, id, camera, start_s, end_s, identity, detections, crop_offset",
        "identity": "site, id, first_s, last_s, sightings, ended_s, merged_into",
        "event": "site, at_s, kind, identity, from_id, sighting, evidence",
        "pair": "site, id, camera_a, camera_b, travel_s, p_visual, p_travel, p_association",
        "calibration": "site, at_s, body",
        "past_median": "site, camera_a, camera_b, at_s, associations, median_s",
        "camera": "site, name, last_s, detections",
        "refusal": "site, camera, reason, n",
    }
    return {
        name: sorted(map(tuple, model.select(f"SELECT {columns} FROM {name}")), key=repr)
        for name, columns in tables.items()
    }


def who_is_who(events: list[dict[str, Any]]) -> dict[str, str]:
    """Sighting -> identity by the identity events alone, as a reader of the topic does it."""
    found: dict[str, str] = {}
    for event in events:
        tracklet = event.get("tracklet")
        if event["type"] == "renamed":
            moved = found if tracklet is None else [tracklet["id"]]
            for one in list(moved):
                if tracklet is not None or found[one] == event["from"]:
                    found[one] = event["globalId"]
        elif tracklet is not None:
            found[tracklet["id"]] = event["globalId"]
    return found


def test_sightings_and_identities_are_those_of_the_events(seen: Seen, web: Web) -> None:
    said = results_of(seen)
    wanted = who_is_who(said["identities"])
    rows = web.model.select("SELECT id, identity FROM sighting")
    assert {row["id"]: row["identity"] for row in rows} == wanted
    assert len(wanted) > 30
    counts = web.model.select("SELECT id, sightings FROM identity WHERE sightings > 0")
    assert sum(row["sightings"] for row in counts) == len(wanted)
    assert {row["id"] for row in counts} == set(wanted.values())
    accepted: set[str] = set()
    for event in said["associations"]:
        (accepted.add if event["type"] == "accepted" else accepted.discard)(event["pairId"])
    assert {row["id"] for row in web.model.select("SELECT id FROM pair")} == accepted
    learned = [row["body"] for row in web.model.select("SELECT body FROM calibration")]
    assert [json.loads(body) for body in learned] == said["calibrations"]


def results_of(seen: Seen) -> dict[str, list[dict[str, Any]]]:
    topics = seen.config.topics
    names = ("identities", "associations", "calibrations")
    return {
        name: [json.loads(r.value) for r in seen.log.read(getattr(topics, name), 0, 0, 100_000)]
        for name in names
    }


def test_a_sighting_has_the_mean_of_its_detections(seen: Seen, web: Web) -> None:
    vectors = {}
    for record in seen.log.read(seen.config.topics.embeddings, 0, 0, 100_000):
        content = decode(record.value)
        if isinstance(content, EmbeddingRecord):
            vectors[content.id] = (as_vector(content).astype(np.float64), content.weight)
    told = {}
    for event in results_of(seen)["identities"]:
        if event["type"] in ("created", "joined"):
            told[event["tracklet"]["id"]] = event["tracklet"]["detections"]
    assert web.follower.vectors is not None
    rows = web.model.select("SELECT id, extractor, slot FROM sighting")
    assert all(row["slot"] is not None for row in rows)
    for row in rows:
        mine = [vectors[one] for one in told[row["id"]]]
        weights = np.array([weight for _, weight in mine])
        mean = np.average([vector for vector, _ in mine], axis=0, weights=weights)
        found = web.follower.vectors.file(row["extractor"]).vector(row["slot"])
        assert found == pytest.approx(mean, abs=1e-6)


def test_read_in_parts_it_is_as_read_at_once(
    log: Log, config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And stopped, and gone on with, while the daemon writes; on both logs."""
    monkeypatch.setattr("stgal_stream.web.follower._BATCH", 37)
    sent = [embedded_upstream(d) for d in simulated_walk(3, 30)]
    log.ensure_topics(topic_specs(config))
    for part in (sent[:200], sent[200:201], sent[201:]):
        publish(log, config, part)
        run_to_end(log, config)
        parts = follow(log, config, tmp_path / "parts")
    monkeypatch.undo()
    whole = follow(log, config, tmp_path / "whole")
    assert dump(parts) == dump(whole)
    assert len(dump(whole)["sighting"]) > 60


def test_a_fault_in_the_middle_leaves_nothing_half(
    seen: Seen, web: Web, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows and positions are one transaction."""
    from stgal_stream.errors import LogError
    from stgal_stream.web.rows import Writer

    right, n = Writer.settle, 0

    def fails(self: Writer) -> None:
        nonlocal n
        n += 1
        if n in (1, 3):
            raise LogError("broken")
        right(self)

    monkeypatch.setattr(Writer, "settle", fails)
    monkeypatch.setattr("stgal_stream.web.follower._AGAIN_S", 0.01)
    monkeypatch.setattr("stgal_stream.web.follower._BATCH", 50)
    assert dump(follow(seen.log, seen.config, tmp_path)) == dump(web.model)
    assert n > 4


def test_an_idle_log_is_asked_for_its_ends_alone(
    seen: Seen, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A broker may have many partitions: where nothing has grown none is read."""
    asked = []
    for name in ("ends", "read", "partitions"):
        right = getattr(EmbeddedLog, name)

        def counted(self: EmbeddedLog, *args: Any, right: Any = right, name: str = name) -> Any:
            asked.append(name)
            return right(self, *args)

        monkeypatch.setattr(EmbeddedLog, name, counted)
    model = ReadModel(tmp_path, seen.log.identity)
    follower = Follower(seen.log, seen.config.topics, model, lambda: None)
    stop = threading.Event()
    thread = threading.Thread(target=follower.run, args=(stop,))
    thread.start()
    wait_for(lambda: asked[-3:] == ["ends"] * 3 or not thread.is_alive(), "idleness")
    stop.set()
    thread.join()
    assert asked.count("partitions") == 6
    assert dump(model)["sighting"]


def test_what_is_no_event_is_left_out(tmp_path: Path, config: Config) -> None:
    log = EmbeddedLog(tmp_path / "log")
    log.ensure_topics(topic_specs(config))
    topics = config.topics
    junk = [b"{", b"[]", b'{"type": "created"}', b'{"site": 3}', b"\xff", b"null"]
    for topic in (topics.identities, topics.associations, topics.calibrations, topics.embeddings):
        log.append([NewRecord(topic, b"k", value) for value in junk])
    model = follow(log, config, tmp_path / "web")
    assert model.select("SELECT * FROM sighting") == []
    letter = b'{"reason": "of_another_version", "detail": "", "site": "s"}'
    log.append([NewRecord(topics.dead_letters, b"k", letter)])
    log.append([NewRecord(topics.embeddings, b"k", encode(_SEEN))])
    model = follow(log, config, tmp_path / "web")
    (warning,) = Questions(model).site("s", True, None).warnings
    assert warning == "1 not used (of_another_version)."
    log.close()


def test_what_never_moves_is_nobody(config: Config, tmp_path: Path) -> None:
    """A static identity is marked and is not among the people who are there; until an operator
    says that it is a person."""
    log = EmbeddedLog(tmp_path / "log")
    log.ensure_topics(topic_specs(config))
    seen = Tracklet(0, "c", 1.0, 2.0, np.zeros(2, np.float32), "m", ("d",))
    founded = IdentityEvent("created", 3.0, "a" * 16, tracklet=seen)
    still = IdentityEvent("static", 4.0, "a" * 16, tracklet=seen)
    word = IdentityEvent("renamed", 5.0, "a" * 16, "b" * 16, operator_correction="w")
    log.append([NewRecord(config.topics.embeddings, b"k", encode(_SEEN))])
    for event, n_people in ((founded, 1), (still, 0), (word, 1)):
        log.append([NewRecord(config.topics.identities, b"k", encode_identity("s", event))])
        model = follow(log, config, tmp_path / "web")
        questions = Questions(model)
        assert questions.site("s", True, None).people_now == n_people
        assert questions.identity("s", "a" * 16).identity.is_static is (n_people == 0)
        assert model.select("SELECT count(*) AS n FROM sighting")[0]["n"] == 1
    log.close()


def test_what_the_log_forgets_is_forgotten(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Vectors and places of crops with what is personal, the rest with the results."""
    log = EmbeddedLog(tmp_path / "log")
    publish(log, config, [embedded_upstream(d) for d in simulated_walk(3, 12)])
    run_to_end(log, config)
    said = results(log, config)
    assert said["identities"]
    model = follow(log, config, tmp_path / "web")
    row = model.select("SELECT extractor, slot FROM sighting")[0]
    files = list((tmp_path / "web").glob("vectors-*"))
    assert len(files) == 2
    assert all(any(path.read_bytes()) for path in files)
    assert row["slot"] is not None
    now = time.time()
    monkeypatch.setattr("time.time", lambda: now + config.topics.retention_personal_s + 60)
    model = follow(log, config, tmp_path / "web")
    assert not any(any(path.read_bytes()) for path in files)
    rows = model.select("SELECT slot, crop_topic, identity FROM sighting")
    assert rows
    assert all(r["slot"] is None and r["crop_topic"] is None and r["identity"] for r in rows)
    monkeypatch.setattr("time.time", lambda: now + config.topics.retention_results_s + 60)
    model = follow(log, config, tmp_path / "web")
    assert not any(dump(model).values())
    log.close()


def test_of_another_log_or_version_it_is_built_again(
    seen: Seen, tmp_path: Path, config: Config
) -> None:
    other = EmbeddedLog(tmp_path / "log")
    other.ensure_topics(topic_specs(config))
    follow(seen.log, seen.config, tmp_path / "web")
    model = follow(other, config, tmp_path / "web")
    assert Questions(model).sites() == []
    again = follow(seen.log, seen.config, tmp_path / "web")
    assert [site.site for site in Questions(again).sites()] == [SITE]
    (tmp_path / "web" / "site.db").write_bytes(b"no database at all" * 100)
    again = follow(seen.log, seen.config, tmp_path / "web")
    assert [site.site for site in Questions(again).sites()] == [SITE]
    other.close()


def test_what_is_said_again_changes_nothing(tmp_path: Path, config: Config) -> None:
    """As after an erasure on Kafka."""
    log = EmbeddedLog(tmp_path / "log")
    log.ensure_topics(topic_specs(config))
    told = told_of_a_person("s")
    log.append([NewRecord(config.topics.identities, b"s", value) for value in told])
    before = dump(follow(log, config, tmp_path / "web"))
    assert len(before["sighting"]) == 5
    again = [v for v in told if b"a-stranger" in v or b"2222" in v]
    log.append([NewRecord(config.topics.identities, b"s", value) for value in again])
    assert dump(follow(log, config, tmp_path / "web")) == before


def test_after_an_erasure_it_is_built_anew(tmp_path: Path, config: Config) -> None:
    """Who was erased while no page ran is in no topic any more, not even that they were."""
    log = EmbeddedLog(tmp_path / "log")
    log.ensure_topics(topic_specs(config))
    told = told_of_a_person("s")[:-1]
    topic = config.topics.identities
    log.append([NewRecord(topic, b"s", value) for value in told])
    model = follow(log, config, tmp_path / "web")
    assert model.select("SELECT 1 FROM sighting WHERE id = 'person-1'")
    log.replace(topic, {n: None for n, value in enumerate(told) if b"person" in value})
    model = follow(log, config, tmp_path / "web")
    assert model.select("SELECT 1 FROM sighting WHERE id = 'person-1'")
    log.append([NewRecord(config.topics.erasures, b"s", b"{}")])
    model = follow(log, config, tmp_path / "web")
    assert not model.select("SELECT 1 FROM sighting WHERE id = 'person-1'")
    assert model.select("SELECT 1 FROM sighting WHERE id = 'a-stranger'")
