"""Everything that can be set: a dataclass a section, each key with its default, range and meaning.

This is the only place that states a default. The reference page of the documentation is made from
it, ``configuration`` reads files and the environment into it, and the core takes
``TrackerSettings`` from it. Standard library only, so that the core may import it.
"""

from __future__ import annotations

import difflib
import math
from dataclasses import dataclass, field, fields
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

# How detections may be written, ours first: `wire.formats` holds a codec for each.
OURS = "stgal"
FORMATS = (
    OURS,
    "nvschema",
    "deepstream",
    "scenescape",
    "axis",
    "frigate",
    "dlstreamer",
    "savant",
    "onvif",
)
ARRIVAL = "arrival"
PRESETS = ("imagenet", "fastreid", "openvino", "tao", "half", "deepsort", "raw", "unit")
# Environment variables beside those of keys: what they hold stands in no file and no message.
MQTT_PASSWORD = "STGAL_MQTT_PASSWORD"  # noqa: S105  # its name
WEBHOOK_SECRET = "STGAL_WEBHOOK_SECRET"  # noqa: S105
HTTP_TOKEN = "STGAL_HTTP_TOKEN"  # noqa: S105
WEB_TOKEN = "STGAL_WEB_TOKEN"  # noqa: S105
WEB_VIEWER_TOKEN = "STGAL_WEB_VIEWER_TOKEN"  # noqa: S105
SECRETS = (MQTT_PASSWORD, WEBHOOK_SECRET, HTTP_TOKEN, WEB_TOKEN, WEB_VIEWER_TOKEN)
METHODS = ("calibrated", "paper", "appearance")
LOG_LEVELS = ("debug", "info", "warning", "error")
PROVIDERS = ("TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider")
_DAY_S = 86_400.0


def _key(
    default: Any,
    meaning: str,
    *,
    minimum: float | None = None,
    above: float | None = None,
    maximum: float | None = None,
    choices: tuple[str, ...] = (),
    may_be_infinite: bool = False,
) -> Any:
    """One key: its default, what it means, and the values that it can have."""
    about = {
        "meaning": meaning,
        "minimum": minimum,
        "above": above,
        "maximum": maximum,
        "choices": choices,
        "may_be_infinite": may_be_infinite,
    }
    if isinstance(default, dict):
        return field(default_factory=lambda: dict(default), metadata=about)
    return field(default=default, metadata=about)


def allowed(about: Any) -> str:
    """The values that a key can have, in words; empty where any will do."""
    if about["choices"]:
        return "one of " + ", ".join(about["choices"])
    parts = [
        f"{word} {about[name]:,g}"
        for name, word in (("minimum", "at least"), ("above", "above"), ("maximum", "at most"))
        if about[name] is not None
    ]
    return " and ".join(parts)


def _check(section: Any) -> None:
    """
    Raises:
        ValueError: a value is outside its range.
    """
    for key in fields(section):
        value, about = getattr(section, key.name), key.metadata
        if about["choices"]:
            for each in value if isinstance(value, tuple) else (value,):
                if each not in about["choices"]:
                    by_lower = {choice.lower(): choice for choice in about["choices"]}
                    near = difflib.get_close_matches(each.lower(), by_lower, n=1, cutoff=0.0)[0]
                    detail = f"{key.name}: {each!r} is not {allowed(about)}"
                    raise ValueError(f"{detail}; did you mean {by_lower[near]!r}?")
        elif isinstance(value, int | float):
            low, above, high = about["minimum"], about["above"], about["maximum"]
            is_number = math.isfinite(value) or (about["may_be_infinite"] and value == math.inf)
            if not is_number:
                raise ValueError(f"{key.name} is {value}, not a finite number")
            too_low = (low is not None and value < low) or (above is not None and value <= above)
            if too_low or (high is not None and value > high):
                raise ValueError(f"{key.name} is {value}, but must be {allowed(about)}")


@dataclass(slots=True)
class KafkaSettings:
    """How to reach Kafka."""

    brokers: tuple[str, ...] = _key((), "HOST:PORT of each broker; `--brokers` overrides it.")
    instance: str | None = _key(
        None, "Name of this worker, the same after a restart. Two workers must differ in it."
    )
    group_prefix: str = _key("stgal", "Consumer groups and transactional ids begin with it.")
    connect_timeout_s: float = _key(30.0, "Give up connecting after so long.", above=0)
    partitions: int = _key(4, "Partitions of topics that are made.", minimum=1)
    security: dict[str, Any] = _key(  # noqa: RUF009  # a field with a factory
        {}, "TLS and SASL, passed on to kafka-python as they are."
    )

    def __post_init__(self) -> None:
        _check(self)


