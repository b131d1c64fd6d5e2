"""Both stages on the embedded log: dead letters by reason, schemas, metrics, orderly stop."""

from __future__ import annotations

import base64
import json
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from stgal_stream.daemon import Daemon
from stgal_stream.log.embedded import EmbeddedLog
from stgal_stream.log.embedded_rows import table
from stgal_stream.log.embedded_subscription import EmbeddedSubscription
from stgal_stream.log.port import NewRecord, Partition, Record
from stgal_stream.log.topics import topic_specs
from stgal_stream.monitoring.metrics import Metrics
from stgal_stream.monitoring.server import MonitoringServer
from stgal_stream.settings import Config
from stgal_stream.wire.embedding import EmbeddingRecord, decode
from tests.support.images import bomb, plain_picture
from tests.support.streams import (
    embedded_upstream,
    publish,
    rendered,
    results,
    run_to_end,
    schema,
    values,
)
from tests.support.waiting import HANG_S
from tests.support.walk import simulated_walk


@pytest.fixture
def embedded(tmp_path: Path, config: Config) -> EmbeddedLog:
    log = EmbeddedLog(tmp_path / "log")
    log.ensure_topics(topic_specs(config))
    return log


def crop_record(data: bytes, **more: Any) -> bytes:
    body = {
        "id": "crop",
        "timestamp": "2025-01-01T00:00:01Z",
        "sensorId": "cam-0",
        "crop": {"mediaType": "image/png", "data": base64.b64encode(data).decode()},
    }
    return json.dumps(body | more).encode()


def test_every_unusable_record_becomes_a_dead_letter_and_stops_nothing(
    embedded: EmbeddedLog, config: Config
) -> None:
    good = simulated_walk(1, n_people=5)
    late = json.loads(embedded_upstream(good[0]))
    late |= {"id": "late", "timestamp": "2001-01-01T00:00:00Z"}
    foreign = json.loads(embedded_upstream(good[-1])) | {"id": "foreign"}
    foreign["embedding"]["model"] = "another"
    bad_box = {"bbox": {"leftX": 5, "topY": 5, "rightX": 1, "bottomY": 9}}
    records = [
        *map(embedded_upstream, good),
        b"nonsense",
        b"{}",
        crop_record(b"not a picture"),
        crop_record(plain_picture(0)),
        crop_record(bomb(60_000)),
        crop_record(b"", object=bad_box),
        crop_record(b"", object={"type": "dog"}),
        crop_record(b"", timestamp="2099-01-01T00:00:00Z"),
        crop_record(b"", timestamp="soon"),
        b" " * (config.input.max_record_bytes + 1),
        json.dumps(late).encode(),
        json.dumps(foreign).encode(),
        embedded_upstream(good[-1]),
        *rendered(n_people=2),
    ]
    publish(embedded, config, records)
    daemon = run_to_end(embedded, config)
    letters = [json.loads(v) for v in results(embedded, config)["dead_letters"]]
    validator = schema("dead-letter.v1")
    for letter in letters:
        validator.validate(letter)
        assert "crop" not in letter
        assert "vector" not in letter
    wanted = [
        "not_json", "schema", "bad_image", "bad_image", "image_too_large", "bad_box",
        "unknown_type", "future_timestamp", "bad_timestamp", "record_too_large", "late",
        "foreign_embedding", "duplicate_id",
    ]  # fmt: skip
    assert Counter(letter["reason"] for letter in letters) == Counter(wanted)
    for reason, n in Counter(wanted).items():
        sample = daemon.metrics.registry.get_sample_value(
            "stgal_dead_letters_total", {"reason": reason}
        )
        assert sample == n
    decided = {
        name
        for value in results(embedded, config)["identities"]
        if (event := json.loads(value))["type"] in ("created", "joined")
        for name in event["tracklet"]["detections"]
    }
    assert {d.id for d in good} <= decided
    assert embedded.bounds(config.topics.detections)[1] == len(records)


