"""The configuration: one TOML file, every key also as ``STGAL_<SECTION>_<KEY>``.

A key that does not exist is an error that names the nearest one; a value that cannot be is an error
that says what can.
"""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct, field

from stgal_stream.errors import ConfigError
from stgal_stream.log.port import TopicSpec
from stgal_stream.types import TrackerSettings

Positive = Annotated[float, Meta(gt=0)]
NotNegative = Annotated[float, Meta(ge=0)]
Count = Annotated[int, Meta(ge=1)]
_DAY_S = 86_400.0


class KafkaSection(Struct, forbid_unknown_fields=True):
    """How to reach Kafka. ``security`` passes through to the client."""

    brokers: list[str] = []
    instance: str | None = None
    group_prefix: str = "stgal"
    connect_timeout_s: Positive = 30.0
    partitions: Count = 4
    security: dict[str, Any] = {}


class TopicsSection(Struct, forbid_unknown_fields=True):
    """Names of the topics and how long they keep what (retention of personal data: detections
    and embeddings). ``releases`` has one partition and is kept for ever: it says which extractor is
    in use."""

    detections: str = "detections"
    embeddings: str = "embeddings"
    identities: str = "identities"
    associations: str = "associations"
    dead_letters: str = "dead-letters"
    releases: str = "releases"
    retention_personal_s: Positive = 7 * _DAY_S
    retention_results_s: Positive = 30 * _DAY_S


class EmbedSection(Struct, forbid_unknown_fields=True):
    """The embed stage. ``model`` empty means the extractor that the package ships; ``releases`` is
    the folder of retrained ones (see ``Config.releases_folder``). On a CPU a batch
    uses ``threads`` and as many batches run at a time as there are cores for: side by side on a
    thread each, nobody waits for a core that does something else. ``eight_bit`` uses an extractor's
    8-bit variant there, if it has one."""

    model: str = ""
    releases: str = ""
    batch_size: Count = 32
    max_wait_s: NotNegative = 0.05
    threads: Count = 1
    eight_bit: bool = True
    decode_threads: Count = 2
    max_record_bytes: Count = 4 * 1024 * 1024
    max_crop_bytes: Count = 2 * 1024 * 1024
    max_crop_pixels: Count = 4_000_000
    max_future_s: NotNegative = 60.0
    tick_after_s: Positive = 5.0
    providers: list[str] = field(
        default_factory=lambda: [
            "TensorrtExecutionProvider",
            "CUDAExecutionProvider",
            "CPUExecutionProvider",
        ]
    )

    @property
    def loading(self) -> dict[str, Any]:
        """How an extractor is loaded: ``OnnxExtractor``'s options."""
        return {
            "providers": self.providers,
            "threads": self.threads,
            "eight_bit": self.eight_bit,
        }


class AssociateSection(Struct, forbid_unknown_fields=True):
    """The associate stage; see ``TrackerSettings`` for what each means."""

    setting: str = "calibrated"
    allowed_lateness_s: NotNegative = 10.0
    window_s: Positive = 3600.0
    max_tracklets: Count = 20_000
    max_open_tracklets: Count = 10_000
    max_cameras: Count = 1_000
    max_sites: Count = 1_000
    step_s: Positive = 1.0
    tracklet_gap_s: Positive = 3.0
    tracklet_max_s: Positive = 30.0
    visit_gap_s: Positive = 5.0
    first_calibration: Count = 60
    calibration_growth: Positive = 0.5
    calibration_tracklets: Count = 4_000
    least_log_odds: float = 1.5
    paper_alpha: Positive = 0.01
    paper_epsilon_s: Positive = 10.0

    def tracker_settings(self) -> TrackerSettings:
        """The same for the core."""
        values = msgspec.structs.asdict(self)
        values.pop("max_sites")  # the stage's, not a tracker's
        return TrackerSettings(**values)


class DaemonSection(Struct, forbid_unknown_fields=True):
    """The process: where snapshots lie, how often they are written, where metrics are served."""

    state_dir: str = "stgal-state"
    snapshot_every_s: Positive = 30.0
    http_host: str = "127.0.0.1"
    http_port: Annotated[int, Meta(ge=0, le=65_535)] = 9464
    log_level: str = "info"


