"""What a retraining is asked for."""

from __future__ import annotations

from dataclasses import dataclass

from stgal_stream.training.trainer import TrainingSettings


@dataclass(frozen=True, slots=True)
class JobSettings:
    """``held_out`` is the share of the newest sightings that training does not see,
    ``max_tracklets`` how many sightings are used at all; ``crop_size`` is the height and width in
    pixels that the release takes, the baseline's unless given. ``within_cameras`` trains on what
    each camera alone tells apart (the paper's Baseline B); ``eight_bit`` makes the release's 8-bit
    variant too."""

    training: TrainingSettings
    held_out: float = 0.3
    max_tracklets: int = 20_000
    crop_size: tuple[int, int] | None = None
    min_pairs: int = 100
    promote: bool = True
    resume: bool = False
    within_cameras: bool = False
    eight_bit: bool = True
