"""A real Mosquitto on loopback, with TLS and users where a test wants them."""

from __future__ import annotations

import os
import socket
import subprocess
from pathlib import Path

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from tests.support.programs import free_port, program
from tests.support.waiting import wait_for

# As root it gives up its rights, and could then not write into a test's folder.
_USER = "user root\n" if os.getuid() == 0 else ""


class Mosquitto:
    """A broker that keeps its sessions in a folder; it can be killed and started again."""

    def __init__(self, folder: Path, extra: str = "allow_anonymous true\n") -> None:
        self.port = free_port()
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "conf").write_text(
            f"persistence true\npersistence_location {folder}/\nautosave_interval 1\n"
            f"autosave_on_changes true\n{_USER}listener {self.port} 127.0.0.1\n{extra}"
        )
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    @property
    def address(self) -> str:
        return f"mqtt://127.0.0.1:{self.port}"

    def start(self) -> None:
        with (self._folder / "log").open("ab") as log:
            command = [program("mosquitto", "mosquitto"), "-c", str(self._folder / "conf")]
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        wait_for(self._answers, "Mosquitto's answer")

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (self._folder / "log").read_text()
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait()
            self._process = None

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


class Publisher:
    """The other implementation of the way: paho, with QoS 1."""

    def __init__(self, broker: Mosquitto) -> None:
        self.client = paho.Client(CallbackAPIVersion.VERSION2)
        self.client.connect("127.0.0.1", broker.port)
        self.client.loop_start()

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        self.client.publish(topic, payload, 1, retain).wait_for_publish(20)

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()
