"""MQTT in and out through a real Mosquitto: nothing is lost, and refusals are told."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from stgal_stream.bridge.mqtt import Address, Certificates, Connection
from stgal_stream.bridge.mqtt_outlet import MqttOutlet
from stgal_stream.bridge.mqtt_source import MqttSource, plain_record
from stgal_stream.bridge.outlet import carry_out
from stgal_stream.errors import ConfigError, LogError
from stgal_stream.log.embedded import EmbeddedLog
from stgal_stream.log.port import Log, NewRecord, TopicSpec
from stgal_stream.settings import InputSettings
from stgal_stream.wire.detection import decode
from tests.support.detector_messages import Seen, axis_frame, scenescape
from tests.support.mosquitto import Mosquitto, Publisher
from tests.support.waiting import wait_for

NO_FILES = Certificates()


@pytest.fixture
def mosquitto(tmp_path: Path) -> Iterator[Mosquitto]:
    made = Mosquitto(tmp_path / "mosquitto")
    yield made
    made.kill()


class Running:
    """A bridge in a thread, and what ended it."""

    def __init__(self, log: Log, address: str, topics: list[str], topic: str = "d") -> None:
        self.stop = threading.Event()
        self.failure: Exception | None = None
        self.source = MqttSource(
            log, Address.parse(address), topics, "bridge", NO_FILES, plain_record(topic)
        )
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        try:
            self.source.run(self.stop, lambda counts: None)
        except (ConfigError, LogError) as error:
            self.failure = error

    def close(self) -> None:
        self.stop.set()
        self._thread.join(30)
        assert not self._thread.is_alive()


@pytest.fixture
def here(tmp_path: Path) -> Iterator[EmbeddedLog]:
    log = EmbeddedLog(tmp_path / "log")
    log.ensure_topics([TopicSpec("d", 1, 1e9), TopicSpec("i", 1, 1e9)])
    yield log
    log.close()


def values(log: Log, topic: str = "d") -> list[bytes]:
    return [record.value for record in log.read(topic, 0, 0, 100_000)]


def test_detectors_messages_become_detections(mosquitto: Mosquitto, here: EmbeddedLog) -> None:
    bridge = Running(here, mosquitto.address, ["axis/#", "scenescape/data/camera/+"])
    publisher = Publisher(mosquitto)
    wait_for(lambda: bridge.source.is_connected)
    publisher.publish("axis/ACCC8E01/frame", json.dumps(axis_frame(Seen())).encode())
    publisher.publish("scenescape/data/camera/gate", json.dumps(scenescape(Seen())).encode())
    publisher.publish("elsewhere", b"{}")
    wait_for(lambda: len(values(here)) == 2)
    bridge.close()
    publisher.close()
    records = here.read("d", 0, 0, 10)
    inputs = InputSettings(max_future_s=float("inf"))
    cameras = [decode(record, inputs).messages[0].camera for record in records]
    assert cameras == ["ACCC8E01", "gate"]
    assert [record.key for record in records] == [
        b"axis/ACCC8E01/frame", b"scenescape/data/camera/gate",
    ]  # fmt: skip


def test_what_is_kept_for_newcomers_is_left_out(mosquitto: Mosquitto, here: EmbeddedLog) -> None:
    publisher = Publisher(mosquitto)
    publisher.publish("a/old", b"of yesterday", retain=True)
    bridge = Running(here, mosquitto.address, ["a/#"])
    wait_for(lambda: bridge.source.counts.left_out == 1)
    publisher.publish("a/new", b"of today")
    wait_for(lambda: values(here) == [b"of today"])
    bridge.close()
    publisher.close()


class Stumbling:
    """A log that fails at times, after or before it has written nothing."""

    def __init__(self, log: EmbeddedLog) -> None:
        self._log = log
        self.n_failures = 0

    def append(self, records: list[NewRecord]) -> None:
        if self.n_failures < 3:
            self.n_failures += 1
            raise LogError("no room")
        self._log.append(records)


def test_a_log_that_is_away_loses_nothing(mosquitto: Mosquitto, here: EmbeddedLog) -> None:
    stumbling = Stumbling(here)
    bridge = Running(stumbling, mosquitto.address, ["a"])  # type: ignore[arg-type]
    wait_for(lambda: bridge.source.is_connected)
    publisher = Publisher(mosquitto)
    for number in range(50):
        publisher.publish("a", b"%d" % number)
    wait_for(lambda: len(values(here)) == 50)
    assert stumbling.n_failures == 3
    assert values(here) == [b"%d" % number for number in range(50)]
    bridge.close()
    publisher.close()


@pytest.mark.fault
def test_nothing_is_lost_while_either_side_is_away(mosquitto: Mosquitto, here: EmbeddedLog) -> None:
    """The bridge stops without a word, and the broker is killed: what was published meanwhile comes
    later. A message may come twice, never not at all."""
    bridge = Running(here, mosquitto.address, ["a"])
    wait_for(lambda: bridge.source.is_connected)
    bridge.close()
    publisher = Publisher(mosquitto)
    for number in range(30):
        publisher.publish("a", b"%d" % number)
    bridge = Running(here, mosquitto.address, ["a"])
    wait_for(lambda: len(set(values(here))) == 30)
    publisher.close()
    mosquitto.stop()
    mosquitto.start()
    publisher = Publisher(mosquitto)
    for number in range(30, 60):
        publisher.publish("a", b"%d" % number)
    wait_for(lambda: len(set(values(here))) == 60)
    bridge.close()
    publisher.close()


@pytest.mark.fault
def test_a_bridge_that_is_killed_has_lost_nothing(mosquitto: Mosquitto, tmp_path: Path) -> None:
    """SIGKILL between the log's append and the acknowledgement, at any moment."""
    what = (
        sys.executable, "-m", "stgal_stream.cli", "bridge", "mqtt", "--from", mosquitto.address,
        "--topic", "a", "--embedded", str(tmp_path / "log"), "--client-id", "b",
    )  # fmt: skip
    log = EmbeddedLog(tmp_path / "log")

    def seen() -> set[bytes]:
        return set(values(log, "detections"))

    publisher, sent = Publisher(mosquitto), 0

    def started() -> subprocess.Popen[bytes]:
        process = subprocess.Popen(what, stderr=subprocess.PIPE)
        assert process.stderr is not None
        while b"connected" not in process.stderr.readline():
            assert process.poll() is None
        process.stderr.close()
        return process

    for _ in range(3):
        process = started()
        for _ in range(40):
            publisher.publish("a", b"%d" % sent)
            sent += 1
        process.kill()
        process.wait()
    process = started()
    wait_for(lambda: len(seen()) == sent)
    process.terminate()
    assert process.wait() == 0
    log.close()
    publisher.close()


