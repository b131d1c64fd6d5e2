"""Detections by POST on the daemon's port."""

from __future__ import annotations

import json
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from stgal_stream.bridge.http_source import HttpSource, is_loopback
from stgal_stream.daemon import Daemon
from stgal_stream.errors import ConfigError
from stgal_stream.log.embedded import EmbeddedLog
from stgal_stream.log.reading import values
from stgal_stream.settings import HTTP_TOKEN, Config, InputSettings
from tests.support.detector_messages import Seen, written
from tests.support.waiting import wait_for


class Served:
    """A daemon that takes detections."""

    def __init__(self, config: Config, folder: Path, port: int) -> None:
        config.daemon.http_port = port
        config.daemon.http_detections = True
        config.input.max_future_s = float("inf")
        self.config = config
        self.log = EmbeddedLog(folder / "log")
        self.daemon = Daemon(self.log, config)
        self.url = f"http://127.0.0.1:{port}/v1/detections"
        self._thread = threading.Thread(target=self.daemon.run)
        self._thread.start()
        wait_for(self._answers)

    def _answers(self) -> bool:
        assert self._thread.is_alive()
        return self.post(b"", token="wrong")[0] != 0

    def post(
        self, body: bytes, kind: str = "application/json", token: str = "hush"
    ) -> tuple[int, Any]:
        headers = {"Content-Type": kind, "Authorization": f"Bearer {token}"}
        request = urllib.request.Request(self.url, body, headers, method="POST")
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, json.loads(answer.read())
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.loads(error.read())
        except urllib.error.URLError:
            return 0, None

    def close(self) -> None:
        self.daemon.stop.set()
        self._thread.join()
        self.log.close()


@pytest.fixture
def served(config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    from tests.support.programs import free_port

    monkeypatch.setenv(HTTP_TOKEN, "hush")
    made = Served(config, tmp_path, free_port())
    yield made
    made.close()


def test_what_is_posted_is_tracked(served: Served) -> None:
    status, answer = served.post(written("savant", Seen()))
    assert (status, answer) == (202, {"accepted": 1, "refused": 0, "reasons": []})
    lines = [written("scenescape", Seen(camera=f"c{n}")) for n in range(3)]
    body = b"\n".join([*lines, b"{}", b""])
    status, answer = served.post(body, "application/x-ndjson; charset=utf-8")
    assert (status, answer["accepted"], answer["refused"]) == (202, 3, 1)
    assert answer["reasons"][0]["record"] == 3
    topic = served.config.topics.embeddings
    wait_for(lambda: len(list(values(served.log, topic))) >= 4)


def test_what_cannot_be_used_is_told_at_once(served: Served) -> None:
    assert served.post(b"no JSON")[0] == 422
    assert served.post(written("savant", Seen()), token="wrong")[0] == 401
    assert served.post(b" " * (served.config.input.max_record_bytes + 1))[0] == 413
    served.url += "/elsewhere"
    assert served.post(b"{}")[0] == 404
    assert list(values(served.log, served.config.topics.detections)) == []


def test_nobody_from_outside_without_a_token(tmp_path: Path) -> None:
    log = EmbeddedLog(tmp_path / "log")
    for host in ("0.0.0.0", "::", "192.168.1.5", "example.org"):
        with pytest.raises(ConfigError, match="anybody"):
            HttpSource(log, "d", InputSettings(), host, None)
        HttpSource(log, "d", InputSettings(), host, "hush")
    for host in ("127.0.0.1", "::1", "localhost", "127.9.9.9"):
        assert is_loopback(host)
        assert HttpSource(log, "d", InputSettings(), host, None).may(None)
    log.close()
