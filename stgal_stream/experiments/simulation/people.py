"""Rendered people: what makes one of them look like herself.

A :class:`Person` is a fixed set of clothes, colours and proportions. Nothing in it depends on a
camera, so two crops of one person differ only by what the camera, the light and the pose do.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

Rgb = tuple[int, int, int]

PATTERNS = ("plain", "horizontal", "vertical", "checks", "two_tone", "logo")
LOWERS = ("trousers", "shorts", "skirt")
BAGS = ("none", "backpack", "shoulder", "handbag")

# Clothes in a street are mostly neutral: a palette of a few hues with jitter, so that unrelated
# people often wear nearly the same thing.
_CLOTHES: tuple[tuple[Rgb, float], ...] = (
    ((28, 28, 32), 0.17),
    ((235, 235, 230), 0.12),
    ((120, 120, 125), 0.11),
    ((35, 45, 85), 0.12),
    ((70, 100, 150), 0.09),
    ((150, 35, 40), 0.08),
    ((200, 60, 60), 0.04),
    ((60, 90, 55), 0.06),
    ((185, 165, 130), 0.08),
    ((95, 65, 45), 0.05),
    ((215, 180, 60), 0.03),
    ((190, 110, 150), 0.03),
    ((90, 170, 190), 0.02),
)
_SKIN: tuple[Rgb, ...] = ((236, 200, 175), (215, 170, 135), (170, 120, 85), (110, 75, 55))
_HAIR: tuple[Rgb, ...] = (
    (25, 20, 18),
    (60, 42, 30),
    (110, 78, 48),
    (190, 155, 95),
    (150, 150, 150),
)


@dataclass(frozen=True, slots=True)
class Person:
    """Clothes, colours (RGB, 0 to 255) and proportions (1.0 is average) of one rendered person."""

    skin: Rgb
    hair: Rgb
    upper: Rgb
    second: Rgb
    pattern: str
    pattern_period: float
    long_sleeves: bool
    lower: Rgb
    lower_kind: str
    shoes: Rgb
    bag: str
    bag_colour: Rgb
    hat: bool
    hat_colour: Rgb
    long_hair: bool
    height: float
    girth: float

    def attributes(self) -> NDArray[np.float32]:
        """What a network can learn to read from a crop, (n_attributes,) float32, unscaled."""
        plain = self.pattern == "plain"
        colours = (
            self.skin,
            self.hair,
            self.upper,
            self.upper if plain else self.second,
            self.lower,
            self.shoes,
            self.hat_colour if self.hat else self.hair,
            self.bag_colour if self.bag != "none" else self.upper,
        )
        flags = [
            *(float(self.pattern == p) for p in PATTERNS),
            *(float(self.lower_kind == k) for k in LOWERS),
            *(float(self.bag == b) for b in BAGS),
            float(self.hat),
            float(self.long_hair),
            float(self.long_sleeves),
        ]
        values = [c / 255.0 for colour in colours for c in colour] + flags
        return np.array([*values, self.height, self.girth], dtype=np.float32)


def random_person(rng: np.random.Generator) -> Person:
    """A person drawn from the street's wardrobe."""
    bag = BAGS[rng.choice(len(BAGS), p=(0.45, 0.25, 0.18, 0.12))]
    return Person(
        skin=_jitter(rng, _SKIN[rng.integers(len(_SKIN))], 10),
        hair=_jitter(rng, _HAIR[rng.choice(len(_HAIR), p=(0.4, 0.25, 0.15, 0.1, 0.1))], 10),
        upper=_cloth(rng),
        second=_cloth(rng),
        pattern=PATTERNS[rng.choice(len(PATTERNS), p=(0.5, 0.13, 0.07, 0.08, 0.1, 0.12))],
        pattern_period=float(rng.uniform(0.12, 0.3)),
        long_sleeves=bool(rng.random() < 0.55),
        lower=_cloth(rng),
        lower_kind=LOWERS[rng.choice(len(LOWERS), p=(0.66, 0.18, 0.16))],
        shoes=_cloth(rng),
        bag=bag,
        bag_colour=_cloth(rng),
        hat=bool(rng.random() < 0.12),
        hat_colour=_cloth(rng),
        long_hair=bool(rng.random() < 0.4),
        height=float(np.clip(rng.normal(1.0, 0.05), 0.86, 1.12)),
        girth=float(np.clip(rng.normal(1.0, 0.12), 0.75, 1.35)),
    )


def look_alike(person: Person, rng: np.random.Generator) -> Person:
    """Somebody who wears the same clothes in nearly the same colours; one thing differs."""
    other = replace(
        person,
        upper=_jitter(rng, person.upper, 12),
        lower=_jitter(rng, person.lower, 12),
        skin=_jitter(rng, _SKIN[rng.integers(len(_SKIN))], 10),
        girth=float(np.clip(person.girth + rng.normal(0, 0.08), 0.75, 1.35)),
    )
    fresh = random_person(rng)
    change = int(rng.integers(4))
    if change == 0:
        return replace(other, hair=fresh.hair, long_hair=not person.long_hair)
    if change == 1:
        return replace(other, bag=fresh.bag, bag_colour=fresh.bag_colour)
    if change == 2:
        return replace(other, shoes=fresh.shoes, long_sleeves=not person.long_sleeves)
    return replace(other, hat=not person.hat, hat_colour=fresh.hat_colour)


def _cloth(rng: np.random.Generator) -> Rgb:
    weights = np.array([w for _, w in _CLOTHES])
    base = _CLOTHES[rng.choice(len(_CLOTHES), p=weights / weights.sum())][0]
    return _jitter(rng, base, 18)


def _jitter(rng: np.random.Generator, colour: Rgb, spread: float) -> Rgb:
    red, green, blue = np.clip(np.array(colour) + rng.normal(0, spread, 3), 0, 255)
    return int(red), int(green), int(blue)
