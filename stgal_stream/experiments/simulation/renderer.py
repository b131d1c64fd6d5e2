"""Draws a person as one camera sees her: the crops of the demo, the tests and the training.

Everything that makes re-identification hard varies on purpose: light, colour cast, contrast, blur,
noise, compression, pose, front and back view, clutter behind, people and things in front, and
boxes that sit badly. A camera has its own constant look (:class:`CameraLook`); a crop adds its own.
"""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from stgal_stream.experiments.simulation.people import Person, Rgb, random_person

_SCALE = 2  # drawn at twice the size and then reduced: anti-aliased edges
_SHADE = {"arm": 0.92, "far": 0.82}


@dataclass(frozen=True, slots=True)
class CameraLook:
    """The constant part of what a camera does to a picture. Gains are factors, sigmas in pixels of
    the crop (blur) and in grey levels (noise)."""

    gain: tuple[float, float, float]
    gamma: float
    offset: float
    blur_px: float
    noise: float
    jpeg_quality: int
    heading: float
    background: tuple[Rgb, Rgb, Rgb]
    shade: float


def random_look(rng: np.random.Generator) -> CameraLook:
    """A camera drawn at random; its heading (radians) biases whether people show face or back."""
    level = rng.uniform(0.65, 1.25)
    cast = np.exp(rng.normal(0, 0.09, 3))
    grey = rng.uniform(60, 200, 3)
    tones = [tuple(int(v) for v in np.clip(g + rng.normal(0, 18, 3), 0, 255)) for g in grey]
    return CameraLook(
        gain=(float(level * cast[0]), float(level * cast[1]), float(level * cast[2])),
        gamma=float(np.exp(rng.normal(0, 0.15))),
        offset=float(rng.uniform(-8, 18)),
        blur_px=float(rng.uniform(0.0, 0.9)),
        noise=float(rng.uniform(1.5, 7.0)),
        jpeg_quality=int(rng.integers(60, 92)),
        heading=float(rng.uniform(0, 2 * np.pi)),
        background=(tones[0], tones[1], tones[2]),  # type: ignore[arg-type]
        shade=float(rng.uniform(-0.25, 0.25)),
    )


@dataclass(frozen=True, slots=True)
class Pose:
    """How a person stands in one crop: heading (radians, 0 faces the camera), phase of the step."""

    heading: float
    phase: float
    occluded: bool


def random_pose(look: CameraLook, rng: np.random.Generator, *, occlusion: float = 0.12) -> Pose:
    """A pose as that camera tends to see it: walking towards it, away from it, or across."""
    towards = look.heading + (np.pi if rng.random() < 0.45 else 0.0) + rng.normal(0, 0.5)
    return Pose(
        heading=float(towards % (2 * np.pi)),
        phase=float(rng.uniform(0, 2 * np.pi)),
        occluded=bool(rng.random() < occlusion),
    )


def render(
    person: Person | None,
    look: CameraLook,
    pose: Pose,
    rng: np.random.Generator,
    size: tuple[int, int] = (128, 64),
) -> NDArray[np.uint8]:
    """One crop, (H, W, 3) uint8 RGB. Without a person it is what a detector's false alarm shows."""
    height, width = size
    canvas = Image.new("RGB", (64 * _SCALE, 128 * _SCALE), look.background[0])
    draw = ImageDraw.Draw(canvas)
    _clutter(draw, look, rng)
    if person is not None:
        _figure(draw, person, pose, _Frame.random(person, rng))
    if pose.occluded or person is None:
        _occluder(draw, look, rng)
    picture = canvas.resize((width, height), Image.Resampling.BILINEAR)
    return _expose(picture, look, rng)


def encode_jpeg(crop: NDArray[np.uint8], look: CameraLook) -> bytes:
    """The crop as the camera's own JPEG."""
    buffer = io.BytesIO()
    Image.fromarray(crop).save(buffer, format="JPEG", quality=look.jpeg_quality)
    return buffer.getvalue()


