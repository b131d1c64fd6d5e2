"""What Prometheus sees. Names end in their unit; a counter for everything that is not used."""

from __future__ import annotations

from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_PROBABILITIES = (0.001, 0.01, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9, 1.0)
_SECONDS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Metrics:
    """All metrics of one process, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        r = self.registry
        self.detections = Counter(
            "stgal_detections", "Records read from the detections topic", registry=r
        )
        self.embeddings = Counter("stgal_embeddings", "Embeddings written", ["source"], registry=r)
        self.dead_letters = Counter(
            "stgal_dead_letters", "Records that could not be used", ["reason"], registry=r
        )
        self.associations = Counter(
            "stgal_associations",
            "Pseudo-pairs that best-buddies search accepted",
            ["site", "first", "second"],
            registry=r,
        )
        self.withdrawn = Counter(
            "stgal_associations_withdrawn", "Pseudo-pairs withdrawn again", ["site"], registry=r
        )
        self.association_rate = Gauge(
            "stgal_association_ratio",
            "Share of the window's tracklets that are in an accepted pair",
            ["site"],
            registry=r,
        )
        self.probability = Histogram(
            "stgal_accepted_probability",
            "P_v, P_t and P_a of accepted pairs",
            ["kind"],
            buckets=_PROBABILITIES,
            registry=r,
        )
        self.identities = Counter(
            "stgal_identity_events", "Identity events by type", ["site", "type"], registry=r
        )
        self.active = Gauge(
            "stgal_identities_active", "Identities in the window", ["site"], registry=r
        )
        self.conflicts = Gauge(
            "stgal_negative_conflict_ratio",
            "Accepted pairs whose identities conflict with a known negative, a label-free "
            "estimate of false associations",
            ["site"],
            registry=r,
        )
        self.watermark_delay = Gauge(
            "stgal_watermark_delay_seconds",
            "Append time of the newest record minus the watermark",
            ["site"],
            registry=r,
        )
        self.lag = Gauge(
            "stgal_consumer_lag_records", "Records not yet read", ["stage", "partition"], registry=r
        )
        self.latency = Histogram(
            "stgal_stage_latency_seconds",
            "Time from a record's append to the commit of what follows from it",
            ["stage"],
            buckets=_SECONDS,
            registry=r,
        )
        self.batch_size = Histogram(
            "stgal_batch_size", "Crops in an inference batch", buckets=_SIZES, registry=r
        )
        self.window = Gauge(
            "stgal_window_tracklets", "Tracklets in the window", ["site"], registry=r
        )
        self.alpha = Gauge("stgal_alpha", "Alpha of the calibration in force", ["site"], registry=r)
        self.sigma = Gauge("stgal_sigma", "Sigma of the calibration in force", ["site"], registry=r)
        self.expected_precision = Gauge(
            "stgal_expected_precision",
            "Mean posterior probability of the accepted pairs in the window, found without labels",
            ["site"],
            registry=r,
        )
        self.linked = Gauge(
            "stgal_linked_camera_pairs", "Camera pairs found to share people", ["site"], registry=r
        )
        self.snapshot_time = Gauge(
            "stgal_snapshot_timestamp_seconds", "When the last snapshot was written", registry=r
        )
        self.snapshot_age = Gauge(
            "stgal_snapshot_age_seconds", "Seconds since the last snapshot", registry=r
        )
        self.extractor = Gauge(
            "stgal_extractor_info",
            "The extractor in use (always 1)",
            ["version", "provider"],
            registry=r,
        )
        self.release_refused = Gauge(
            "stgal_release_refused",
            "1 while the release promoted last could not be used and another extractor runs",
            registry=r,
        )
        self.promoted_time = Gauge(
            "stgal_release_promoted_timestamp_seconds",
            "When a release was last promoted or rolled back",
            registry=r,
        )
        self.reembedded = Counter(
            "stgal_reembedded", "Detections of the window embedded anew for a switch", registry=r
        )
        self.switch_held = Gauge(
            "stgal_switch_held_seconds",
            "How long a site partition has waited for other workers to switch the extractor",
            ["partition"],
            registry=r,
        )
        self.switches = Counter(
            "stgal_extractor_switches", "Site partitions that changed the extractor", registry=r
        )
        self.retrained_time = Gauge(
            "stgal_retraining_timestamp_seconds", "When the last retraining ended", registry=r
        )
        self.retraining_seconds = Gauge(
            "stgal_retraining_duration_seconds", "How long the last retraining took", registry=r
        )
        self.retraining_pairs = Gauge(
            "stgal_retraining_pairs", "Pseudo-pairs of the last retraining", registry=r
        )
        self.retraining_passed = Gauge(
            "stgal_retraining_passed", "1 if the last retraining passed the gate", registry=r
        )
        self.gate = Gauge(
            "stgal_retraining_gate",
            "The gate's figures of the last retraining, baseline and candidate",
            ["extractor", "figure"],
            registry=r,
        )
        self.restarts = Counter(
            "stgal_stage_restarts", "Stages started anew after an error", ["stage"], registry=r
        )
        self._extractors: set[tuple[str, str]] = set()
        self._lagging: set[tuple[str, int]] = set()

    def use_extractors(self, used: set[tuple[str, str]]) -> None:
        """The versions in use here, each with its provider; no scrape finds none in between."""
        for version, provider in used:
            self.extractor.labels(version, provider).set(1)
        for version, provider in self._extractors - used:
            self.extractor.remove(version, provider)
        self._extractors = used

    def note_lags(self, stage: str, lags: Mapping[int, int]) -> None:
        """How far a stage is behind in each partition that it holds; what others hold now is theirs
        to say."""
        for number, lag in lags.items():
            self.lag.labels(stage, str(number)).set(lag)
        held = {(stage, number) for number in lags}
        for name, number in {at for at in self._lagging if at[0] == stage} - held:
            self.lag.remove(name, str(number))
        self._lagging = {at for at in self._lagging if at[0] != stage} | held