def test_foreign_records_among_the_embeddings_stop_nothing(
    embedded: EmbeddedLog, config: Config
) -> None:
    config.associate = replace(config.associate, max_sites=2, max_cameras=3)
    topic = config.topics.embeddings
    embedded.append([NewRecord(topic, b"x", b"rubbish"), NewRecord(topic, b"x", b"")])
    walk = simulated_walk(1, n_people=3)
    extra = replace(walk[-1], id="extra", camera="cam-9", time_s=walk[-1].time_s + 30)
    sent = [embedded_upstream(d, site) for site in ("a", "b", "c") for d in walk]
    publish(embedded, config, [*sent, embedded_upstream(extra, "a")])
    run_to_end(embedded, config)
    letters = [json.loads(v)["reason"] for v in results(embedded, config)["dead_letters"]]
    wanted = {"schema": 2, "too_many_sites": len(walk) + 1, "too_many_cameras": 1}
    assert Counter(letters) == wanted
    run_to_end(embedded, config)
    assert len(results(embedded, config)["dead_letters"]) == len(letters)


@pytest.mark.parametrize("setting", ["calibrated", "paper", "appearance"])
def test_outputs_are_what_their_schemas_say(
    embedded: EmbeddedLog, config: Config, setting: str
) -> None:
    config.associate = replace(config.associate, method=setting, window_s=300.0)
    walk = simulated_walk(2, 60, tracked=setting == "paper")  # it needs people seen together
    publish(embedded, config, [embedded_upstream(d) for d in walk])
    run_to_end(embedded, config)
    said = results(embedded, config)
    kinds: Counter[str] = Counter()
    ids = []
    for topic, name in (("identities", "identity.v1"), ("associations", "association.v1")):
        validator = schema(name)
        for value in said[topic]:
            event = json.loads(value)
            validator.validate(event)
            kinds[event["type"]] += 1
            ids.append(event["eventId"])
            if topic == "associations":
                for side in ("query", "gallery"):
                    at = event[side]["crop"]
                    record = embedded.read(at["topic"], at["partition"], at["offset"], 1)[0]
                    assert json.loads(record.value)["id"] in event["pairId"].split("~")
    learned = [json.loads(value) for value in said["calibrations"]]
    assert len(learned) > 1
    for told in learned:
        schema("calibration.v1").validate(told)
        ids.append(told["eventId"])
    assert learned[-1]["method"] == setting
    assert {e["evidence"]["travelTimeVersion"] for e in map(json.loads, said["associations"])} <= {
        told["travelTimeVersion"] for told in learned
    }
    assert len(set(ids)) == len(ids)
    assert {"created", "joined", "ended", "accepted", "withdrawn"} <= set(kinds)


def test_batches_and_polling_change_nothing(tmp_path: Path, config: Config) -> None:
    sent = [embedded_upstream(d) for d in simulated_walk(3, 40)] + rendered(n_people=3)
    outcome = []
    for batch in (1, 7, 64):
        log = EmbeddedLog(tmp_path / f"log-{batch}")
        config.embed.batch_size = batch
        config.daemon.state_dir = str(tmp_path / f"state-{batch}")
        publish(log, config, sent)
        run_to_end(log, config)
        outcome.append(results(log, config))
        log.close()
    assert outcome[0] == outcome[1] == outcome[2]


def test_a_second_run_over_the_end_adds_nothing(embedded: EmbeddedLog, config: Config) -> None:
    publish(embedded, config, [embedded_upstream(d) for d in simulated_walk(3, 20)])
    run_to_end(embedded, config)
    before = results(embedded, config)
    run_to_end(embedded, config)
    assert results(embedded, config) == before


