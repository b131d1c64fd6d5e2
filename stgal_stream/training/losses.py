"""Losses over a batch of features with known likenesses and differences.

``same`` and ``other`` (B, B) say which pairs are held for one person and which for two; a pair that
is neither takes no part.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F

_MEDIAN_DISTANCE = 10.0
_TEMPERATURE = 0.1


def soft_margin_triplets(
    features: torch.Tensor, same: torch.Tensor, other: torch.Tensor
) -> torch.Tensor:
    """Equation 6: the mean of log(1 + exp(d(q, p) - d(q, n))) over all triplets of the batch, with
    distances scaled to a median of 10, so that the margin has one meaning for every release."""
    d = _scaled_distances(features)
    # Query by query: most of all B^3 triplets are none.
    gaps = [(d[q, same[q]][:, None] - d[q, other[q]]).flatten() for q in range(len(d))]
    losses: torch.Tensor = F.softplus(torch.cat(gaps))
    return losses.mean() if losses.numel() else features.sum() * 0.0


def batch_hard(features: torch.Tensor, same: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """Equation 6 in the paper's own wording: for each query the farthest positive and the closest
    negative of the batch alone, distances as they are."""
    return _hardest(_distances(features), features, same, other)


def scaled_batch_hard(
    features: torch.Tensor, same: torch.Tensor, other: torch.Tensor
) -> torch.Tensor:
    """:func:`batch_hard` with distances scaled to a median of 10, whatever the release's own."""
    return _hardest(_scaled_distances(features), features, same, other)


def _hardest(
    d: torch.Tensor, features: torch.Tensor, same: torch.Tensor, other: torch.Tensor
) -> torch.Tensor:
    farthest = d.masked_fill(~same, -torch.inf).amax(dim=1)
    closest = d.masked_fill(~other, torch.inf).amin(dim=1)
    usable = same.any(dim=1) & other.any(dim=1)
    losses = F.softplus(farthest[usable] - closest[usable])
    return losses.mean() if losses.numel() else features.sum() * 0.0


def contrastive(features: torch.Tensor, same: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """Supervised contrastive loss (Khosla et al. 2020) on cosines at temperature 0.1."""
    cosine = F.normalize(features) @ F.normalize(features).T / _TEMPERATURE
    against = torch.where(same | other, cosine, -torch.inf)
    likely = cosine - torch.logsumexp(against, dim=1, keepdim=True)
    n = same.sum(dim=1)
    usable = (n > 0) & other.any(dim=1)
    losses = -(torch.where(same, likely, 0.0).sum(dim=1)[usable] / n[usable])
    return losses.mean() if losses.numel() else features.sum() * 0.0


LOSSES = {
    "scaled-batch-hard": scaled_batch_hard,
    "contrastive": contrastive,
    "triplets": soft_margin_triplets,
    "batch-hard": batch_hard,
}


def _distances(features: torch.Tensor) -> torch.Tensor:
    return torch.cdist(features, features, compute_mode="donot_use_mm_for_euclid_dist")


def _scaled_distances(features: torch.Tensor) -> torch.Tensor:
    d = _distances(features)
    upper = d.detach()[torch.triu(torch.ones_like(d, dtype=torch.bool), 1)]
    return d * (_MEDIAN_DISTANCE / upper.median().clamp_min(1e-6))
