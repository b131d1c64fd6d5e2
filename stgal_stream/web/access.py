"""Who may look, and the record of who did."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

from stgal_stream.errors import ConfigError, DataError

COOKIE = "stgal_session"
VIEWER, OPERATOR = "viewer", "operator"
_MIN_TOKEN = 16


@dataclass(frozen=True, slots=True)
class Access:
    """``roles`` are those of each token. There are none where the page is served on a loopback
    address alone: who is on this machine is an operator. ``hosts`` are the names under which a
    loopback page may be asked for, so that no web site can reach it through a name of its own (DNS
    rebinding)."""

    roles: Mapping[str, str]
    hosts: frozenset[str]

    @classmethod
    def on(cls, host: str, operator: str | None, viewer: str | None = None) -> Access:
        """For an address to listen on, and the tokens of who may do what.

        Raises:
            ConfigError: it can be reached from elsewhere and there is no token, a token is short,
                or both are the same.
        """
        tokens = [token for token in (viewer, operator) if token is not None]
        for token in tokens:
            if len(token) < _MIN_TOKEN:
                raise ConfigError(
                    f"the token has {len(token)} characters, at least {_MIN_TOKEN} are needed",
                    hint="openssl rand -hex 16",
                )
        if viewer is not None and viewer == operator:
            raise ConfigError(
                "viewers and operators have the same token", hint="give each role its own"
            )
        if not tokens and not is_loopback(host):
            raise ConfigError(
                f"{host} can be reached from other machines, so a token is needed",
                hint="set STGAL_WEB_TOKEN or --token-file, or leave --host at 127.0.0.1",
            )
        given = ((viewer, VIEWER), (operator, OPERATOR))
        roles = {token: role for token, role in given if token is not None}
        return cls(roles, frozenset({"localhost", "127.0.0.1", "[::1]", host.lower()}))

    def knows_host(self, header: str) -> bool:
        """Whether a request's Host header names this page."""
        if self.roles:
            return True
        name = header.lower()
        bare = name if name.endswith("]") else name.rpartition(":")[0] or name
        return bare in self.hosts

    def role(self, authorization: str | None, cookie: str | None) -> str | None:
        """What who asks may do: nothing (None), look, or correct, too."""
        if not self.roles:
            return OPERATOR
        bearer, kept = (authorization or "").removeprefix("Bearer "), cookie or ""
        found = None
        for token, role in self.roles.items():
            if _is_same(bearer, token) or _is_same(kept, _session(token)):
                found = role
        return found

    def session(self, text: str) -> str | None:
        """What a browser keeps after its user has given a token; None where it is none."""
        known = [token for token in self.roles if _is_same(text, token)]
        return _session(known[0]) if known else None


def _session(token: str) -> str:
    return hmac.new(token.encode(), b"session", hashlib.sha256).hexdigest()


def _is_same(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode(), other.encode())


def is_from_elsewhere(headers: Mapping[str, str]) -> bool:
    """Whether a browser asks on behalf of another web site (a forged request). What is no browser
    says nothing of that, and has no cookie that another site could use."""
    said = headers.get("sec-fetch-site")
    if said is not None:
        return said not in ("same-origin", "none")
    origin = headers.get("origin")
    return origin is not None and urlsplit(origin).netloc != headers.get("host", "")


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