@dataclass(slots=True)
class TopicSettings:
    """Names of the topics and how long they keep records. ``releases`` is kept for ever: it says
    which extractor is in use; ``erasures``, too."""

    detections: str = _key("detections", "Crops, or embeddings, as cameras publish them.")
    embeddings: str = _key("embeddings", "From the embed stage to the associate stage.")
    identities: str = _key("identities", "Identity events.")
    associations: str = _key("associations", "Pseudo-pairs, accepted and withdrawn.")
    calibrations: str = _key("calibrations", "What was learned of each site, when it was.")
    corrections: str = _key("corrections", "What operators said of who is who.")
    erasures: str = _key("erasures", "That somebody was erased, and when; nothing of them.")
    dead_letters: str = _key("dead-letters", "Records that cannot be used, with the reason.")
    releases: str = _key("releases", "Promotions and rollbacks of the extractor.")
    retention_personal_s: float = _key(
        7 * _DAY_S, "How long detections and embeddings (personal data) are kept.", above=0
    )
    retention_results_s: float = _key(
        30 * _DAY_S,
        "How long identities, associations, calibrations, corrections and dead letters are kept.",
        above=0,
    )

    def __post_init__(self) -> None:
        _check(self)

    @property
    def erasable(self) -> frozenset[str]:
        """Topics that we write of people: one record must be able to leave them."""
        return frozenset(
            (
                self.embeddings,
                self.identities,
                self.associations,
                self.corrections,
                self.dead_letters,
            )
        )


@dataclass(slots=True)
class InputSettings:
    """What is taken from the detections topic, and what it means."""

    format: str = _key(
        "auto",
        "Format of the records; `auto` recognises each record by itself.",
        choices=("auto", *FORMATS),
    )
    max_record_bytes: int = _key(4 * 1024 * 1024, "Larger records are refused.", minimum=1)
    max_objects: int = _key(1_000, "Frames with more objects are refused.", minimum=1)
    max_future_s: float = _key(
        86_400.0,
        "Detections dated so far beyond their arrival are refused. A clock that is less off is "
        "found and corrected.",
        minimum=0,
        may_be_infinite=True,
    )
    timestamp_zone: str = _key(
        "", "Time zone of timestamps that name none, as `Europe/Berlin`; empty: they are refused."
    )
    stream_start: str = _key(
        "",
        "When streams began whose records count time from there, as `2026-01-31T12:00:00Z`; "
        "`arrival`: such a record is of the time at which the log took it; empty: it is refused.",
    )
    person_types: tuple[str, ...] = _key(
        ("person", "pedestrian", "human"),
        "Object types that are people, in any case; class numbers as text.",
    )
    upstream_model: str = _key(
        "",
        "Names what made the vectors that come without a model's name. Empty: in a detector's own "
        "format they are named by it and their size, in ours they are refused.",
    )

    def __post_init__(self) -> None:
        _check(self)
        self.person_types = tuple(name.lower() for name in self.person_types)
        if self.timestamp_zone:
            try:
                ZoneInfo(self.timestamp_zone)
            except (ZoneInfoNotFoundError, ValueError, OSError) as error:
                detail = f"timestamp_zone: {self.timestamp_zone!r} is no time zone"
                raise ValueError(f"{detail}; `Europe/Berlin` is one") from error
        if self.stream_start not in ("", ARRIVAL) and self.stream_start_s is None:
            detail = f"stream_start: {self.stream_start!r} is no time with an offset"
            raise ValueError(f"{detail}; `2026-01-31T12:00:00Z` is one")

    @property
    def stream_start_s(self) -> float | None:
        """``stream_start`` in Unix seconds; None where it is empty or no time."""
        try:
            start = datetime.fromisoformat(self.stream_start)
        except ValueError:
            return None
        return None if start.tzinfo is None else start.timestamp()


@dataclass(slots=True)
class EmbedSettings:
    """The embed stage. On a CPU a batch uses ``threads``, and as many batches run side by side as
    there are cores for."""

    model: str = _key("", "ONNX extractor; empty is the one that the package ships.")
    preset: str = _key(
        "",
        "Preprocessing of an extractor that does not describe itself; empty: as it shows.",
        choices=("", *PRESETS),
    )
    releases: str = _key("", "Folder of retrained extractors; empty: beside the log or snapshots.")
    batch_size: int = _key(32, "Crops in an inference batch.", minimum=1)
    max_wait_s: float = _key(0.05, "A batch waits so long for more crops.", minimum=0)
    threads: int = _key(1, "Threads of one batch on a CPU.", minimum=1)
    keep_crops: bool = _key(
        True,
        "Keep pictures in the embedded log as long as personal data. Else a detection leaves the "
        "log as it is embedded: no retraining, no picture on the page, no window that is embedded "
        "again. `run --no-crops`.",
    )
    eight_bit: bool = _key(True, "Use an extractor's 8-bit variant on a CPU, if it has one.")
    decode_threads: int = _key(2, "Threads that decode pictures.", minimum=1)
    max_crop_bytes: int = _key(2 * 1024 * 1024, "Larger pictures are refused.", minimum=1)
    max_crop_pixels: int = _key(4_000_000, "Pictures with more pixels are refused.", minimum=1)
    tick_after_s: float = _key(5.0, "A silent site's event time goes on after so long.", above=0)
    self_test_s: float = _key(
        120.0, "A release must pass its self-test in so long, else it is refused.", above=0
    )
    self_test_bytes: int = _key(
        8 * 1024**3, "What its self-test may hold of memory on a CPU.", minimum=2**28
    )
    providers: tuple[str, ...] = _key(
        PROVIDERS, "onnxruntime's providers, the preferred one first.", choices=PROVIDERS
    )

    def __post_init__(self) -> None:
        _check(self)

    @property
    def loading(self) -> dict[str, Any]:
        """How an extractor is loaded: ``OnnxExtractor``'s options."""
        return {
            "providers": self.providers,
            "threads": self.threads,
            "eight_bit": self.eight_bit,
            "preset": self.preset,
        }

    @property
    def limits(self) -> dict[str, Any]:
        """What an extractor's trial may take: ``extractor.trial.tried``'s options."""
        return {"limit_s": self.self_test_s, "limit_bytes": self.self_test_bytes}


