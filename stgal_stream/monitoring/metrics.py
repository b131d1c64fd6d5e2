"""What Prometheus sees: one table of all metrics. Names end in their unit; a counter for everything
that is not used. The reference page of the documentation is made from the table."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_PROBABILITIES = (0.001, 0.01, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9, 1.0)
_SECONDS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)


@dataclass(frozen=True, slots=True)
class Definition:
    """One metric: the attribute of ``Metrics`` that holds it, its kind, its name in Prometheus
    (counters end in ``_total`` there), what it says, its labels, and a histogram's buckets."""

    attribute: str
    kind: type[Counter] | type[Gauge] | type[Histogram]
    name: str
    meaning: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] | None = None

    def made(self, registry: CollectorRegistry) -> Counter | Gauge | Histogram:
        """The metric itself."""
        more: dict[str, Any] = {} if self.buckets is None else {"buckets": self.buckets}
        return self.kind(self.name, self.meaning, self.labels, registry=registry, **more)


DEFINITIONS = (
    Definition("detections", Counter, "stgal_detections", "Records read from the detections topic"),
    Definition("embeddings", Counter, "stgal_embeddings", "Embeddings written", ("source",)),
    Definition(
        "dead_letters", Counter, "stgal_dead_letters", "Records that could not be used", ("reason",)
    ),
    Definition(
        "other_objects",
        Counter,
        "stgal_other_objects",
        "Objects of detectors' frames that are no people",
    ),
    Definition(
        "associations",
        Counter,
        "stgal_associations",
        "Pseudo-pairs that best-buddies search accepted",
        ("site", "first", "second"),
    ),
    Definition(
        "withdrawn",
        Counter,
        "stgal_associations_withdrawn",
        "Pseudo-pairs withdrawn again",
        ("site",),
    ),
    Definition(
        "association_rate",
        Gauge,
        "stgal_association_ratio",
        "Share of the window's tracklets that are in an accepted pair",
        ("site",),
    ),
    Definition(
        "probability",
        Histogram,
        "stgal_accepted_probability",
        "P_v, P_t and P_a of accepted pairs",
        ("kind",),
        buckets=_PROBABILITIES,
    ),
    Definition(
        "identities", Counter, "stgal_identity_events", "Identity events by type", ("site", "type")
    ),
    Definition(
        "corrections",
        Counter,
        "stgal_corrections",
        "Operators' corrections of who is who, and whether they were obeyed",
        ("site", "verdict", "obeyed"),
    ),
    Definition("active", Gauge, "stgal_identities_active", "Identities in the window", ("site",)),
    Definition(
        "conflicts",
        Gauge,
        "stgal_negative_conflict_ratio",
        "Accepted pairs whose identities conflict with a known negative, a label-free "
        "estimate of false associations",
        ("site",),
    ),
    Definition(
        "watermark_delay",
        Gauge,
        "stgal_watermark_delay_seconds",
        "Append time of the newest record minus the watermark",
        ("site",),
    ),
    Definition(
        "clock_offset",
        Gauge,
        "stgal_camera_clock_offset_seconds",
        "What a camera's clock shows more than most of its site's, where it is 10 s or more",
        ("site", "camera"),
    ),
    Definition(
        "lag", Gauge, "stgal_consumer_lag_records", "Records not yet read", ("stage", "partition")
    ),
    Definition(
        "latency",
        Histogram,
        "stgal_stage_latency_seconds",
        "Time from a record's append to the commit of what follows from it",
        ("stage",),
        buckets=_SECONDS,
    ),
    Definition(
        "batch_size", Histogram, "stgal_batch_size", "Crops in an inference batch", buckets=_SIZES
    ),
    Definition("window", Gauge, "stgal_window_tracklets", "Tracklets in the window", ("site",)),
    Definition("alpha", Gauge, "stgal_alpha", "Alpha of the calibration in force", ("site",)),
    Definition("sigma", Gauge, "stgal_sigma", "Sigma of the calibration in force", ("site",)),
    Definition(
        "expected_precision",
        Gauge,
        "stgal_expected_precision",
        "Mean posterior probability of the accepted pairs in the window, found without labels",
        ("site",),
    ),
    Definition(
        "expected_identity_precision",
        Gauge,
        "stgal_expected_identity_precision",
        "Share of the pairs of sightings that identities hold across cameras expected to be "
        "right, as of the last calibration, found without labels; NaN where there is none",
        ("site",),
    ),
    Definition(
        "linked",
        Gauge,
        "stgal_linked_camera_pairs",
        "Camera pairs found to share people",
        ("site",),
    ),
    Definition(
        "snapshot_time",
        Gauge,
        "stgal_snapshot_timestamp_seconds",
        "When the last snapshot was written",
    ),
    Definition(
        "snapshot_age", Gauge, "stgal_snapshot_age_seconds", "Seconds since the last snapshot"
    ),
    Definition(
        "extractor",
        Gauge,
        "stgal_extractor_info",
        "The extractor in use (always 1)",
        ("version", "provider"),
    ),
    Definition(
        "release_refused",
        Gauge,
        "stgal_release_refused",
        "1 while the release promoted last could not be used and another extractor runs",
    ),
    Definition(
        "promoted_time",
        Gauge,
        "stgal_release_promoted_timestamp_seconds",
        "When a release was last promoted or rolled back",
    ),
    Definition(
        "reembedded",
        Counter,
        "stgal_reembedded",
        "Detections of the window embedded again for a switch",
    ),
    Definition(
        "switch_held",
        Gauge,
        "stgal_switch_held_seconds",
        "How long a site partition has waited for other workers to switch the extractor",
        ("partition",),
    ),
    Definition(
        "switches",
        Counter,
        "stgal_extractor_switches",
        "Site partitions that changed the extractor",
    ),
    Definition(
        "retrained_time",
        Gauge,
        "stgal_retraining_timestamp_seconds",
        "When the last retraining ended",
    ),
    Definition(
        "retraining_seconds",
        Gauge,
        "stgal_retraining_duration_seconds",
        "How long the last retraining took",
    ),
    Definition(
        "retraining_pairs", Gauge, "stgal_retraining_pairs", "Pseudo-pairs of the last retraining"
    ),
    Definition(
        "retraining_passed",
        Gauge,
        "stgal_retraining_passed",
        "1 if the last retraining passed the gate",
    ),
    Definition(
        "gate",
        Gauge,
        "stgal_retraining_gate",
        "The gate's figures of the last retraining, baseline and candidate",
        ("extractor", "figure"),
    ),
    Definition(
        "restarts",
        Counter,
        "stgal_stage_restarts",
        "Stages started again after an error",
        ("stage",),
    ),
)