@dataclass(frozen=True, slots=True)
class _Frame:
    """Where the figure stands on the canvas: centre x, top y, height and half width in pixels."""

    x: float
    top: float
    height: float
    half: float

    @classmethod
    def random(cls, person: Person, rng: np.random.Generator) -> _Frame:
        zoom = rng.uniform(0.84, 1.08)
        tall = 112 * _SCALE * person.height * zoom
        top = (128 * _SCALE - tall) * rng.uniform(0.25, 0.75) + rng.normal(0, 3 * _SCALE)
        x = 32 * _SCALE + rng.normal(0, 3.5 * _SCALE)
        return cls(float(x), float(top), float(tall), 13.0 * _SCALE * person.girth * float(zoom))

    def y(self, share: float) -> float:
        return self.top + share * self.height


def _shaded(colour: Rgb, factor: float) -> Rgb:
    red, green, blue = (min(255, int(c * factor)) for c in colour)
    return red, green, blue


def _figure(draw: ImageDraw.ImageDraw, person: Person, pose: Pose, at: _Frame) -> None:
    facing, across = np.cos(pose.heading), np.sin(pose.heading)
    half = at.half * (0.68 + 0.32 * abs(facing))
    swing = np.sin(pose.phase)
    if person.bag == "backpack" and facing > 0.3:
        _straps_behind(draw, person, at, half)
    _legs(draw, person, at, half, across, swing)
    _arm(draw, person, at, half, -1, across, swing, far=True)
    _torso(draw, person, at, half, facing)
    _head(draw, person, at, facing, across)
    _arm(draw, person, at, half, 1, across, swing, far=False)
    _bag(draw, person, at, half, facing, across)


def _legs(
    draw: ImageDraw.ImageDraw, person: Person, at: _Frame, half: float, across: float, swing: float
) -> None:
    hip, knee, foot = at.y(0.52), at.y(0.75), at.y(0.965)
    leg = half * 0.46
    stride = (0.25 + 0.75 * abs(across)) * swing * half * 0.8
    for side, shade in ((-1, _SHADE["far"]), (1, 1.0)):
        x_hip = at.x + side * half * 0.38
        x_foot = x_hip + side * stride
        x_knee = (x_hip + x_foot) / 2 + side * 0.1 * leg
        cloth, skin = _shaded(person.lower, shade), _shaded(person.skin, shade)
        low = skin if person.lower_kind != "trousers" else cloth
        _limb(draw, (x_knee, knee), (x_foot, foot), leg * 0.75, low)
        high = skin if person.lower_kind == "skirt" else cloth
        _limb(draw, (x_hip, hip), (x_knee, knee), leg, high)
        draw.ellipse(
            (x_foot - leg * 0.7, foot - leg * 0.35, x_foot + leg * 0.8, foot + leg * 0.5),
            fill=_shaded(person.shoes, shade),
        )
    if person.lower_kind == "skirt":
        hem = at.y(0.72)
        draw.polygon(
            [
                (at.x - half * 0.8, at.y(0.47)),
                (at.x + half * 0.8, at.y(0.47)),
                (at.x + half * 1.15, hem),
                (at.x - half * 1.15, hem),
            ],
            fill=person.lower,
        )


def _torso(
    draw: ImageDraw.ImageDraw, person: Person, at: _Frame, half: float, facing: float
) -> None:
    top, bottom = at.y(0.17), at.y(0.53)
    left, right = at.x - half, at.x + half
    box = (left, top, right, bottom)
    draw.rounded_rectangle(box, radius=half * 0.35, fill=person.upper)
    inner = half * 0.94
    period = person.pattern_period * (bottom - top)
    if person.pattern in ("horizontal", "checks"):
        y = top + period * 0.5
        while y < bottom - period * 0.3:
            draw.rectangle((at.x - inner, y, at.x + inner, y + period * 0.42), fill=person.second)
            y += period
    if person.pattern in ("vertical", "checks"):
        x = at.x - inner + period * 0.2
        while x < at.x + inner - period * 0.3:
            draw.rectangle((x, top + 3, x + period * 0.35, bottom - 2), fill=person.second)
            x += period
    if person.pattern == "two_tone":
        middle = top + (0.3 + person.pattern_period) * (bottom - top)
        draw.rectangle((at.x - inner, middle, at.x + inner, bottom - 1), fill=person.second)
    if person.pattern == "logo" and facing > -0.2:
        size = half * (0.2 + person.pattern_period)
        middle = top + 0.35 * (bottom - top)
        draw.ellipse((at.x - size, middle - size, at.x + size, middle + size), fill=person.second)