def test_silence_lets_decisions_out(embedded: EmbeddedLog, config: Config) -> None:
    """Without another detection, ticks bring out what waits for event time."""
    config.embed.tick_after_s = 0.3
    config.associate = replace(config.associate, allowed_lateness_s=0.5, tracklet_gap_s=0.5)
    publish(embedded, config, [embedded_upstream(simulated_walk(1, 1)[0])])
    daemon = Daemon(embedded, config)
    runner = threading.Thread(target=daemon.run, kwargs={"serve": False})
    runner.start()
    deadline = time.monotonic() + HANG_S
    while not results(embedded, config)["identities"] and time.monotonic() < deadline:
        time.sleep(0.1)
    daemon.stop.set()
    runner.join()
    assert json.loads(results(embedded, config)["identities"][0])["type"] == "created"


def get(port: int, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=HANG_S) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_prometheus_reads_a_real_run(
    embedded: EmbeddedLog, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    ports: list[int] = []
    original = MonitoringServer.__init__

    def remember(self: MonitoringServer, *args: Any) -> None:
        original(self, *args)
        ports.append(self.port)

    monkeypatch.setattr(MonitoringServer, "__init__", remember)
    sent = [embedded_upstream(d) for d in simulated_walk(2, 60, tracked=False)]
    publish(embedded, config, sent + rendered(n_people=2) + [b"nonsense"])
    daemon = Daemon(embedded, config)
    runner = threading.Thread(target=daemon.run)
    runner.start()
    try:
        deadline = time.monotonic() + HANG_S
        while time.monotonic() < deadline:
            time.sleep(0.2)
            if ports and daemon.associate is not None and daemon.associate.caught_up:
                break
        assert daemon.associate is not None
        daemon.associate.save_snapshots()
        families = {f.name: f for f in text_string_to_metric_families(get(ports[0], "/metrics")[1])}
        assert get(ports[0], "/healthz") == (200, "ok\n")
        assert get(ports[0], "/readyz") == (200, "ok\n")
        assert get(ports[0], "/nothing")[0] == 404
    finally:
        daemon.stop.set()
        runner.join()

    def value(name: str, **labels: str) -> float:
        family = families[name.removesuffix("_total")]
        return sum(
            float(s.value)
            for s in family.samples
            if s.name == name and labels.items() <= s.labels.items()
        )

    assert value("stgal_detections_total") == embedded.bounds(config.topics.detections)[1]
    assert value("stgal_embeddings_total", source="upstream") == len(sent)
    assert value("stgal_dead_letters_total", reason="not_json") == 1
    accepted = [json.loads(v) for v in results(embedded, config)["associations"]]
    n_accepted = sum(a["type"] == "accepted" for a in accepted)
    assert value("stgal_associations_total") == n_accepted > 0
    assert families["stgal_accepted_probability"].samples
    assert value("stgal_identity_events_total", type="created") > 0
    assert value("stgal_identities_active") > 0
    assert value("stgal_window_tracklets") > 0
    assert 0 < value("stgal_association_ratio", site="upstream") <= 1
    assert value("stgal_extractor_info") == 1
    assert value("stgal_snapshot_age_seconds") >= 0
    for name in (
        "stgal_negative_conflict_ratio", "stgal_watermark_delay_seconds",
        "stgal_consumer_lag_records", "stgal_stage_latency_seconds", "stgal_batch_size",
        "stgal_alpha", "stgal_sigma", "stgal_linked_camera_pairs",
    ):  # fmt: skip
        assert families[name].samples, name


def test_the_lag_of_a_partition_that_went_elsewhere_is_no_longer_told() -> None:
    metrics = Metrics()
    metrics.note_lags("embed", {0: 100, 1: 7000})
    metrics.note_lags("associate", {1: 3})
    metrics.note_lags("embed", {0: 0})
    (family,) = (f for f in metrics.registry.collect() if f.name == "stgal_consumer_lag_records")
    found = {(s.labels["stage"], s.labels["partition"]): s.value for s in family.samples}
    assert found == {("embed", "0"): 0, ("associate", "1"): 3}


def test_logs_hold_no_personal_data(
    embedded: EmbeddedLog, config: Config, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    sent = rendered(n_people=2)
    publish(embedded, config, sent)
    run_to_end(embedded, config)
    assert json.loads(sent[0])["crop"]["data"][:40] not in caplog.text
    assert list(values(embedded, config.topics.identities))


@pytest.mark.fault
def test_a_partition_taken_away_in_the_middle_of_a_batch_is_neither_lost_nor_doubled(
    embedded: EmbeddedLog, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A rebalance gives a partition away and back inside one poll, as Kafka may: another epoch,
    and reading starts again at what the group has committed."""
    walk = simulated_walk(2, n_people=30)
    config.embed.batch_size = 8
    plain_poll = EmbeddedSubscription.poll
    polls: Counter[str] = Counter()
    epochs: Counter[str] = Counter()

    def poll(self: EmbeddedSubscription, most: int, timeout_s: float) -> list[Record]:
        polls[self._group] += 1
        if polls[self._group] % 5 == 3:
            epochs[self._group] += 1
            for partition in self.assignment():
                self.seek(partition, self.committed(partition) or 0)
        return plain_poll(self, min(most, 8), timeout_s)

    def assignment(self: EmbeddedSubscription) -> dict[Partition, int]:
        return {Partition(topic, 0): epochs[self._group] for topic in self._next}

    monkeypatch.setattr(EmbeddedSubscription, "poll", poll)
    monkeypatch.setattr(EmbeddedSubscription, "assignment", assignment)
    publish(embedded, config, [embedded_upstream(d) for d in walk])
    run_to_end(embedded, config)
    assert all(n > 5 for n in epochs.values()), epochs
    once = Counter(d.id for d in walk)
    records = map(decode, values(embedded, config.topics.embeddings))
    assert Counter(r.id for r in records if isinstance(r, EmbeddingRecord)) == once
    events = map(json.loads, values(embedded, config.topics.identities))
    said = [e["tracklet"]["detections"] for e in events if e["type"] in ("created", "joined")]
    assert Counter(name for names in said for name in names) == once


def damage(log: EmbeddedLog, topic: str, offset: int) -> None:
    """Makes a record another than was written."""
    db, at = log.connection(), offset << 16
    db.execute(f"UPDATE {table(db, topic)} SET value = CAST(value || 'x' AS BLOB) WHERE id = {at}")


@pytest.mark.fault
def test_damaged_records_are_dead_letters_and_nobody(config: Config, embedded: EmbeddedLog) -> None:
    """Bits flip on the disk between the stages: what was damaged is told and never tracked."""
    log = embedded
    config.input.max_future_s = float("inf")
    bodies = [
        {
            "id": f"d{n}", "sensorId": "c", "timestamp": 1.7e9 + n, "object": {"id": f"t{n}"},
            "embedding": {"vector": [1.0, n], "model": "m"},
        }
        for n in range(20)
    ]  # fmt: skip
    detections, embeddings = config.topics.detections, config.topics.embeddings
    log.append([NewRecord(detections, b"c", json.dumps(body).encode()) for body in bodies])
    damage(log, detections, 3)
    end = threading.Event()
    end.set()
    Daemon(log, config, "embed").run(end=end, serve=False)
    damage(log, embeddings, 5)
    Daemon(log, config, "associate").run(end=end, serve=False)
    letters = [json.loads(value) for value in values(log, config.topics.dead_letters)]
    places = {
        (letter["record"]["topic"], letter["record"]["offset"], letter["reason"])
        for letter in letters
    }
    assert places == {(detections, 3, "unreadable"), (embeddings, 5, "unreadable")}
    seen = {
        name
        for value in values(log, config.topics.identities)
        if "tracklet" in (event := json.loads(value))
        for name in event["tracklet"]["detections"]
    }
    assert len(seen) == 18
    log.close()
