"""HTTP -> the detections topic: what a POST holds is in the log when it is answered."""

from __future__ import annotations

import hmac
import ipaddress
import json
import threading
import time
from dataclasses import dataclass

from stgal_stream.errors import ConfigError, LogError
from stgal_stream.log.port import Log, NewRecord, Partition, Record
from stgal_stream.settings import HTTP_TOKEN, InputSettings
from stgal_stream.wire.detection import decode
from stgal_stream.wire.fields import BadRecord

PATH = "/v1/detections"
_LINES = "application/x-ndjson"
_MAX_TOLD = 20


@dataclass(frozen=True, slots=True)
class Answer:
    """Status and JSON body."""

    status: int
    body: bytes


class HttpSource:
    """Takes one record a POST (JSON of any format, or a binary nvschema frame), or a record a line
    as application/x-ndjson.

    Raises:
        ConfigError: ``host`` is not loopback and there is no token.
    """

    def __init__(
        self, log: Log, topic: str, inputs: InputSettings, host: str, token: str | None
    ) -> None:
        if not token and not is_loopback(host):
            raise ConfigError(
                f"daemon.http_detections takes detections from anybody who reaches {host}",
                hint=f"set {HTTP_TOKEN}, or daemon.http_host to 127.0.0.1",
            )
        self.max_bytes = inputs.max_record_bytes
        self._log = log
        self._topic = topic
        self._inputs = inputs
        self._token = token
        self._writing = threading.Lock()

    def may(self, authorization: str | None) -> bool:
        """Whether a sender gave the token, where there is one."""
        if not self._token:
            return True
        given = (authorization or "").removeprefix("Bearer ").encode()
        return hmac.compare_digest(given, self._token.encode())

    def post(self, body: bytes, content_type: str) -> Answer:
        """Writes what can be used, and says what cannot and why."""
        is_lines = content_type.partition(";")[0].strip().lower() == _LINES
        values = [v for v in body.split(b"\n") if v.strip()] if is_lines else [body]
        taken, refused = [], []
        for number, value in enumerate(values):
            try:
                taken.append(self._record(value))
            except BadRecord as fault:
                told = {"record": number, "reason": str(fault.reason), "detail": fault.detail}
                refused.append(told)
        try:
            if taken:
                with self._writing:
                    self._log.append(taken)
        except LogError as error:
            return _answer(503, {"accepted": 0, "error": str(error)})
        status = 202 if taken else 422
        told_of = refused[:_MAX_TOLD]
        return _answer(
            status, {"accepted": len(taken), "refused": len(refused), "reasons": told_of}
        )

    def _record(self, value: bytes) -> NewRecord:
        """
        Raises:
            BadRecord: nothing in it can be used.
        """
        record = Record(Partition(self._topic, 0), 0, None, value, (), time.time())
        found = decode(record, self._inputs)
        if found.faults and not found.messages:
            raise found.faults[0]
        camera = found.messages[0].camera.encode() if found.messages else None
        return NewRecord(self._topic, camera, value)


def _answer(status: int, body: dict[str, object]) -> Answer:
    return Answer(status, json.dumps(body).encode() + b"\n")


def is_loopback(host: str) -> bool:
    """Whether an address is this machine's alone."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