@dataclass(frozen=True, slots=True)
class TrackerSettings:
    """The association; none of it is about a site. Times are event time."""

    method: str = _key(
        "calibrated",
        "`calibrated` learns from the stream; `paper` uses the paper's equations and constants as "
        "printed; `appearance` leaves travel times out.",
        choices=METHODS,
    )
    allowed_lateness_s: float = _key(
        10.0, "Decisions wait so long for detections that come in another order.", minimum=0
    )
    window_s: float = _key(3600.0, "Tracklets are compared for so long.", above=0)
    max_tracklets: int = _key(20_000, "Tracklets in the window; the oldest leave first.", minimum=1)
    max_open_tracklets: int = _key(
        10_000, "Detections and tracklets that wait to be complete.", minimum=1
    )
    max_cameras: int = _key(1_000, "Cameras of a site; those beyond are refused.", minimum=1)
    step_s: float = _key(
        1.0,
        "Decisions fall on this grid of event time, so that they do not depend on polling.",
        minimum=0.01,
        maximum=3600,
    )
    tracklet_gap_s: float = _key(3.0, "A camera's track ends after such a gap.", above=0)
    tracklet_max_s: float = _key(30.0, "Longer tracks are cut.", above=0)
    box_track_gap_s: float = _key(
        5.0, "Where a camera gives no tracks: boxes so far apart are not joined.", above=0
    )
    static_after_s: float = _key(
        600.0,
        "A box that has neither moved nor changed its look for so long is no person (a poster, a "
        "mannequin); `inf`: none ever is.",
        above=0,
        may_be_infinite=True,
    )
    first_calibration: int = _key(12, "Tracklets before the first calibration.", minimum=1)
    calibration_growth: float = _key(
        0.25,
        "Calibrate again when this share of the window is new; below a hundred tracklets sooner.",
        above=0,
    )
    calibration_tracklets: int = _key(
        4_000, "A calibration uses the newest so many tracklets.", minimum=1
    )
    min_log_odds: float = _key(-0.5, "Log odds at which a tracklet joins or identities merge.")
    paper_alpha: float = _key(0.01, "Method `paper`: alpha of equation 1.", above=0)
    paper_epsilon_s: float = _key(10.0, "Method `paper`: epsilon of equation 4.", above=0)

    def __post_init__(self) -> None:
        _check(self)


@dataclass(frozen=True, slots=True)
class AssociateSettings(TrackerSettings):
    """The associate stage: the tracker of each site, and how many sites there may be."""

    max_sites: int = _key(1_000, "Sites of one partition; those beyond are refused.", minimum=1)


@dataclass(slots=True)
class DaemonSettings:
    """The process."""

    state_dir: str = _key("stgal-state", "Where snapshots lie.")
    snapshot_every_s: float = _key(30.0, "How often snapshots are written.", above=0)
    http_host: str = _key("127.0.0.1", "Address of /metrics, /healthz and /readyz.")
    http_port: int = _key(9464, "Its port; 0 takes any free one.", minimum=0, maximum=65_535)
    http_detections: bool = _key(
        False,
        "Take detections by POST to /v1/detections on that port. Beyond loopback it needs the "
        "environment variable `STGAL_HTTP_TOKEN`, which senders give as `Authorization: Bearer`.",
    )
    log_level: str = _key("info", "What is logged on standard error.", choices=LOG_LEVELS)

    def __post_init__(self) -> None:
        _check(self)


@dataclass(slots=True)
class Config:
    """All sections."""

    kafka: KafkaSettings = field(default_factory=KafkaSettings)
    topics: TopicSettings = field(default_factory=TopicSettings)
    input: InputSettings = field(default_factory=InputSettings)
    embed: EmbedSettings = field(default_factory=EmbedSettings)
    associate: AssociateSettings = field(default_factory=AssociateSettings)
    daemon: DaemonSettings = field(default_factory=DaemonSettings)

    def releases_folder(self, embedded: Path | None) -> Path:
        """Where releases lie: as configured, else in the embedded log's directory, else beside the
        snapshots."""
        if self.embed.releases:
            return Path(self.embed.releases)
        return (Path(self.daemon.state_dir) if embedded is None else embedded) / "releases"
