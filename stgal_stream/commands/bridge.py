"""``stgal-stream bridge``: MQTT in and out, webhooks out."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from stgal_stream.bridge.frigate import FrigateEvents
from stgal_stream.bridge.mqtt import Address, Certificates, Connection
from stgal_stream.bridge.mqtt_outlet import MqttOutlet
from stgal_stream.bridge.mqtt_source import Counts, MqttSource, plain_record
from stgal_stream.bridge.outlet import carry_out
from stgal_stream.bridge.webhook import Webhook
from stgal_stream.commands.options import (
    broker_list,
    config_option,
    log_options,
    set_up_logging,
    stop_on_signals,
)
from stgal_stream.commands.paths import InputFile
from stgal_stream.configuration import load_config
from stgal_stream.daemon import make_missing_topics, open_log
from stgal_stream.errors import ConfigError
from stgal_stream.log.port import Log
from stgal_stream.settings import WEBHOOK_SECRET, Config


@click.group()
def bridge() -> None:
    """Carry messages between the log and MQTT or a webhook.

    A bridge is a process of its own. What comes in is acknowledged when the log has it; what goes
    out is committed when the receiver has it.
    """


@bridge.command()
@click.option("--from", "source", help="mqtt[s]://[USER@]HOST[:PORT]: its messages are detections.")
@click.option("--topic", "topics", multiple=True, help="MQTT topic, + and # allowed; repeatable.")
@click.option("--frigate", help="Frigate's HTTP address: fetch the picture of each event.")
@click.option("--to", "target", help="mqtt[s]://[USER@]HOST[:PORT]: publish identity events there.")
@click.option("--prefix", default="stgal", show_default=True, help="First level of topics sent to.")
@click.option(
    "--home-assistant/--no-home-assistant", default=True, help="Announce cameras to Home Assistant."
)
@click.option("--client-id", help="Name at the MQTT broker; two bridges must differ in it.")
@click.option("--ca", type=InputFile(), help="Certificate authority of the MQTT broker, PEM.")
@click.option("--cert", type=InputFile(), help="Our certificate, PEM.")
@click.option("--key", type=InputFile(), help="Its key, PEM.")
@log_options
@config_option
def mqtt(
    source: str | None,
    topics: tuple[str, ...],
    frigate: str | None,
    target: str | None,
    prefix: str,
    home_assistant: bool,
    client_id: str | None,
    ca: Path | None,
    cert: Path | None,
    key: Path | None,
    brokers: str,
    embedded: Path | None,
    config_path: Path | None,
) -> None:
    """Detections from MQTT into the log (--from), or identity events to MQTT (--to).

    The password is in STGAL_MQTT_PASSWORD, or in the address. Messages are taken with QoS 1 under a
    session that the broker keeps.
    """
    if (source is None) == (target is None):
        raise ConfigError("name --from or --to, one of them")
    if source is not None and not topics:
        raise ConfigError("--from needs --topic", hint="such as --topic 'axis/+/frame'")
    if target is not None and (topics or frigate):
        raise ConfigError("--topic and --frigate go with --from")
    certificates = Certificates(ca, cert, key)
    name = client_id or f"stgal-{'in' if source else 'out'}-{socket.gethostname()}"
    address = Address.parse(source or target or "")
    with _bridged(brokers, embedded, config_path) as (log, config, stop):
        if source is not None:
            record = plain_record(config.topics.detections)
            if frigate:
                record = FrigateEvents(frigate, config.topics.detections, config.input, record)
            MqttSource(log, address, topics, name, certificates, record).run(stop, _told_in())
            return
        connection = Connection(address, name, certificates)
        connection.open()
        try:
            outlet = MqttOutlet(connection, prefix, "homeassistant" if home_assistant else None)
            group = f"{config.kafka.group_prefix}-bridge-{name}"
            carry_out(log, config.topics.identities, group, outlet, stop, _told_out())
        finally:
            connection.close()


@bridge.command()
@click.option("--to", "url", required=True, help="HTTP address that gets identity events.")
@click.option("--name", default="webhook", show_default=True, help="Tells webhooks apart.")
@log_options
@config_option
def webhook(
    url: str, name: str, brokers: str, embedded: Path | None, config_path: Path | None
) -> None:
    """Identity events to an HTTP address, up to a hundred a POST, as a JSON array.

    STGAL_WEBHOOK_SECRET signs them: Stgal-Signature is t=UNIX,v1=HMAC-SHA-256 of "UNIX.BODY".
    """
    outlet = Webhook(url, os.environ.get(WEBHOOK_SECRET, "").encode())
    with _bridged(brokers, embedded, config_path) as (log, config, stop):
        group = f"{config.kafka.group_prefix}-bridge-{name}"
        carry_out(log, config.topics.identities, group, outlet, stop, _told_out())


@contextmanager
def _bridged(
    brokers: str, embedded: Path | None, config_path: Path | None
) -> Iterator[tuple[Log, Config, threading.Event]]:
    config = load_config(config_path)
    set_up_logging(config.daemon.log_level)
    log = open_log(config, brokers=broker_list(brokers), embedded=embedded)
    stop = threading.Event()
    try:
        make_missing_topics(log, config)
        with stop_on_signals(stop):
            yield log, config, stop
    finally:
        log.close()


def _told_in() -> Callable[[Counts], None]:
    show = _status()
    return lambda counts: show(f"{counts.taken} messages taken, {counts.left_out} left out")


def _told_out() -> Callable[[int], None]:
    show = _status()
    return lambda n: show(f"{n} identity events sent")


def _status() -> Callable[[str], None]:
    """Shows a line that changes, on a terminal; a service's log stays quiet."""
    console: Any = Console(stderr=True)
    return lambda text: console.print(text, end="\r") if console.is_terminal else None
