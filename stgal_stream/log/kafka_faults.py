"""What kafka-python says of a fault, as the port's errors: what happened, and what to do."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kafka.errors import AuthorizationError, KafkaError

from stgal_stream.errors import ConfigError, LogError, PermanentLogError

RIGHTS = "the rights that it needs are listed in docs/how-to/kafka.md"
_CLIENT_LOG = "kafka.net"
_FILES = ("ssl_cafile", "ssl_certfile", "ssl_keyfile", "ssl_crlfile")
_MAX_DETAIL = 200
# What a connection's fault holds, what it means, and what to do. Waiting mends none of these.
_REFUSALS = (
    (
        "SaslAuthenticationFailed",
        "the broker refuses the user's name or password",
        "see sasl_plain_username, sasl_plain_password and sasl_mechanism of [kafka.security]",
    ),
    (
        "CERTIFICATE_VERIFY_FAILED",
        "the broker's certificate is not trusted, or is of another host",
        "ssl_cafile of [kafka.security] is a file of the authority that signed it",
    ),
    (
        "CERTIFICATE",  # as in an alert of the broker's, of which TLS has several
        "the broker wants a client's certificate that it trusts",
        "see ssl_certfile and ssl_keyfile of [kafka.security]",
    ),
    (
        "Invalid frame length",
        "the broker speaks TLS, which this client was not told",
        'security_protocol of [kafka.security] is "SSL" or "SASL_SSL"',
    ),
    (
        "WRONG_VERSION_NUMBER",
        "the broker does not speak TLS at this address",
        "is it another port? Or see security_protocol of [kafka.security]",
    ),
)


def brief(error: BaseException) -> str:
    """What an error says, without the request that it holds as a whole."""
    text = re.sub(r": Request '.*", "", str(error), flags=re.DOTALL)
    return text[:_MAX_DETAIL] or type(error).__name__


@contextmanager
def told(what: str) -> Iterator[None]:
    """A fault of the client as the port's error. A partition that the group just took away shows
    as an assertion or an illegal state."""
    try:
        yield
    except AuthorizationError as error:
        text = f"Kafka could not be {what}, this user may not: {brief(error)}"
        raise PermanentLogError(text, hint=RIGHTS) from error
    except (KafkaError, AssertionError) as error:
        raise LogError(f"Kafka could not be {what}: {brief(error)}") from error


def check_files(security: Mapping[str, Any]) -> None:
    """Looks at the files that the security settings name.

    Raises:
        ConfigError: one cannot be read.
    """
    for key in _FILES:
        name = security.get(key)
        try:
            if name is not None:
                Path(name).read_bytes()
        except (OSError, TypeError) as error:
            raise ConfigError(f"kafka.security.{key} cannot be read: {error}") from error


class _Causes(logging.Handler):
    """Keeps the causes of what is logged."""

    def __init__(self) -> None:
        super().__init__()
        self.causes: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        args = record.args if isinstance(record.args, tuple) else ()
        self.causes += [brief(arg) for arg in args if isinstance(arg, BaseException)]


@contextmanager
def connection_faults() -> Iterator[list[str]]:
    """Why connections fail while a client is being made: it raises nothing but a timeout and keeps
    the causes in its log, which is silent here."""
    log, handler = logging.getLogger(_CLIENT_LOG), _Causes()
    level, propagate = log.level, log.propagate
    log.addHandler(handler)
    log.setLevel(logging.WARNING)
    log.propagate = False
    try:
        yield handler.causes
    finally:
        log.removeHandler(handler)
        log.setLevel(level)
        log.propagate = propagate


def no_answer(brokers: str, error: BaseException, causes: list[str]) -> LogError:
    """The error where a broker is down, as far as this client can tell."""
    told_by = [cause for cause in causes if "Unable to bootstrap" not in cause]
    cause = told_by[-1] if told_by else brief(error)
    hint = "is the address right and the broker up? --embedded DIR needs none"
    if any("disconnected" in each for each in causes):
        cause = "it closes each connection"
        hint = "does it expect TLS, or another SASL mechanism? See [kafka.security]"
    return LogError(f"no Kafka broker answers at {brokers}: {cause}", hint=hint)


def refusal(brokers: str, causes: list[str]) -> PermanentLogError | None:
    """The error where a broker answers but will not have this client; None where it may only be
    down."""
    for marker, meaning, hint in _REFUSALS:
        for cause in causes:
            if marker in cause:
                return PermanentLogError(f"Kafka at {brokers}: {meaning} ({cause})", hint=hint)
    return None
