"""What the last retraining said in the log -> metrics."""

from __future__ import annotations

from stgal_stream.monitoring.metrics import Metrics
from stgal_stream.wire.rollout import Retrained

_FIGURES = ("log_score", "n_buddies", "expected_precision", "separation")


def observe_retraining(metrics: Metrics, last: Retrained) -> None:
    """Sets the gauges of the last retraining."""
    metrics.retrained_time.set(last.at_s)
    metrics.retraining_seconds.set(last.seconds)
    metrics.retraining_pairs.set(last.n_pairs)
    metrics.retraining_passed.set(last.passed)
    for judged in ("baseline", "candidate"):
        for figure in _FIGURES:
            figures = last.gate.get(judged)
            value = figures.get(figure) if isinstance(figures, dict) else None
            if isinstance(value, int | float):  # the log may hold anything
                metrics.gate.labels(judged, figure).set(value)
