"""The exact search, against brute force."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stgal_stream.core.gallery.normalisation import Normalisation, camera_centred
from stgal_stream.web.quantised import QuantisedFile, quantised
from stgal_stream.web.vectors import Place, VectorFile


@settings(max_examples=60)
@given(
    seed=st.integers(0, 1000),
    n=st.integers(1, 60),
    dimension=st.integers(1, 12),
    n_cameras=st.integers(1, 4),
    n_asked=st.integers(0, 70),
)
def test_nearest_are_those_of_brute_force(
    seed: int,
    n: int,
    dimension: int,
    n_cameras: int,
    n_asked: int,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(n, dimension)).astype(np.float32)
    cameras = rng.integers(0, n_cameras, n)
    cameras = np.unique(cameras, return_inverse=True)[1]
    order = np.argsort([np.flatnonzero(cameras == c)[0] for c in range(cameras.max() + 1)])
    codes = np.argsort(order)[cameras]  # numbered as they come
    file = VectorFile(tmp_path_factory.mktemp("v") / "v.f32", dimension)
    for row in range(n):
        slot = file.write(vectors[row])
        file.place(slot, Place(row, "s", f"c{codes[row]}"))
    file.fit()
    query, camera = vectors[0], codes[0]
    found = file.nearest(query, "s", f"c{camera}", n_asked)
    normalisation = camera_centred(vectors, codes)
    wanted = normalisation.distances(
        normalisation.directions(vectors[:1], codes[:1]),
        vectors,
        codes,
        normalisation.scales(vectors, codes),
        np.einsum("nd,nd->n", vectors, vectors),
    )[0]
    assert len(found) == min(n, n_asked)
    for (number, apart), least in zip(found, np.sort(wanted), strict=False):
        assert apart == pytest.approx(wanted[number], abs=2e-3)
        assert apart == pytest.approx(least, abs=2e-3)
    assert len({number for number, _ in found}) == len(found)
    file.close()


@settings(max_examples=60)
@given(
    seed=st.integers(0, 1000),
    dimension=st.integers(1, 40),
    size=st.sampled_from([1e-30, 1e-3, 1.0, 1e6]),
)
def test_a_product_in_8_bits_is_off_by_no_more_than_is_said(
    seed: int, dimension: int, size: float, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The worst queries are those along what was rounded away: there the bound is reached."""
    rng = np.random.default_rng(seed)
    vectors = (size * rng.standard_t(2, size=(30, dimension))).astype(np.float32)
    rows = quantised(vectors)
    file = QuantisedFile(tmp_path_factory.mktemp("v") / "v.i8", dimension)
    file.grow(40)
    file.put(5, vectors)
    lost = vectors - rows["step"].astype(np.float64)[:, None] * rows["codes"]
    for row in range(30):
        away = lost[row] if row % 2 else rng.normal(size=dimension)
        query = (away / max(float(np.linalg.norm(away)), 1e-40)).astype(np.float32)
        product, error = file.products(slice(5, 35), quantised(query[None]))
        off = np.abs(product - vectors.astype(np.float64) @ query)
        assert (off <= error).all()
        if row % 2 and dimension > 20:
            assert off[row] > 0.1 * error[row]
    file.close()


