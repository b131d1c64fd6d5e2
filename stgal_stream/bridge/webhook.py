"""Identity events -> an HTTP address, signed.

A POST holds a JSON array of events. ``Stgal-Signature: t=UNIX,v1=HEX`` is the HMAC-SHA-256 of
``UNIX.BODY`` under the secret, so that a receiver knows who sent it and when.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import time
import urllib.error
import urllib.request
from collections.abc import Sequence

from stgal_stream.errors import ConfigError, LogError

logger = logging.getLogger(__name__)

_TIMEOUT_S = 10.0
# What a receiver may answer to say "not now": all other refusals are of what was sent.
_NOT_NOW = (408, 425, 429)
_SERVER_ERROR = 500


class Webhook:
    """Posts to ``url``; ``secret`` signs, empty for none."""

    def __init__(self, url: str, secret: bytes) -> None:
        if not url.startswith(("http://", "https://")):
            raise ConfigError("--to is no HTTP address", hint="such as https://example.org/events")
        self._url = url
        self._secret = secret
        self.n_refused = 0

    def send(self, events: Sequence[bytes]) -> None:
        """Posts events. Those that the receiver refuses for good are counted and told, since they
        would hold up all that follow.

        Raises:
            LogError: the receiver cannot be reached, or says: not now.
        """
        body = b"[" + b",".join(events) + b"]"
        try:
            # The scheme was checked above; redirects of a POST are not followed by urllib.
            with urllib.request.urlopen(self._request(body), timeout=_TIMEOUT_S):  # noqa: S310
                return
        except urllib.error.HTTPError as error:
            if error.code >= _SERVER_ERROR or error.code in _NOT_NOW:
                raise LogError(f"the webhook answers {error.code} {error.reason}") from error
            self.n_refused += len(events)
            logger.error(
                "the webhook refuses %d events for good: %d %s", len(events), error.code,
                error.reason,
            )  # fmt: skip
        except OSError as error:
            raise LogError(f"the webhook cannot be reached: {error}") from error

    def _request(self, body: bytes) -> urllib.request.Request:
        headers = {"Content-Type": "application/json", "User-Agent": "stgal-stream"}
        if self._secret:
            headers["Stgal-Signature"] = signature(self._secret, int(time.time()), body)
        return urllib.request.Request(self._url, body, headers, method="POST")  # noqa: S310


def signature(secret: bytes, at_s: int, body: bytes) -> str:
    """The header of a body sent at a time (Unix seconds)."""
    digest = hmac.new(secret, f"{at_s}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={at_s},v1={digest}"
