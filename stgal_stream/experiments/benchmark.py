"""The tables: retrieval under every fusion rule, pairs under every selection, the calibration."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from stgal_stream.core.calibration.calibrate import calibrate
from stgal_stream.core.calibration.model import Calibration
from stgal_stream.core.calibration.pair_histogram import N_DISTANCE_BINS
from stgal_stream.core.calibration.paper import calibrate_paper
from stgal_stream.core.calibration.score_tables import ScoreTables
from stgal_stream.core.calibration.time_grid import TimeGrid, smoothed
from stgal_stream.core.gallery.normalisation import Normalisation
from stgal_stream.core.measures.best_buddies import best_buddies
from stgal_stream.core.measures.distance import distances
from stgal_stream.core.measures.log_odds import probability
from stgal_stream.evaluation.labelled_set import LabelledSet
from stgal_stream.evaluation.retrieval import JUNK, Ranking, Retrieval
from stgal_stream.experiments.fusion import Candidates, Fusion, PTravel
from stgal_stream.settings import TrackerSettings
from stgal_stream.types import camera_pair

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

_QUERIES_AT_ONCE = 64
_N_DISTANCE_BINS = 80
_N_CONFUSIONS = 24
_LAST = -1e6  # under every logarithm of a probability
RULES = ("p_v", "p_a_paper", "p_a_calibrated", "tfusion", "st_reid", "p_a_oracle")


@dataclass(slots=True)
class PairFigures:
    """Pairs that a selection accepted: how many, how many of them are one person, of all there
    are. Distractors and junk are nobody: a pair with one is wrong."""

    n: int = 0
    n_right: int = 0
    n_true: int = 0
    expected_right: float = 0.0

    @property
    def precision(self) -> float:
        """Share of right ones; 0 where there is none."""
        return self.n_right / self.n if self.n else 0.0

    @property
    def recall(self) -> float:
        """Share of all pairs of one person."""
        return self.n_right / self.n_true if self.n_true else 0.0


@dataclass(frozen=True, slots=True)
class Confusion:
    """A wrong first match: rows of the query and of what was found."""

    query: int
    found: int


@dataclass(frozen=True, slots=True)
class Benchmark:
    """All that ``evaluate`` found. ``reliability`` is, by bin of the posterior of accepted pairs,
    (expected share, true share, n); ``distances`` holds bin edges and counts of same-person and
    different-person pairs across cameras."""

    retrieval: dict[str, Retrieval]
    pairs: dict[str, PairFigures]
    calibration: Calibration
    paper: Calibration
    true_p_travel: PTravel
    n_true_by_pair: dict[tuple[str, str], int]
    reliability: list[tuple[float, float, int]]
    distances: tuple[Floats, Integers, Integers]
    confusions: list[Confusion]
    seconds: float
    peak_mb: float

    def as_json(self) -> dict[str, Any]:
        """The published shape; figures are fractions."""
        ibbs = self.pairs["ibbs"]
        return {
            "retrieval": {
                name: {
                    "rank1": found.rank(1),
                    "rank5": found.rank(5),
                    "rank10": found.rank(10),
                    "mAP": found.mAP,
                    "mINP": found.mINP,
                }
                for name, found in self.retrieval.items()
            },
            "pairs": {
                name: {"n": found.n, "precision": found.precision, "recall": found.recall}
                for name, found in self.pairs.items()
            },
            "calibration": {
                "alpha": self.calibration.alpha,
                "sigma": self.calibration.sigma,
                "n_pairs": ibbs.n,
                "expected_precision": ibbs.expected_right / ibbs.n if ibbs.n else 0.0,
                "learned": self.calibration.has_learned,
            },
            "seconds": self.seconds,
            "peak_mb": self.peak_mb,
        }


def benchmark(
    data: LabelledSet,
    settings: TrackerSettings,
    on_progress: Callable[[str, int, int], None] = lambda what, done, total: None,
) -> Benchmark:
    """Runs everything on the test split. ``on_progress`` hears the step and how far it is."""
    began_s = time.perf_counter()
    on_progress("calibrating", 0, 1)
    window = data.gallery_of_window()
    calibrated = calibrate(window, settings, "evaluated")
    paper = calibrate_paper(window, settings, "evaluated")
    on_progress("calibrating", 1, 1)
    true_p_travel, n_true = _true_p_travel(data, calibrated)
    fusion = Fusion(paper, calibrated, true_p_travel)
    retrieval, confusions = _retrieve(data, fusion, on_progress)
    pairs, reliability, seen = _select(data, fusion, on_progress)
    return Benchmark(
        retrieval,
        pairs,
        calibrated,
        paper,
        true_p_travel,
        n_true,
        reliability,
        seen,
        confusions,
        time.perf_counter() - began_s,
        resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    )


def _true_p_travel(
    data: LabelledSet, calibration: Calibration
) -> tuple[PTravel, dict[tuple[str, str], int]]:
    """By camera pair the probability of one person by travel time, from labels, and how many such
    pairs there are."""
    grid, rows = calibration.grid, data.window
    rows = rows[data.person[rows] > 0]
    counts: dict[tuple[str, str], Floats] = {}
    for person in np.unique(data.person[rows]):
        mine = rows[data.person[rows] == person]
        i, j = np.triu_indices(len(mine), 1)
        a, b = mine[i], mine[j]
        across = data.camera[a] != data.camera[b]
        bins = grid.bins(np.abs(data.time_s[a] - data.time_s[b]))
        for first, second, at in zip(
            data.camera[a[across]].tolist(),
            data.camera[b[across]].tolist(),
            bins[across].tolist(),
            strict=True,
        ):
            pair = camera_pair(data.camera_names[first], data.camera_names[second])
            counts.setdefault(pair, np.zeros(grid.n))[at] += 1
    rows = data.window
    times = {
        name: np.sort(data.time_s[rows[data.camera[rows] == number]])
        for number, name in enumerate(data.camera_names)
    }
    found: dict[tuple[str, str], Floats] = {}
    for pair, right in counts.items():
        total = _counts_between(times[pair[0]], times[pair[1]], grid)
        prior = (right.sum() + 0.5) / (total.sum() + 1.0)
        g0 = smoothed(total, np.full(grid.n, 1.0 / grid.n))
        g1 = smoothed(right, g0, pseudo=0.1)
        found[pair] = expit(np.log(prior / (1.0 - prior)) + np.log(g1 / g0))
    return found, {pair: int(c.sum()) for pair, c in counts.items()}


def _counts_between(first_s: Floats, second_s: Floats, grid: TimeGrid) -> Floats:
    """How many pairs of the sorted times of two cameras fall into each bin, (n,)."""
    within = np.array(
        [
            np.searchsorted(second_s, first_s + edge_s, side="right").sum()
            - np.searchsorted(second_s, first_s - edge_s, side="left").sum()
            for edge_s in grid.edges_s()[1:-1]
        ],
        dtype=np.float64,
    )
    return np.diff(within, prepend=0.0, append=float(len(first_s) * len(second_s)))


def _retrieve(
    data: LabelledSet, fusion: Fusion, on_progress: Callable[[str, int, int], None]
) -> tuple[dict[str, Retrieval], list[Confusion]]:
    gallery, normalisation = data.gallery, fusion.calibrated.normalisation
    table = fusion.rules()
    rankings = {name: Ranking(data.person[gallery], data.camera[gallery]) for name in RULES}
    columns = [np.flatnonzero(data.camera[gallery] == c) for c in range(len(data.camera_names))]
    confusions: list[Confusion] = []
    done, total = 0, len(data.queries)
    for queries in queries_by_camera(data):
        camera = int(data.camera[queries[0]])
        scores = {name: np.full((len(queries), len(gallery)), -np.inf) for name in RULES}
        distance = np.zeros((len(queries), len(gallery)))
        for other, at in enumerate(columns):
            candidates = candidates_of(data, normalisation, queries, gallery[at], camera, other)
            distance[:, at] = candidates.distance
            for name in RULES:
                scores[name][:, at] = table[name](candidates)
        for name in RULES:
            scores[name] = _untied(scores[name], distance)
        for i, query in enumerate(queries.tolist()):
            person = int(data.person[query])
            ranks = {n: rankings[n].add(scores[n][i], person, camera) for n in RULES}
            wrong = ranks["p_a_calibrated"] is not None and ranks["p_a_calibrated"][0] > 0
            if wrong and len(confusions) < _N_CONFUSIONS:
                shown = _first_match(data, query, gallery, scores["p_a_calibrated"][i])
                confusions.append(Confusion(query, shown))
        done += len(queries)
        on_progress("retrieval", done, total)
    return {name: rankings[name].result() for name in RULES}, confusions


def _untied(scores: Floats, distance: Floats) -> Floats:
    """Candidates that time rules out (P_a of 0) come last, among themselves by appearance."""
    last = _LAST - distance / max(float(distance.max()), 1e-12)
    return np.where(np.isneginf(scores), last, scores)


def _first_match(data: LabelledSet, query: int, gallery: Integers, scores: Floats) -> int:
    """The row that ranks first, of those that count."""
    person, camera = data.person[query], data.camera[query]
    out = (data.person[gallery] == JUNK) | (
        (data.person[gallery] == person) & (data.camera[gallery] == camera)
    )
    return int(gallery[np.argmax(np.where(out, -np.inf, scores))])


def queries_by_camera(data: LabelledSet) -> Iterator[Integers]:
    """Queries of one camera at a time, in blocks."""
    for camera in range(len(data.camera_names)):
        mine = data.queries[data.camera[data.queries] == camera]
        for start in range(0, len(mine), _QUERIES_AT_ONCE):
            yield mine[start : start + _QUERIES_AT_ONCE]


def candidates_of(
    data: LabelledSet,
    normalisation: Normalisation,
    queries: Integers,
    gallery: Integers,
    first: int,
    second: int,
) -> Candidates:
    """Rows of queries in one camera against rows of candidates in another."""
    q, g = data.embedding[queries], data.embedding[gallery]
    d = distances(q, g).astype(np.float64)
    lengths = np.linalg.norm(q, axis=1)[:, None] * np.linalg.norm(g, axis=1)[None, :]
    cosine = (q @ g.T) / np.maximum(lengths, 1e-12)
    seen = distances(
        normalisation.directions(q, data.camera[queries]),
        normalisation.directions(g, data.camera[gallery]),
    ).astype(np.float64)
    times = np.abs(data.time_s[queries][:, None] - data.time_s[gallery][None, :])
    names = data.camera_names
    return Candidates(names[first], names[second], d, cosine, seen, times)


def _select(
    data: LabelledSet, fusion: Fusion, on_progress: Callable[[str, int, int], None]
) -> tuple[
    dict[str, PairFigures], list[tuple[float, float, int]], tuple[Floats, Integers, Integers]
]:
    """Pairs by threshold, BBP and IBBS, camera pair by camera pair across the window; the
    posterior against the truth, and the distances."""
    calibration, names = fusion.calibrated, data.camera_names
    members = [data.window[data.camera[data.window] == c] for c in range(len(names))]
    selected = {name: PairFigures() for name in ("threshold", "bbp", "ibbs")}
    every = [(a, b) for a in range(len(names)) for b in range(a + 1, len(names))]
    reach = _reach(calibration)
    edges = np.linspace(0, calibration.distance_width * N_DISTANCE_BINS, _N_DISTANCE_BINS + 1)
    same_d, other_d = np.zeros(_N_DISTANCE_BINS, np.int64), np.zeros(_N_DISTANCE_BINS, np.int64)
    accepted: list[Floats] = [np.zeros(0)]
    rights: list[Floats] = [np.zeros(0)]
    for done, (a, b) in enumerate(every):
        rows, columns = members[a], members[b]
        c = candidates_of(data, calibration.normalisation, rows, columns, a, b)
        p, q = data.person[rows], data.person[columns]
        same = (p[:, None] == q[None, :]) & (p > 0)[:, None]
        same_d += np.histogram(c.seen[same], edges)[0]
        other_d += np.histogram(c.seen, edges)[0]
        scores = fusion.p_a_calibrated(c)
        chosen = {
            "threshold": np.argwhere(c.seen < reach),
            "bbp": best_buddies(scores, iterated=False),
            "ibbs": best_buddies(scores),
        }
        for name, pairs in chosen.items():
            figures = selected[name]
            right = same[pairs[:, 0], pairs[:, 1]]
            figures.n += len(pairs)
            figures.n_right += int(right.sum())
            figures.n_true += int(same.sum())
        accepted.append(probability(_log_odds(calibration, c, chosen["ibbs"])))
        rights.append(same[chosen["ibbs"][:, 0], chosen["ibbs"][:, 1]].astype(np.float64))
        on_progress("pairs", done + 1, len(every))
    posterior = np.concatenate(accepted)
    selected["ibbs"].expected_right = float(posterior.sum())
    reliability = _reliability(posterior, np.concatenate(rights))
    return selected, reliability, (edges, same_d, other_d - same_d)


def _reach(calibration: Calibration) -> float:
    """The distance of sigma: P_v above it is matched (equation 3)."""
    if not 0 < calibration.sigma < 1 or calibration.alpha <= 0:
        return 0.0
    return -float(np.log(calibration.sigma)) / calibration.alpha


def _log_odds(calibration: Calibration, c: Candidates, pairs: Integers) -> Floats:
    i, j = pairs[:, 0], pairs[:, 1]
    index = np.zeros(len(pairs), np.int64)
    tables = ScoreTables(calibration)
    found = tables.score(c.first, (c.second,), index, c.seen[i, j], c.time_s[i, j])
    return np.nan_to_num(found.log_odds, nan=-np.inf)


def _reliability(expected: Floats, right: Floats) -> list[tuple[float, float, int]]:
    bins = np.minimum((expected * 10).astype(int), 9)
    return [
        (float(expected[bins == b].mean()), float(right[bins == b].mean()), int((bins == b).sum()))
        for b in range(10)
        if (bins == b).any()
    ]