def _arm(
    draw: ImageDraw.ImageDraw,
    person: Person,
    at: _Frame,
    half: float,
    side: int,
    across: float,
    swing: float,
    *,
    far: bool,
) -> None:
    shade = _SHADE["far"] if far else _SHADE["arm"]
    x = at.x + side * half * (1.0 - 0.5 * abs(across))
    reach = -side * swing * half * (0.15 + 0.7 * abs(across))
    shoulder, elbow, hand = (
        (x, at.y(0.21)),
        (x + reach * 0.5, at.y(0.36)),
        (x + reach, at.y(0.5)),
    )
    lower = person.upper if person.long_sleeves else person.skin
    _limb(draw, elbow, hand, half * 0.26, _shaded(lower, shade))
    _limb(draw, shoulder, elbow, half * 0.32, _shaded(person.upper, shade))
    palm = half * 0.16
    draw.ellipse(
        (hand[0] - palm, hand[1] - palm, hand[0] + palm, hand[1] + palm),
        fill=_shaded(person.skin, shade),
    )


def _head(
    draw: ImageDraw.ImageDraw, person: Person, at: _Frame, facing: float, across: float
) -> None:
    radius = at.height * 0.068
    y = at.y(0.09)
    if person.long_hair:
        draw.rounded_rectangle(
            (at.x - radius * 1.05, y - radius, at.x + radius * 1.05, y + radius * 2.1),
            radius=radius * 0.8,
            fill=person.hair,
        )
    draw.rectangle((at.x - radius * 0.4, y, at.x + radius * 0.4, at.y(0.19)), fill=person.skin)
    draw.ellipse(
        (at.x - radius, y - radius * 1.2, at.x + radius, y + radius * 1.2), fill=person.hair
    )
    if facing > -0.35:
        shift = across * radius * 0.45
        wide = radius * (0.5 + 0.35 * max(facing, 0.0))
        draw.ellipse(
            (at.x + shift - wide, y - radius * 0.6, at.x + shift + wide, y + radius * 1.15),
            fill=person.skin,
        )
    if person.hat:
        draw.pieslice(
            (at.x - radius * 1.15, y - radius * 1.45, at.x + radius * 1.15, y + radius * 0.7),
            180,
            360,
            fill=person.hat_colour,
        )


def _straps_behind(draw: ImageDraw.ImageDraw, person: Person, at: _Frame, half: float) -> None:
    """Seen from the front, a backpack shows only beside the shoulders."""
    draw.rounded_rectangle(
        (at.x - half * 1.15, at.y(0.2), at.x + half * 1.15, at.y(0.4)),
        radius=half * 0.3,
        fill=_shaded(person.bag_colour, _SHADE["far"]),
    )


def _bag(
    draw: ImageDraw.ImageDraw,
    person: Person,
    at: _Frame,
    half: float,
    facing: float,
    across: float,
) -> None:
    if person.bag == "backpack":
        if facing > 0.3:
            for side in (-0.55, 0.55):
                _limb(
                    draw,
                    (at.x + side * half, at.y(0.19)),
                    (at.x + side * half, at.y(0.36)),
                    half * 0.14,
                    person.bag_colour,
                )
        else:
            shift = -across * half * 0.9 if facing > -0.5 else 0.0
            draw.rounded_rectangle(
                (at.x - half * 0.7 + shift, at.y(0.2), at.x + half * 0.7 + shift, at.y(0.44)),
                radius=half * 0.25,
                fill=person.bag_colour,
            )
    elif person.bag == "shoulder":
        side = 1.0 if facing >= 0 else -1.0
        start, end = (at.x - side * half * 0.6, at.y(0.18)), (at.x + side * half * 0.9, at.y(0.5))
        _limb(draw, start, end, half * 0.1, person.bag_colour)
        draw.rectangle(
            (end[0] - half * 0.4, end[1], end[0] + half * 0.4, end[1] + half * 0.7),
            fill=person.bag_colour,
        )
    elif person.bag == "handbag":
        side = 1.0 if facing >= 0 else -1.0
        x, y = at.x + side * half * 1.05, at.y(0.53)
        draw.rectangle((x - half * 0.4, y, x + half * 0.4, y + half * 0.8), fill=person.bag_colour)


