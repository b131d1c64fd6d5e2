"""Search by a vector: the sightings that look most alike."""

from __future__ import annotations

import sqlite3
import time

import numpy as np

from stgal_stream.core.calibration.travel_time_distribution import TravelTimeDistribution
from stgal_stream.core.measures.distance import visual_probability
from stgal_stream.core.measures.travel_time import Spans, travel_times_s
from stgal_stream.types import Vector
from stgal_stream.web import answers
from stgal_stream.web.questions import Questions, UnknownError, sighting_of
from stgal_stream.web.vector_library import VectorLibrary

# Equation 4's epsilon, grown with the travel time: people's paces differ by a factor.
_EPSILON_S, _RELATIVE = 10.0, 0.2


class Search:
    """Searches what the follower has placed."""

    def __init__(self, questions: Questions, vectors: VectorLibrary) -> None:
        self._questions = questions
        self._vectors = vectors

    def by_sighting(self, site: str, sighting: str, n: int) -> answers.SearchResult:
        """Sightings like a known one, itself left out, by appearance and by travel time.

        Raises:
            UnknownError: there is no such sighting, or its vector was forgotten.
        """
        row = self._questions.sighting_row(site, sighting)
        if row["slot"] is None:
            raise UnknownError(
                f"sighting {sighting!r} has no vector: it is older than personal data is kept"
            )
        vector = self._vectors.file(row["extractor"]).vector(row["slot"])
        found, rows = self._nearest(site, row["extractor"], vector, row["camera"], n + 1)
        others = [other for other in rows if other["id"] != row["id"]][:n]
        found.matches = [m for m in found.matches if m.sighting.id != sighting][:n]
        self._add_times(site, row, found.matches, others)
        found.sighting = sighting_of(row)
        return found

    def by_vector(self, site: str, extractor: str, vector: Vector, n: int) -> answers.SearchResult:
        """Sightings like a picture that somebody brought.

        Raises:
            UnknownError: nothing was embedded by this extractor.
        """
        for number, version, dimension in self._vectors.extractors():
            if version == extractor and dimension == len(vector):
                return self._nearest(site, number, vector, None, n)[0]
        raise UnknownError(f"no sighting was embedded by {extractor}")

    def _nearest(
        self, site: str, extractor: int, vector: Vector, camera: str | None, n: int
    ) -> tuple[answers.SearchResult, list[sqlite3.Row]]:
        """The answer, and the row of each match."""
        began = time.perf_counter()
        found = self._vectors.file(extractor).nearest(vector, site, camera, n)
        known = self._questions.sightings_by_number([number for number, _ in found])
        rows = [(known[number], apart) for number, apart in found if number in known]
        alpha = self._questions.alpha(site)
        matches = [
            answers.Match(
                sighting=sighting_of(row),
                distance=apart,
                p_visual=None if alpha is None else float(visual_probability(apart, alpha)),
            )
            for row, apart in rows
        ]
        version = {number: name for number, name, _ in self._vectors.extractors()}[extractor]
        searched = self._vectors.file(extractor).n_of(site)
        seconds = time.perf_counter() - began
        answer = answers.SearchResult(
            extractor=version, searched=searched, seconds=seconds, matches=matches
        )
        return answer, [row for row, _ in rows]

    def _add_times(
        self,
        site: str,
        row: sqlite3.Row,
        matches: list[answers.Match],
        others: list[sqlite3.Row],
    ) -> None:
        """What the travel times say, from the sighting that was asked for to the others, the
        matches' rows."""
        cameras = sorted({row["camera"], *(m.sighting.sensor_id for m in matches)})
        codes = {camera: code for code, camera in enumerate(cameras)}
        times_s = travel_times_s(_spans([row], codes)[:, None], _spans(others, codes)[None, :])[0]
        seen = {}
        for camera in {m.sighting.sensor_id for m in matches}:
            known_s = self._questions.travel_times_s(site, row["camera"], camera)
            seen[camera] = TravelTimeDistribution.of(known_s, _EPSILON_S, _RELATIVE)
        for match, time_s in zip(matches, times_s.tolist(), strict=True):
            match.travel_time_seconds = time_s
            if seen[match.sighting.sensor_id].n:
                match.p_travel = float(seen[match.sighting.sensor_id].probability(time_s))
                if match.p_visual is not None:
                    match.p_association = match.p_visual * match.p_travel


def _spans(rows: list[sqlite3.Row], codes: dict[str, int]) -> Spans:
    start_s = np.array([row["start_s"] for row in rows])
    return Spans(
        np.array([codes[row["camera"]] for row in rows], np.int64),
        start_s,
        start_s,
        np.array([row["end_s"] for row in rows]),
    )
