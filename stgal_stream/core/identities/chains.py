"""The paper's identities: chains of accepted pairs. There are no odds, so nothing is weighed."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from stgal_stream.core.identities.rules import IdentityRules
from stgal_stream.core.matching.gated_scores import GatedScores
from stgal_stream.types import Pair


def chain_of(
    rules: IdentityRules, number: int, scores: GatedScores, added: set[Pair]
) -> int | None:
    """The slot that a tracklet joins through its most probable accepted pair, if any."""
    forbidden = rules.forbidden_to(number)
    first = rules.scorer.gallery.first
    partners = np.array(sorted(i for i, j in added if j == number), np.int64)
    most_probable = np.argsort(-scores.at(partners - first).p_association, kind="stable")
    slots = [rules.registry.slot_of(i) for i in partners[most_probable].tolist()]
    return next((slot for slot in slots if slot not in forbidden), None)


def chains_to_merge(rules: IdentityRules, added: set[Pair]) -> Iterator[tuple[int, int]]:
    """Pairs of slots that accepted pairs tie together. The caller merges between two ``next``
    calls."""
    for i, j in sorted(added):
        first, second = rules.registry.slot_of(i), rules.registry.slot_of(j)
        if first != second and not rules.are_apart(first, second):
            yield first, second