def _limb(
    draw: ImageDraw.ImageDraw,
    start: tuple[float, float],
    end: tuple[float, float],
    width: float,
    colour: Rgb,
) -> None:
    """A tapered quadrilateral from start to end, as wide as given."""
    dx, dy = end[0] - start[0], end[1] - start[1]
    length = max((dx * dx + dy * dy) ** 0.5, 1e-6)
    nx, ny = -dy / length * width / 2, dx / length * width / 2
    draw.polygon(
        [
            (start[0] + nx, start[1] + ny),
            (end[0] + nx * 0.85, end[1] + ny * 0.85),
            (end[0] - nx * 0.85, end[1] - ny * 0.85),
            (start[0] - nx, start[1] - ny),
        ],
        fill=colour,
    )


def _clutter(draw: ImageDraw.ImageDraw, look: CameraLook, rng: np.random.Generator) -> None:
    wide, tall = 64 * _SCALE, 128 * _SCALE
    horizon = rng.uniform(0.25, 0.6) * tall
    draw.rectangle((0, horizon, wide, tall), fill=look.background[1])
    for _ in range(int(rng.integers(2, 7))):
        tone = look.background[int(rng.integers(3))]
        colour = _shaded(tone, float(rng.uniform(0.6, 1.4)))
        x, y = rng.uniform(-10, wide), rng.uniform(-10, tall)
        box = (x, y, x + rng.uniform(6, 70), y + rng.uniform(6, 110))
        if rng.random() < 0.7:
            draw.rectangle(box, fill=colour)
        else:
            draw.ellipse(box, fill=colour)
    if rng.random() < 0.15:  # somebody else, half in the box
        passer = random_person(rng)
        side = -6.0 if rng.random() < 0.5 else wide + 6.0
        at = _Frame(side, 18.0 * _SCALE, 96.0 * _SCALE, 11.0 * _SCALE)
        _figure(
            draw, passer, Pose(float(rng.uniform(0, 6.28)), float(rng.uniform(0, 6.28)), False), at
        )


def _occluder(draw: ImageDraw.ImageDraw, look: CameraLook, rng: np.random.Generator) -> None:
    wide, tall = 64 * _SCALE, 128 * _SCALE
    colour = _shaded(look.background[2], float(rng.uniform(0.5, 1.3)))
    if rng.random() < 0.5:  # a wall, a car or a shelf from below
        draw.rectangle((0, rng.uniform(0.55, 0.8) * tall, wide, tall), fill=colour)
    else:  # a pole or a door frame
        x = rng.uniform(0.1, 0.7) * wide
        draw.rectangle((x, 0, x + rng.uniform(0.12, 0.3) * wide, tall), fill=colour)


def _expose(picture: Image.Image, look: CameraLook, rng: np.random.Generator) -> NDArray[np.uint8]:
    blur = look.blur_px * picture.width / 64 * float(rng.uniform(0.5, 1.5))
    if blur > 0.15:
        picture = picture.filter(ImageFilter.GaussianBlur(blur))
    light = np.asarray(picture, dtype=np.float32) / 255.0
    light = light ** np.float32(look.gamma * np.exp(rng.normal(0, 0.06)))
    light *= np.array(look.gain, dtype=np.float32) * np.float32(np.exp(rng.normal(0, 0.08)))
    slope = look.shade + rng.normal(0, 0.08)
    light *= np.linspace(1 - slope, 1 + slope, picture.width, dtype=np.float32)[None, :, None]
    grain = rng.standard_normal(light.shape, dtype=np.float32) * np.float32(look.noise)
    return np.clip(light * 255.0 + np.float32(look.offset) + grain, 0, 255).astype(np.uint8)
