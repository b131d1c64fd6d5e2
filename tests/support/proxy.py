"""A TCP proxy between a client and a server, that can be slow, silent or cut."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress

_BLOCK = 65_536
_LOOK_S = 0.05


class Proxy:
    """Listens on a port of loopback and passes on to another.

    ``delay_s`` is waited before each block is passed on; while ``is_silent`` nothing is, and
    connections stay open.
    """

    def __init__(self, port: int, target: int) -> None:
        self.delay_s = 0.0
        self.is_silent = False
        self._target = target
        self._stop = threading.Event()
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server(("127.0.0.1", port))
        self._listener.settimeout(_LOOK_S)
        self._start(self._accept)

    def cut(self) -> None:
        """Ends all connections at once."""
        with self._lock:
            for each in self._open:
                with suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Ends everything."""
        self._stop.set()
        self.cut()
        for thread in self._threads:
            thread.join()
        self._listener.close()

    def _start(self, run: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=run, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while not self._stop.is_set():
            try:
                client, _ = self._listener.accept()
            except TimeoutError:
                continue
            try:
                server = socket.create_connection(("127.0.0.1", self._target))
            except OSError:
                client.close()
                continue
            with self._lock:
                self._open |= {client, server}
            pair = _Pair(client, server)
            self._start(self._pass_on, client, server, pair)
            self._start(self._pass_on, server, client, pair)

    def _pass_on(self, source: socket.socket, sink: socket.socket, pair: _Pair) -> None:
        source.settimeout(_LOOK_S)
        with suppress(OSError):
            while not self._stop.is_set():
                try:
                    block = source.recv(_BLOCK)
                except TimeoutError:
                    continue
                if not block:
                    break
                while self.is_silent and not self._stop.is_set():
                    time.sleep(_LOOK_S)
                time.sleep(self.delay_s)
                sink.settimeout(None)
                sink.sendall(block)
                sink.settimeout(_LOOK_S)
        with self._lock:
            self._open -= {source, sink}
        pair.end()


class _Pair:
    """Both ends of a connection: when one direction ends, both do."""

    def __init__(self, client: socket.socket, server: socket.socket) -> None:
        self._both = client, server
        self._left = 2
        self._lock = threading.Lock()

    def end(self) -> None:
        with self._lock:
            self._left -= 1
            for each in self._both:
                with suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)
            if not self._left:
                for each in self._both:
                    each.close()
