"""``/metrics``, ``/healthz`` and ``/readyz`` over HTTP, and detections where they are taken;
loopback unless configured otherwise."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Protocol

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from stgal_stream.errors import ConfigError
from stgal_stream.monitoring.metrics import Metrics

Check = Callable[[], tuple[bool, str]]
_TIMEOUT_S = 30
_MAX_DRAINED = 64 * 1024 * 1024
_CHUNK = 64 * 1024
_JSON = "application/json"


class Answer(Protocol):
    """What is answered to a POST."""

    @property
    def status(self) -> int:
        """HTTP status."""

    @property
    def body(self) -> bytes:
        """JSON."""


class Posts(Protocol):
    """Takes what is posted to a path."""

    max_bytes: int

    def may(self, authorization: str | None) -> bool:
        """Whether the sender may."""

    def post(self, body: bytes, content_type: str) -> Answer:
        """Takes a body."""


@dataclass(slots=True)
class _Served:
    """What the server knows."""

    metrics: Metrics
    checks: dict[str, Check]
    posts: dict[str, Posts]


class _Handler(BaseHTTPRequestHandler):
    timeout = _TIMEOUT_S  # a sender that stops in the middle holds no thread for ever
    served: _Served

    def do_GET(self) -> None:
        path = self.path.split("?")[0]
        if path == "/metrics":
            self._answer(200, generate_latest(self.served.metrics.registry), CONTENT_TYPE_LATEST)
        elif path in self.served.checks:
            good, text = self.served.checks[path]()
            self._answer(200 if good else 503, f"{text}\n".encode(), "text/plain")
        else:
            self._answer(404, b"/metrics /healthz /readyz\n", "text/plain")

    def do_POST(self) -> None:
        taker = self.served.posts.get(self.path.split("?")[0])
        length = self.headers.get("Content-Length", "")
        if taker is None:
            self._refuse(404, "nothing is taken here")
        elif not taker.may(self.headers.get("Authorization")):
            self._refuse(401, "Authorization: Bearer TOKEN is needed")
        elif not length.isdigit():
            self._refuse(411, "Content-Length is needed")
        elif int(length) > taker.max_bytes:
            self._refuse(413, f"more than {taker.max_bytes} bytes")
        else:
            body = self.rfile.read(int(length))
            answer = taker.post(body, self.headers.get("Content-Type", ""))
            self._answer(answer.status, answer.body, _JSON)

    def _refuse(self, status: int, why: str) -> None:
        """Reads on for a while: who still sends hears no answer."""
        length = self.headers.get("Content-Length", "0")
        left = min(int(length), _MAX_DRAINED) if length.isdigit() else 0
        while left > 0 and (chunk := self.rfile.read(min(left, _CHUNK))):
            left -= len(chunk)
        self.close_connection = True
        self._answer(status, json.dumps({"error": why}).encode() + b"\n", _JSON)

    def _answer(self, status: int, body: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        return  # a line for every scrape helps nobody


class MonitoringServer:
    """Serves until closed. ``healthy`` says whether the process should live, ``ready`` whether it
    does its work now, ``posts`` takes what is sent, by path.

    Raises:
        ConfigError: the address is taken or not this machine's.
    """

    def __init__(
        self,
        host: str,
        port: int,
        metrics: Metrics,
        healthy: Check,
        ready: Check,
        posts: Mapping[str, Posts] | None = None,
    ) -> None:
        checks = {"/healthz": healthy, "/readyz": ready}
        served = _Served(metrics, checks, dict(posts or {}))
        handler = type("Handler", (_Handler,), {"served": served})
        try:
            self._server = ThreadingHTTPServer((host, port), handler)
        except OSError as error:
            raise ConfigError(
                f"metrics cannot be served at {host}:{port}: {error.strerror}",
                hint="set daemon.http_port (0 takes any free port)",
            ) from error
        self._server.daemon_threads = True
        self.port = int(self._server.server_address[1])
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.1,), name="monitoring", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """Stops serving."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
