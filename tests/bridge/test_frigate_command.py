"""The documentation's command for Frigate, as printed, at a real Mosquitto and an HTTP server."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from stgal_stream.log.embedded import EmbeddedLog
from tests.support.detector_messages import Seen, frigate
from tests.support.http_server import Server
from tests.support.mosquitto import Mosquitto, Publisher
from tests.support.waiting import wait_for

ROOT = Path(__file__).resolve().parents[2]
BLOCK = re.compile(r"<!-- run: frigate -->\n```bash\n(.*?)```", re.DOTALL)
JPEG = b"\xff\xd8\xff\xe0 of Frigate"


@pytest.mark.parametrize("page", ["README.md", "docs/how-to/detectors.md"])
def test_the_command_as_printed(page: str, tmp_path: Path) -> None:
    (command,) = BLOCK.findall((ROOT / page).read_text())
    mosquitto, server = Mosquitto(tmp_path / "mosquitto"), Server()
    command = command.replace("mqtt://localhost", mosquitto.address)
    command = command.replace("http://localhost:5000", server.url)
    program, *arguments = shlex.split(command.replace("\\\n", " "))
    assert program == "stgal-stream"
    what = [sys.executable, "-m", "stgal_stream.cli", *arguments]
    bridge = subprocess.Popen(what, cwd=tmp_path, stderr=subprocess.PIPE)
    assert bridge.stderr is not None
    while b"connected" not in bridge.stderr.readline():
        assert bridge.poll() is None
    body = frigate(Seen())
    del body["after"]["thumbnail"]
    server.answers[f"/api/events/{body['after']['id']}/snapshot.jpg"] = (200, JPEG)
    publisher = Publisher(mosquitto)
    publisher.publish("frigate/events", json.dumps(body).encode())
    log = EmbeddedLog(tmp_path / "stgal-log")
    wait_for(lambda: [r.value for r in log.read("detections", 0, 0, 10)] == [JPEG])
    bridge.terminate()
    assert bridge.wait() == 0
    bridge.stderr.close()
    log.close()
    publisher.close()
    server.close()
    mosquitto.kill()
