"""What speaks for a pair being one person, as an event carries it."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from stgal_stream.core.calibration.model import Scores
from stgal_stream.core.matching.gated_scores import GatedScores
from stgal_stream.core.matching.pair_scorer import PairScorer
from stgal_stream.core.measures.log_odds import probability
from stgal_stream.core.measures.travel_time import travel_time_s
from stgal_stream.types import Evidence, Floats, Pair


def evidence_from(
    scorer: PairScorer,
    number: int,
    partner: int,
    scores: GatedScores,
    runner_up: tuple[int, float] | None = None,
) -> Evidence:
    """What speaks for a pair, from scores of one member against the first rows of the window.
    ``runner_up`` is the best tracklet that was not chosen, and its P_a."""
    of_partner = scores.at(np.array([partner - scorer.gallery.first]))
    return _evidence(scorer, number, partner, of_partner, 0, *(runner_up or ()))


def pair_evidence(scorer: PairScorer, number: int, partner: int) -> Evidence:
    """What speaks for a pair, scored on the spot."""
    return pair_evidences(scorer, [(number, partner)])[0]


def pair_evidences(scorer: PairScorer, pairs: Sequence[Pair]) -> list[Evidence]:
    """What speaks for each pair (number, partner), scored on the spot, camera by camera."""
    found: dict[int, Evidence] = {}
    for at, scores in scorer.of_pairs(pairs):
        for k, i in enumerate(at.tolist()):
            number, partner = pairs[i]
            found[i] = _evidence(scorer, number, partner, scores, k)
    return [found[i] for i in range(len(pairs))]


def posteriors(scorer: PairScorer, pairs: Sequence[Pair]) -> Floats:
    """The probability (N,) of each pair of numbers that it is one person, under the calibration in
    force; one half where nothing is known."""
    log_odds = np.zeros(len(pairs))
    for at, scores in scorer.of_pairs(pairs):
        log_odds[at] = np.nan_to_num(scores.log_odds)
    return probability(log_odds)


def _evidence(
    scorer: PairScorer,
    number: int,
    partner: int,
    scores: Scores,
    at: int,
    runner_up: int | None = None,
    runner_up_p: float = 0.0,
) -> Evidence:
    """The pair whose scores stand at position ``at``."""
    assert scorer.calibration is not None
    gallery, log_odds = scorer.gallery, float(scores.log_odds[at])
    return Evidence(
        partner=gallery[partner],
        p_visual=float(scores.p_visual[at]),
        p_travel=float(scores.p_travel[at]),
        p_association=float(scores.p_association[at]),
        travel_time_s=travel_time_s(gallery[number], gallery[partner]),
        log_odds=0.0 if math.isnan(log_odds) else log_odds,
        travel_time_version=scorer.calibration.version,
        runner_up=None if runner_up is None else gallery[runner_up],
        runner_up_p_association=runner_up_p,
    )