class Metrics:
    """All metrics of one process, in a registry of their own."""

    detections: Counter
    embeddings: Counter
    dead_letters: Counter
    other_objects: Counter
    associations: Counter
    withdrawn: Counter
    association_rate: Gauge
    probability: Histogram
    identities: Counter
    corrections: Counter
    active: Gauge
    conflicts: Gauge
    watermark_delay: Gauge
    clock_offset: Gauge
    lag: Gauge
    latency: Histogram
    batch_size: Histogram
    window: Gauge
    alpha: Gauge
    sigma: Gauge
    expected_precision: Gauge
    expected_identity_precision: Gauge
    linked: Gauge
    snapshot_time: Gauge
    snapshot_age: Gauge
    extractor: Gauge
    release_refused: Gauge
    promoted_time: Gauge
    reembedded: Counter
    switch_held: Gauge
    switches: Counter
    retrained_time: Gauge
    retraining_seconds: Gauge
    retraining_pairs: Gauge
    retraining_passed: Gauge
    gate: Gauge
    restarts: Counter

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        for definition in DEFINITIONS:
            setattr(self, definition.attribute, definition.made(self.registry))
        self._extractors: set[tuple[str, str]] = set()
        self._lagging: set[tuple[str, int]] = set()
        self._odd_clocks: dict[str, set[str]] = {}
        # A disk that never takes a snapshot shows as well: the age counts from the start.
        self._snapshot_s = time.monotonic()

    def watch_snapshots(self) -> None:
        """From here on snapshots are expected: their age goes up until one is written."""
        self._snapshot_s = time.monotonic()
        self.snapshot_age.set_function(lambda: time.monotonic() - self._snapshot_s)

    def note_snapshot(self) -> None:
        """A snapshot was written."""
        self._snapshot_s = time.monotonic()
        self.snapshot_time.set(time.time())

    def use_extractors(self, used: set[tuple[str, str]]) -> None:
        """The versions in use here, each with its provider; no scrape finds none in between."""
        for version, provider in used:
            self.extractor.labels(version, provider).set(1)
        for version, provider in self._extractors - used:
            self.extractor.remove(version, provider)
        self._extractors = used

    def note_clocks(self, site: str, odd_s: Mapping[str, float]) -> set[str]:
        """The cameras of a site whose clocks are off, in seconds; those that were not before."""
        for camera, off_s in odd_s.items():
            self.clock_offset.labels(site, camera).set(off_s)
        before = self._odd_clocks.pop(site, set())
        for camera in before - set(odd_s):
            self.clock_offset.remove(site, camera)
        if odd_s:
            self._odd_clocks[site] = set(odd_s)
        return set(odd_s) - before

    def note_lags(self, stage: str, lags: Mapping[int, int]) -> None:
        """How far a stage is behind in each partition that it holds; what others hold now is theirs
        to say."""
        for number, lag in lags.items():
            self.lag.labels(stage, str(number)).set(lag)
        held = {(stage, number) for number in lags}
        for name, number in {at for at in self._lagging if at[0] == stage} - held:
            self.lag.remove(name, str(number))
        self._lagging = {at for at in self._lagging if at[0] != stage} | held