def _look_alike(rng: np.random.Generator, n: int, dimension: int, alike: int) -> np.ndarray:
    """From strangers (0) by people seen often, with a look that all have in common, and copies, to
    vectors that 8 bits cannot tell apart (3)."""
    vectors = rng.normal(size=(n, dimension))
    if alike:
        people = rng.normal(size=(max(1, n // 10), dimension))
        vectors = people[rng.integers(0, len(people), n)] + 0.1**alike * vectors
        vectors += 2.0 * alike * rng.normal(size=dimension)
        vectors[rng.integers(0, n, n // 3)] = vectors[0]
    if alike == 3:
        vectors = 1.0 + 1e-6 * rng.normal(size=(n, dimension))
    return vectors.astype(np.float32)


@settings(max_examples=80)
@given(
    seed=st.integers(0, 1000),
    n=st.integers(1, 400),
    dimension=st.sampled_from([1, 3, 32, 130]),
    alike=st.integers(0, 3),
    n_asked=st.integers(0, 12),
)
def test_the_answer_is_that_of_all_vectors_in_full(
    seed: int,
    n: int,
    dimension: int,
    alike: int,
    n_asked: int,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """To the last bit, and of equal ones the first; whatever the 8-bit copy leaves out."""
    rng = np.random.default_rng(seed)
    vectors = _look_alike(rng, n, dimension, alike)
    cameras = np.sort(rng.integers(0, 2, n))
    mine = rng.random(n) < rng.choice([0.1, 0.9, 1.0])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("stgal_stream.web.scan._FIRST_BLOCK", 4)
        patch.setattr("stgal_stream.web.scan._BLOCK", 32)
        patch.setattr("stgal_stream.web.vectors._ALONE", 100)
        file = VectorFile(tmp_path_factory.mktemp("v") / "v.f32", dimension)
        for row in range(n):
            site = "s" if mine[row] else "another"
            file.place(file.write(vectors[row]), Place(row, site, f"c{cameras[row]}"))
        file.fit()
        found = file.nearest(vectors[n // 2], "s", None, n_asked)
    codes = (cameras > cameras[0]) + 2 * (mine != mine[0])  # of site and camera
    codes = np.array([list(dict.fromkeys(codes.tolist())).index(code) for code in codes])
    means = camera_centred(vectors, codes).means
    assert means is not None
    query = vectors[n // 2] - means[-1]
    query /= max(float(np.linalg.norm(query)), 1e-12)
    closeness = np.einsum("nd,d->n", vectors, query) - (means @ query)[codes]
    closeness *= Normalisation(means).scales(vectors, codes)
    wanted = [row for row in np.argsort(-closeness, kind="stable") if mine[row]][:n_asked]
    assert [number for number, _ in found] == wanted
    apart = np.sqrt(np.maximum(2.0 - 2.0 * closeness[wanted], 0.0))
    assert [distance for _, distance in found] == apart.astype(float).tolist()
    file.close()


def test_what_is_forgotten_is_overwritten_and_its_place_used_again(tmp_path: Path) -> None:
    path = tmp_path / "v.f32"
    file = VectorFile(path, 3)
    mine = np.array([1.25, -7.5, 3.75], np.float32)
    slot = file.write(mine)
    file.place(slot, Place(1, "s", "a"))
    assert mine.tobytes() in path.read_bytes()
    file.forget([slot])
    assert mine.tobytes() not in path.read_bytes()
    assert file.nearest(mine, "s", "a", 5) == []
    assert file.write(mine) == slot
    file.close()


def test_who_comes_while_means_are_taken_is_seen_from_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    vectors = np.random.default_rng(1).normal(3.0, 1.0, (9, 4)).astype(np.float32)
    file = VectorFile(tmp_path / "v.f32", 4)
    for row in range(8):
        file.place(file.write(vectors[row]), Place(row, "s", "a"))

    def late(*given: Any) -> Normalisation:
        file.place(file.write(vectors[8]), Place(8, "s", "a"))
        return camera_centred(*given)

    monkeypatch.setattr("stgal_stream.web.vectors.camera_centred", late)
    file.fit()
    ((number, apart),) = file.nearest(vectors[8], "s", "a", 1)
    assert number == 8
    assert apart == pytest.approx(0.0, abs=1e-3)
    file.close()


def test_sites_do_not_see_each_other(tmp_path: Path) -> None:
    file = VectorFile(tmp_path / "v.f32", 2)
    for number, site in enumerate(("one", "two", "one")):
        slot = file.write(np.array([number, 1], np.float32))
        file.place(slot, Place(number, site, "a"))
    assert {n for n, _ in file.nearest(np.ones(2, np.float32), "one", None, 9)} == {0, 2}
    assert file.n_of("two") == 1
    assert file.nearest(np.ones(2, np.float32), "three", None, 9) == []
    file.close()


def test_a_start_finds_what_was_there(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    vectors = rng.normal(size=(5, 4)).astype(np.float32)
    file = VectorFile(tmp_path / "v.f32", 4)
    places = [Place(10 + row, "s", "a") for row in range(5)]
    slots = [file.write(vector) for vector in vectors]
    for slot, place in zip(slots, places, strict=True):
        file.place(slot, place)
    file.fit()
    before = file.nearest(vectors[2], "s", "a", 5)
    file.close()
    again = VectorFile(tmp_path / "v.f32", 4)
    rows = [(slots[row], 10 + row, "s", "a") for row in range(4)]
    again.load([rows[:3], rows[3:]])  # the last was never committed
    again.fit()
    assert again.nearest(vectors[2], "s", "a", 1)[0][0] == before[0][0] == 12
    assert again.write(vectors[0]) == slots[4]
    again.close()
