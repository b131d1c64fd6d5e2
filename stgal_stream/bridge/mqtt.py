"""A connection to an MQTT broker that comes back by itself, and says what is wrong."""

from __future__ import annotations

import logging
import os
import ssl
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from stgal_stream.errors import ConfigError, LogError
from stgal_stream.settings import MQTT_PASSWORD

logger = logging.getLogger(__name__)

QOS = 1
_PORTS = {"mqtt": 1883, "mqtts": 8883}
_KEEP_ALIVE_S = 30
_MAX_BACKOFF_S = 60
# Reason codes of a refused connection that no waiting mends (MQTT 3.1.1 and 5).
_PERMANENT = (
    "bad user name or password",
    "not authorized",
    "unsupported protocol version",
    "client identifier not valid",
    "banned",
)


@dataclass(frozen=True, slots=True)
class Address:
    """``mqtt[s]://[user[:password]@]host[:port]``; the password also in STGAL_MQTT_PASSWORD."""

    host: str
    port: int
    is_tls: bool
    user: str | None
    password: str | None = field(repr=False)

    @classmethod
    def parse(cls, text: str) -> Address:
        """
        Raises:
            ConfigError: it is no such address.
        """
        parts = urlsplit(text)
        try:
            port = parts.port
        except ValueError:
            port = -1
        if parts.scheme not in _PORTS or not parts.hostname or port == -1 or parts.path.strip("/"):
            raise ConfigError(
                "this is no address of an MQTT broker", hint="such as mqtts://user@broker:8883"
            )
        password = os.environ.get(MQTT_PASSWORD)
        if parts.password is not None:
            password = unquote(parts.password)
        user = unquote(parts.username) if parts.username else None
        if password and user is None:
            raise ConfigError("there is a password for MQTT, but no user: mqtt://USER@host")
        return cls(
            parts.hostname, port or _PORTS[parts.scheme], parts.scheme == "mqtts", user, password
        )

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Certificates:
    """Files for TLS: who is trusted (None: the system's authorities), and who we are."""

    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None


class Connection:
    """A client with a session that the broker keeps, so that nothing is lost while it is away.

    ``on_message`` is called in the network's thread, with messages that must be acknowledged.
    """

    def __init__(
        self,
        address: Address,
        client_id: str,
        certificates: Certificates,
        topics: Sequence[str] = (),
        on_message: Callable[[paho.MQTTMessage], None] | None = None,
    ) -> None:
        self.address = address
        self.failure: LogError | ConfigError | None = None
        self._topics = list(topics)
        self._up = threading.Event()
        client = paho.Client(
            CallbackAPIVersion.VERSION2, client_id, clean_session=False, manual_ack=True
        )
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_subscribe = self._on_subscribe
        if on_message is not None:
            client.on_message = lambda _client, _data, message: on_message(message)
        client.reconnect_delay_set(1, _MAX_BACKOFF_S)
        if address.user is not None:
            client.username_pw_set(address.user, address.password)
        if address.is_tls:
            self._secure(client, certificates)
        self.client = client

    @staticmethod
    def _secure(client: paho.Client, certificates: Certificates) -> None:
        try:
            client.tls_set(
                _text(certificates.ca), _text(certificates.cert), _text(certificates.key)
            )
        except (OSError, ssl.SSLError, ValueError) as error:
            raise ConfigError(f"the certificates cannot be used: {error}") from error

    @property
    def is_up(self) -> bool:
        """Whether the broker has taken us in."""
        return self._up.is_set()

    def open(self, timeout_s: float = 30.0) -> None:
        """Connects; from then on the connection comes back by itself.

        Raises:
            LogError: the broker does not answer.
            ConfigError: it refuses us.
        """
        try:
            self.client.connect(self.address.host, self.address.port, _KEEP_ALIVE_S)
        except (OSError, ssl.SSLError, ValueError) as error:
            raise LogError(
                f"the MQTT broker {self.address} cannot be reached: {error}",
                hint="check host, port and TLS (mqtts://)",
            ) from error
        self.client.loop_start()
        if not self._up.wait(timeout_s) and self.failure is None:
            self.failure = LogError(f"the MQTT broker {self.address} does not answer")
        self.check()

    def check(self) -> None:
        """
        Raises:
            ConfigError: the broker refuses us, which no waiting mends.
        """
        if self.failure is not None:
            self.close()
            raise self.failure

    def close(self) -> None:
        """Leaves; the broker keeps the session."""
        self.client.disconnect()
        self.client.loop_stop()

    def _on_connect(self, client: paho.Client, _data: Any, _flags: Any, code: Any, _p: Any) -> None:
        if code.is_failure:
            logger.error("the MQTT broker %s refuses the connection: %s", self.address, code)
            if str(code).lower() in _PERMANENT:
                self.failure = ConfigError(
                    f"the MQTT broker {self.address} refuses us: {code}",
                    hint=f"check user, password ({MQTT_PASSWORD}) and rights",
                )
                self._up.set()
            return
        if self._topics:
            client.subscribe([(topic, QOS) for topic in self._topics])
        else:
            self._come_up()

    def _come_up(self) -> None:
        logger.info("connected to the MQTT broker %s", self.address)
        self._up.set()

    def _on_subscribe(
        self, _client: paho.Client, _data: Any, _mid: int, codes: Any, _properties: Any
    ) -> None:
        refused = [t for t, code in zip(self._topics, codes, strict=False) if code.is_failure]
        if refused:
            self.failure = ConfigError(
                f"the MQTT broker {self.address} lets us not subscribe to {', '.join(refused)}",
                hint="give the user the right to read it",
            )
            self._up.set()
        else:
            self._come_up()

    def _on_disconnect(
        self, _client: paho.Client, _data: Any, _flags: Any, code: Any, _properties: Any
    ) -> None:
        if code.is_failure and self.failure is None:
            logger.warning("the MQTT broker %s is gone (%s); connecting again", self.address, code)


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)
