"""What a site's tracker says -> metrics."""

from __future__ import annotations

import logging
import math

from stgal_stream.core.calibration.link_test import LinkStatus
from stgal_stream.core.tracker.site_tracker import SiteTracker
from stgal_stream.monitoring.metrics import Metrics
from stgal_stream.types import AssociationEvent, CorrectionEvent, Event, IdentityEvent, Refusal

logger = logging.getLogger(__name__)


def observe_event(metrics: Metrics, site: str, event: Event) -> None:
    """Counts one event."""
    if isinstance(event, IdentityEvent):
        metrics.identities.labels(site, event.kind).inc()
    elif isinstance(event, AssociationEvent):
        if event.kind == "withdrawn":
            metrics.withdrawn.labels(site).inc()
            return
        evidence = event.evidence
        pair = sorted((event.query.camera, evidence.partner.camera))
        metrics.associations.labels(site, *pair).inc()
        metrics.probability.labels("visual").observe(evidence.p_visual)
        metrics.probability.labels("travel").observe(evidence.p_travel)
        metrics.probability.labels("association").observe(evidence.p_association)
    elif isinstance(event, CorrectionEvent):
        is_obeyed = "no" if event.refused else "yes"
        metrics.corrections.labels(site, event.correction.verdict, is_obeyed).inc()
    elif isinstance(event, Refusal):
        metrics.dead_letters.labels(str(event.reason)).inc()


def observe_site(metrics: Metrics, site: str, tracker: SiteTracker, append_time_s: float) -> None:
    """Sets the gauges of one site."""
    window = tracker.window
    n = len(window.gallery)
    metrics.window.labels(site).set(n)
    metrics.active.labels(site).set(len(window.identities))
    if tracker.watermark_s > 0:
        metrics.watermark_delay.labels(site).set(append_time_s - tracker.watermark_s)
    odd_s = tracker.clock.odd_s
    for camera in sorted(metrics.note_clocks(site, odd_s)):
        logger.warning(
            "site %s: the clock of camera %s, or what sends its records, is %.0f s %s the others; "
            "its times are corrected by that",
            site,
            camera,
            abs(odd_s[camera]),
            "ahead of" if odd_s[camera] > 0 else "behind",
        )
    metrics.association_rate.labels(site).set(window.accepted.n_tracklets / max(1, n))
    metrics.conflicts.labels(site).set(window.conflict_share)
    calibration = window.scorer.calibration
    if calibration is not None:
        metrics.alpha.labels(site).set(calibration.alpha)
        metrics.sigma.labels(site).set(calibration.sigma)
        metrics.expected_precision.labels(site).set(window.accepted.expected_precision)
        whole = window.resolver.precision.value
        metrics.expected_identity_precision.labels(site).set(math.nan if whole is None else whole)
        linked = sum(m.link is LinkStatus.LINKED for m in calibration.pairs.values())
        metrics.linked.labels(site).set(linked)
