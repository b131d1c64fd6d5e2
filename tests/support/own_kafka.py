"""A real Kafka broker of one test's own, which it may stop, pause and kill; clients that come
through a proxy stay behind it."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

from tests.support.programs import free_port
from tests.support.proxy import Proxy

TOOLS = Path(__file__).parents[2] / "tools"
_PROPERTIES = """
listeners=PLAINTEXT://127.0.0.1:{plain},PROXIED://127.0.0.1:{behind},CONTROLLER://127.0.0.1:{control}
advertised.listeners=PLAINTEXT://127.0.0.1:{plain},PROXIED://127.0.0.1:{proxy}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,PROXIED:PLAINTEXT,CONTROLLER:PLAINTEXT
inter.broker.listener.name=PLAINTEXT
controller.quorum.voters=1@127.0.0.1:{control}
"""


class OwnKafka:
    """``address`` leads to it directly, ``proxied`` through ``proxy``."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "kafka"
        plain, behind, control, front = (free_port() for _ in range(4))
        self.address, self.proxied = f"127.0.0.1:{plain}", f"127.0.0.1:{front}"
        self._port = plain
        self._properties = folder / "own.properties"
        self._properties.write_text(
            _PROPERTIES.format(plain=plain, behind=behind, control=control, proxy=front)
        )
        self.start()
        self.proxy = Proxy(front, behind)

    def start(self) -> None:
        """Starts it, again with all it had."""
        env = os.environ | {"KAFKA_PROPERTIES": str(self._properties)}
        started = [str(TOOLS / "kafka-start"), str(self._folder), str(self._port)]
        subprocess.run(started, env=env, check=True, capture_output=True)

    def signal(self, number: int) -> None:
        """Sends it a signal."""
        os.kill(self._pid, number)

    def kill(self) -> None:
        """Ends it as a power cut does, and waits until it is gone."""
        pid = self._pid
        os.kill(pid, signal.SIGKILL)
        while Path(f"/proc/{pid}").exists() and _is_alive(pid):
            pass
        (self._folder / "pid").unlink()

    def close(self) -> None:
        """Ends it for good."""
        self.proxy.close()
        stopped = [str(TOOLS / "kafka-stop"), str(self._folder)]
        subprocess.run(stopped, check=True, capture_output=True)

    @property
    def _pid(self) -> int:
        return int((self._folder / "pid").read_text())


def _is_alive(pid: int) -> bool:
    """Whether a process is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False