def certificate(folder: Path) -> None:
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj",
         "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost",
         "-keyout", folder / "key.pem", "-out", folder / "cert.pem"],
        check=True, capture_output=True,
    )  # fmt: skip


# paho leaves the socket of a handshake that failed to the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_tls_and_users(tmp_path: Path) -> None:
    certificate(tmp_path)
    passwords = shutil.which("mosquitto_passwd", path="/usr/bin:/usr/local/bin")
    assert passwords is not None
    subprocess.run([passwords, "-b", "-c", tmp_path / "users", "me", "secret"], check=True)
    (tmp_path / "users").chmod(0o600)
    (tmp_path / "rights").write_text("user me\ntopic read allowed\ntopic write #\n")
    for path in tmp_path.iterdir():
        path.chmod(0o644)
    tmp_path.chmod(0o755)
    broker = Mosquitto(
        tmp_path / "mosquitto",
        f"allow_anonymous false\npassword_file {tmp_path}/users\n"
        f"acl_file {tmp_path}/rights\n"
        f"cafile {tmp_path}/cert.pem\ncertfile {tmp_path}/cert.pem\nkeyfile {tmp_path}/key.pem\n",
    )
    try:
        _check_tls(broker, Certificates(ca=tmp_path / "cert.pem"))
    finally:
        broker.kill()


