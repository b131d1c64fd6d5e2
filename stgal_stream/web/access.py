"""Who may look, and the record of who did."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import threading
import time
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

from stgal_stream.errors import ConfigError, DataError

COOKIE = "stgal_session"
_MIN_TOKEN = 16


@dataclass(frozen=True, slots=True)
class Access:
    """``token`` is None where the page is served on a loopback address alone: who is on this
    machine may look. ``hosts`` are the names under which a loopback page may be asked for, so that
    no web site can reach it through a name of its own (DNS rebinding)."""

    token: str | None
    hosts: frozenset[str]

    @classmethod
    def on(cls, host: str, token: str | None) -> Access:
        """For an address to listen on.

        Raises:
            ConfigError: it can be reached from elsewhere and there is no token, or a short one.
        """
        if token is not None and len(token) < _MIN_TOKEN:
            raise ConfigError(
                f"the token has {len(token)} characters, at least {_MIN_TOKEN} are needed",
                hint="openssl rand -hex 16",
            )
        if token is None and not is_loopback(host):
            raise ConfigError(
                f"{host} can be reached from other machines, so a token is needed",
                hint="set STGAL_WEB_TOKEN or --token-file, or leave --host at 127.0.0.1",
            )
        return cls(token, frozenset({"localhost", "127.0.0.1", "[::1]", host.lower()}))

    def knows_host(self, header: str) -> bool:
        """Whether a request's Host header names this page."""
        if self.token is not None:
            return True
        name = header.lower()
        bare = name if name.endswith("]") else name.rpartition(":")[0] or name
        return bare in self.hosts

    def admits(self, authorization: str | None, cookie: str | None) -> bool:
        """Whether a request may be answered."""
        if self.token is None:
            return True
        bearer = (authorization or "").removeprefix("Bearer ")
        return self.is_token(bearer) or hmac.compare_digest(
            (cookie or "").encode(), self.session.encode()
        )

    def is_token(self, text: str) -> bool:
        """Whether somebody knows the token."""
        return self.token is not None and hmac.compare_digest(text.encode(), self.token.encode())

    @property
    def session(self) -> str:
        """What a browser keeps after its user has given the token."""
        assert self.token is not None
        return hmac.new(self.token.encode(), b"session", hashlib.sha256).hexdigest()


def is_loopback(host: str) -> bool:
    """Whether an address can be reached from this machine alone."""
    if host.lower() == "localhost":
        return True
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


class AuditLog:
    """A line for every look at a person: when, from where, what was done, to whom. JSON Lines.

    Raises:
        DataError: it cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        try:
            self._file = os.fdopen(
                os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), "a"
            )
        except OSError as error:
            raise DataError(f"the audit log {path} cannot be written: {error.strerror}") from error

    def note(self, who: str, action: str, site: str, subject: str) -> None:
        """Writes a line at once."""
        at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        line = {"at": at, "from": who, "action": action, "site": site, "subject": subject}
        with self._lock:
            self._file.write(json.dumps(line) + "\n")
            self._file.flush()

    def close(self) -> None:
        """Lets go of the file."""
        self._file.close()