class Config(Struct, forbid_unknown_fields=True):
    """Everything that can be set."""

    kafka: KafkaSection = field(default_factory=KafkaSection)
    topics: TopicsSection = field(default_factory=TopicsSection)
    embed: EmbedSection = field(default_factory=EmbedSection)
    associate: AssociateSection = field(default_factory=AssociateSection)
    daemon: DaemonSection = field(default_factory=DaemonSection)

    def releases_folder(self, embedded: Path | None) -> Path:
        """Where releases lie: as configured, else in the embedded log's directory, else beside the
        snapshots."""
        if self.embed.releases:
            return Path(self.embed.releases)
        return (Path(self.daemon.state_dir) if embedded is None else embedded) / "releases"

    def topic_specs(self) -> list[TopicSpec]:
        """The topics as they must be. Detections are keyed by camera, the rest by site."""
        topics, n = self.topics, self.kafka.partitions
        personal, results = topics.retention_personal_s, topics.retention_results_s
        return [
            TopicSpec(topics.detections, n, personal),
            TopicSpec(topics.embeddings, n, personal),
            TopicSpec(topics.identities, n, results),
            TopicSpec(topics.associations, n, results),
            TopicSpec(topics.dead_letters, n, results),
            TopicSpec(topics.releases, 1),
        ]


def load_config(path: Path | None, environ: Mapping[str, str] | None = None) -> Config:
    """Defaults, over them the file, over it the environment.

    Raises:
        ConfigError: the file cannot be read, or a key or value is wrong.
    """
    content: dict[str, Any] = {}
    if path is not None:
        try:
            content = tomllib.loads(path.read_text())
        except OSError as error:
            raise ConfigError(f"{path} cannot be read: {error.strerror}") from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ConfigError(f"{path} is not TOML: {error}") from error
    where = str(path) if path else "the configuration"
    _check_names(content, where)
    for name, value in sorted((os.environ if environ is None else environ).items()):
        if name.startswith("STGAL_"):
            section, key = _environment_key(name)
            content.setdefault(section, {})[key] = _environment_value(section, key, value, name)
    try:
        config = msgspec.convert(content, Config)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{where}: {error}") from error
    _check_values(config, where)
    return config


def _sections() -> dict[str, dict[str, Any]]:
    hints = {f.name: f.type for f in msgspec.structs.fields(Config)}
    return {
        name: {f.name: f.type for f in msgspec.structs.fields(section)}
        for name, section in hints.items()
    }


def _check_names(content: dict[str, Any], where: str) -> None:
    sections = _sections()
    for section, values in content.items():
        if section not in sections:
            raise _unknown(f"section [{section}]", section, list(sections), where)
        if not isinstance(values, dict):
            raise ConfigError(f"{where}: {section} is a section, not a value")
        for key in values:
            if key not in sections[section]:
                raise _unknown(f"key {section}.{key}", key, list(sections[section]), where)


def _unknown(what: str, name: str, known: list[str], where: str) -> ConfigError:
    by_lower = {candidate.lower(): candidate for candidate in known}
    near = difflib.get_close_matches(name.lower(), by_lower, n=1, cutoff=0.0)
    return ConfigError(f"{where}: unknown {what}", hint=f"did you mean {by_lower[near[0]]!r}?")


def _environment_key(name: str) -> tuple[str, str]:
    rest = name.removeprefix("STGAL_").lower()
    for section, keys in _sections().items():
        if rest.startswith(section + "_") and rest.removeprefix(section + "_") in keys:
            return section, rest.removeprefix(section + "_")
    known = [f"STGAL_{s}_{k}".upper() for s, keys in _sections().items() for k in keys]
    raise _unknown(f"environment variable {name}", name, known, "the environment")


def _environment_value(section: str, key: str, value: str, name: str) -> Any:
    kind = _sections()[section][key]
    try:
        if kind is list or "list" in str(kind):
            return [part.strip() for part in value.split(",") if part.strip()]
        if "dict" in str(kind):
            return msgspec.json.decode(value)
        return msgspec.convert(value, kind, strict=False)
    except msgspec.MsgspecError as error:
        raise ConfigError(f"{name}={value!r}: {error}") from error


def _check_values(config: Config, where: str) -> None:
    choices = {
        "associate.setting": (config.associate.setting, ("calibrated", "paper", "appearance")),
        "daemon.log_level": (config.daemon.log_level, ("debug", "info", "warning", "error")),
    }
    for key, (value, allowed) in choices.items():
        if value not in allowed:
            raise ConfigError(f"{where}: {key} is {value!r}, not one of {', '.join(allowed)}")
    known = ("TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider")
    for provider in config.embed.providers:
        if provider not in known:
            raise _unknown(f"provider {provider}", provider, list(known), where)