def _check_tls(broker: Mosquitto, certificates: Certificates) -> None:
    def connect(user: str, files: Certificates) -> None:
        address = Address.parse(f"mqtts://{user}127.0.0.1:{broker.port}")
        assert "secret" not in f"{address!r} {address}"
        connection = Connection(address, "x", files, ["allowed"], lambda message: None)
        connection.open()
        connection.close()

    connect("me:secret@", certificates)
    with pytest.raises(ConfigError, match="refuses us"):
        connect("me:wrong@", certificates)
    with pytest.raises(ConfigError, match="refuses us"):
        connect("", certificates)
    with pytest.raises(LogError, match="cannot be reached"):
        connect("me:secret@", NO_FILES)  # an authority that nobody knows


@pytest.mark.parametrize(
    "text",
    ["brokr", "http://broker", "mqtt://", "mqtt://h:99999", "mqtt://h/topic", "mqtt://:x@h"],
)
def test_what_is_no_address_is_refused_without_being_shown(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Address.parse(text)
    assert text not in str(caught.value)


def test_nobody_answers() -> None:
    connection = Connection(Address.parse("mqtt://127.0.0.1:1"), "x", NO_FILES)
    with pytest.raises(LogError, match="cannot be reached"):
        connection.open()


# --- out -------------------------------------------------------------------------------------


def event(number: int, camera: str = "gate", kind: str = "created") -> bytes:
    seen = {"id": f"d{number}", "sensorId": camera, "start": "2025-01-01T00:00:00Z"}
    return json.dumps(
        {
            "eventId": f"{number}", "type": kind, "site": "my/site", "globalId": f"{number:016x}",
            "tracklet": {**seen, "end": "2025-01-01T00:00:05Z"},
        }
    ).encode()  # fmt: skip


class Heard:
    """What a subscriber hears."""

    def __init__(self, broker: Mosquitto) -> None:
        self.messages: list[tuple[str, bytes]] = []
        ready = threading.Event()
        self.client = paho.Client(CallbackAPIVersion.VERSION2)
        self.client.on_message = lambda c, d, m: self.messages.append((m.topic, bytes(m.payload)))
        self.client.on_subscribe = lambda *_: ready.set()
        self.client.connect("127.0.0.1", broker.port)
        self.client.subscribe("#", 1)
        self.client.loop_start()
        assert ready.wait(20)

    def of(self, end: str) -> list[bytes]:
        return [payload for topic, payload in self.messages if topic.endswith(end)]

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


def test_identity_events_go_out_once_and_on_from_there(
    mosquitto: Mosquitto, here: EmbeddedLog
) -> None:
    heard = Heard(mosquitto)
    events = [event(n, "gate" if n % 2 else "ha/ll") for n in range(300)]
    here.append([NewRecord("i", None, value) for value in events[:200]])

    def carried(n: Callable[[], bool]) -> None:
        connection = Connection(Address.parse(mosquitto.address), "out", NO_FILES)
        connection.open()
        stop = threading.Event()
        outlet = MqttOutlet(connection, "stgal", "homeassistant")
        thread = threading.Thread(target=carry_out, args=(here, "i", "g", outlet, stop))
        thread.start()
        wait_for(n)
        stop.set()
        thread.join(30)
        connection.close()

    carried(lambda: len(heard.of("/events")) == 200)
    here.append([NewRecord("i", None, value) for value in events[200:]])
    carried(lambda: len(heard.of("/events")) == 300)
    heard.close()
    assert heard.of("stgal/my_site/events") == events
    seen = [json.loads(payload) for payload in heard.of("stgal/my_site/cameras/ha_ll")]
    assert [each["globalId"] for each in seen] == [f"{n:016x}" for n in range(0, 300, 2)]
    (config,) = {json.loads(c)["state_topic"] for c in heard.of("stgal_my_site_gate/config")}
    assert config == "stgal/my_site/cameras/gate"
