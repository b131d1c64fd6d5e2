"""``/metrics``, ``/healthz`` and ``/readyz`` over HTTP; loopback unless configured otherwise."""

from __future__ import annotations

import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from stgal_stream.errors import ConfigError
from stgal_stream.monitoring.metrics import Metrics

Check = Callable[[], tuple[bool, str]]


class MonitoringServer:
    """Serves until closed. ``healthy`` says whether the process should live, ``ready`` whether it
    does its work now.

    Raises:
        ConfigError: the address is taken or not this machine's.
    """

    def __init__(
        self, host: str, port: int, metrics: Metrics, healthy: Check, ready: Check
    ) -> None:
        checks = {"/healthz": healthy, "/readyz": ready}

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                path = self.path.split("?")[0]
                if path == "/metrics":
                    self._answer(200, generate_latest(metrics.registry), CONTENT_TYPE_LATEST)
                elif path in checks:
                    good, text = checks[path]()
                    self._answer(200 if good else 503, f"{text}\n".encode(), "text/plain")
                else:
                    self._answer(404, b"/metrics /healthz /readyz\n", "text/plain")

            def _answer(self, status: int, body: bytes, kind: str) -> None:
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                return  # a line for every scrape helps nobody

        try:
            self._server = ThreadingHTTPServer((host, port), Handler)
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
