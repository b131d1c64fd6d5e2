"""Webhooks and Frigate's HTTP interface, against a real HTTP server."""

from __future__ import annotations

import hashlib
import hmac
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from stgal_stream.bridge.frigate import FrigateEvents
from stgal_stream.bridge.mqtt_source import plain_record
from stgal_stream.bridge.outlet import carry_out
from stgal_stream.bridge.webhook import Webhook
from stgal_stream.errors import ConfigError, LogError
from stgal_stream.log.embedded import EmbeddedLog
from stgal_stream.log.port import NewRecord, Partition, Record, TopicSpec
from stgal_stream.settings import InputSettings
from stgal_stream.wire.detection import decode
from tests.support.detector_messages import Seen, frigate
from tests.support.http_server import Server
from tests.support.waiting import wait_for

JPEG = b"\xff\xd8\xff\xe0 of Frigate"


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.close()


def test_a_webhook_gets_all_events_signed_also_after_it_was_away(
    server: Server, tmp_path: Path
) -> None:
    log = EmbeddedLog(tmp_path / "log")
    log.ensure_topics([TopicSpec("i", 1, 1e9)])
    events = [json.dumps({"n": n}).encode() for n in range(150)]
    log.append([NewRecord("i", None, value) for value in events])
    server.codes = [503, 429]
    stop = threading.Event()
    outlet = Webhook(server.url, b"hush")
    thread = threading.Thread(target=carry_out, args=(log, "i", "g", outlet, stop))
    thread.start()
    wait_for(lambda: sum(len(json.loads(body)) for _, body in server.posts) >= 150)
    stop.set()
    thread.join()
    log.close()
    assert [e["n"] for _, body in server.posts for e in json.loads(body)] == list(range(150))
    headers, body = server.posts[0]
    stamp, digest = (part.split("=")[1] for part in headers["Stgal-Signature"].split(","))
    expected = hmac.new(b"hush", f"{stamp}.".encode() + body, hashlib.sha256).hexdigest()
    assert digest == expected


def test_what_a_receiver_refuses_for_good_does_not_hold_up_the_rest(server: Server) -> None:
    outlet = Webhook(server.url, b"")
    server.codes = [400]
    outlet.send([b"{}", b"{}"])
    outlet.send([b'{"a": 1}'])
    assert outlet.n_refused == 2
    assert [body for _, body in server.posts] == [b'[{"a": 1}]']
    assert "Stgal-Signature" not in server.posts[0][0]
    with pytest.raises(LogError, match="cannot be reached"):
        Webhook("http://127.0.0.1:1", b"").send([b"{}"])
    with pytest.raises(ConfigError):
        Webhook("file:///etc/passwd", b"")


def _events(seen: Seen) -> tuple[bytes, str]:
    body = frigate(seen)
    del body["after"]["thumbnail"]
    return json.dumps(body).encode(), body["after"]["id"]


def test_frigates_events_get_their_pictures(server: Server) -> None:
    payload, name = _events(Seen())
    server.answers[f"/api/events/{name}/snapshot.jpg"] = (200, JPEG)
    made = FrigateEvents(server.url + "/", "d", InputSettings(), plain_record("d"))
    record = made("frigate/events", payload)
    assert record is not None
    assert "bbox=0" in server.asked[0]
    read = Record(Partition("d", 0), 0, record.key, record.value, record.headers, 1.8e9)
    (message,) = decode(read, InputSettings()).messages
    assert (message.camera, message.crop, message.track_id) == ("gate", JPEG, name)
    assert message.time_s == pytest.approx(Seen().time_s)
    assert message.confidence == Seen().score
    assert message.box is not None
    assert message.box.bottom_px == 420
    assert made("frigate/events", payload) is None  # the picture is the same as before


def test_a_picture_that_cannot_be_had_is_told_by_the_daemon(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    payload, name = _events(Seen())
    made = FrigateEvents(server.url, "d", InputSettings(), plain_record("d"))
    record = made("frigate/events", payload)
    assert record is not None
    assert record.value == payload
    assert "no picture" in caplog.text
    # The small picture stands in after the event's end.
    server.answers[f"/api/events/{name}/thumbnail.jpg"] = (200, JPEG)
    again = made("frigate/events", payload)
    assert again is not None
    assert again.value == JPEG


def test_other_messages_go_on_as_they_are(server: Server) -> None:
    made = FrigateEvents(server.url, "d", InputSettings(), plain_record("d"))
    record = made("frigate/available", b"online")
    assert record is not None
    assert record.value == b"online"
    false = json.loads(_events(Seen())[0])
    false["after"]["false_positive"] = True
    assert made("frigate/events", json.dumps(false).encode()) is None
    assert server.asked == []


def test_no_picture_is_fetched_of_what_is_no_person(server: Server) -> None:
    made = FrigateEvents(server.url, "d", InputSettings(), plain_record("d"))
    assert made("frigate/events", _events(Seen(kind="car"))[0]) is None
    assert server.asked == []
