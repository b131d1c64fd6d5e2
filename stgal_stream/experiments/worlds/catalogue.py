"""The worlds of the bench: every law of movement with every law of looks, and laws of boxes and of
light on some."""

from __future__ import annotations

from collections.abc import Iterator

from stgal_stream.experiments.worlds import boxes, delivery, looks, movement
from stgal_stream.experiments.worlds.bench import World
from stgal_stream.experiments.worlds.boxes import BoxesLaw
from stgal_stream.experiments.worlds.looks import LooksLaw
from stgal_stream.experiments.worlds.movement import Movement

# Of each law of movement: people and minutes.
SIZES: dict[Movement, tuple[int, float]] = {
    movement.ring: (120, 40.0),
    movement.hub: (150, 30.0),
    movement.corridor: (120, 40.0),
    movement.campus: (120, 40.0),
    movement.lifts: (150, 40.0),
    movement.shop: (120, 40.0),
    movement.long_gaps: (120, 30.0),
    movement.rush_hour: (150, 40.0),
    movement.staff: (50, 30.0),
    movement.long_dwell: (60, 40.0),
    movement.two_cameras: (40, 20.0),
    movement.many_cameras: (300, 40.0),
}
LOOKS: tuple[LooksLaw, ...] = (
    looks.isotropic,
    looks.front_and_back,
    looks.manifold,
    looks.heavy_tails,
)
BOXES: tuple[BoxesLaw, ...] = (
    boxes.UNTRACKED,
    boxes.UNTRACKED_2HZ,
    boxes.UNTRACKED_10HZ,
    boxes.SENTINEL,
    boxes.BROKEN,
    boxes.SWITCHED,
    boxes.REUSED,
    boxes.RESTARTED,
)
NOISE: dict[LooksLaw, float] = {
    looks.isotropic: 1.0,
    looks.front_and_back: 0.7,
    looks.manifold: 0.7,
    looks.heavy_tails: 0.8,
}


def movements(seed: int) -> Iterator[World]:
    """Every law of movement with every law of looks, tracked."""
    for k, (law, (n_people, minutes)) in enumerate(SIZES.items()):
        for j, look in enumerate(LOOKS):
            noise = NOISE[look] * (0.7, 1.0, 1.3)[(k + j) % 3]
            yield World(law, look, boxes.TRACKED, n_people, minutes, noise, seed + 10 * k + j)


def box_laws(seed: int) -> Iterator[World]:
    """Every law of boxes at two laws of movement, and what it is compared with: no ids at all."""
    for k, law in enumerate((movement.ring, movement.staff)):
        n_people, minutes = SIZES[law]
        for box in (boxes.TRACKED, boxes.UNTRACKED_1HZ, *BOXES):
            n = n_people // 3 if box is boxes.UNTRACKED_10HZ else n_people
            yield World(law, looks.isotropic, box, n, minutes, 0.7, seed + k)


def passers_by(seed: int) -> Iterator[World]:
    """Streets and entrances: most people are seen once."""
    for k, law in enumerate((movement.ring, movement.corridor, movement.shop, movement.campus)):
        n_people, minutes = SIZES[law]
        for j, look in enumerate(LOOKS):
            share = (0.6, 0.9)[(k + j) % 2]
            once = movement.SeenOnce(law, share)
            n = int(n_people / (1.0 - share) / 2)
            noise = 0.7 * NOISE[look]
            yield World(once, look, boxes.TRACKED, n, minutes, noise, seed + 10 * k + j)


def lights(seed: int) -> Iterator[World]:
    """Light that drifts, in one camera and in all."""
    for k, law in enumerate((movement.ring, movement.shop, movement.staff, movement.lifts)):
        n_people, minutes = SIZES[law]
        for of in ("all", "one"):
            yield World(
                law, looks.isotropic, boxes.TRACKED, n_people, minutes, 0.7, seed + k, 0.6, of
            )


def controls(seed: int) -> Iterator[World]:
    """Cameras that share nobody: nothing may be joined across them."""
    for k, light in enumerate((0.0, 0.2, 0.4, 0.6, 0.8, 1.0)):
        for look in LOOKS:
            yield World(
                movement.nobody_shared, look, boxes.TRACKED, 400, 40.0, 0.7, seed + k, light
            )


def trials(seed: int) -> Iterator[World]:
    """Two cameras, fifteen people, ten minutes: what a new user tries first."""
    for k in range(10):
        yield World(movement.two_cameras, looks.isotropic, boxes.TRACKED, 15, 10.0, 0.7, seed + k)


def densities(seed: int) -> Iterator[World]:
    """From one to sixty people a minute a camera."""
    for k, (n_people, minutes) in enumerate(((60, 60.0), (200, 40.0), (400, 20.0), (600, 10.0))):
        yield World(movement.hub, looks.manifold, boxes.UNTRACKED, n_people, minutes, 0.6, seed + k)


def qualities(seed: int) -> Iterator[World]:
    """From embeddings that tell nearly nobody apart to ones that tell nearly everybody."""
    for k, noise in enumerate((0.5, 0.9, 1.3, 1.7, 2.2)):
        n_people, minutes = SIZES[movement.ring]
        yield World(
            movement.ring, looks.isotropic, boxes.TRACKED, n_people, minutes, noise, seed + k
        )


def deliveries(seed: int) -> Iterator[World]:
    """Late records and wrong clocks, each after the same world in time."""
    for k, (law, box) in enumerate(
        (
            (movement.hub, boxes.TRACKED),
            (movement.campus, boxes.UNTRACKED_1HZ),
            (movement.two_cameras, boxes.UNTRACKED_1HZ),
        )
    ):
        n_people, minutes = SIZES[law]
        for sent in (delivery.IN_TIME, *delivery.LAWS):
            yield World(law, looks.isotropic, box, n_people, minutes, 0.7, seed + k, delivery=sent)


GROUPS = {
    "movements": movements,
    "boxes": box_laws,
    "passers": passers_by,
    "lights": lights,
    "controls": controls,
    "trials": trials,
    "densities": densities,
    "qualities": qualities,
    "deliveries": deliveries,
}
