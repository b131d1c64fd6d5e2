"""The newest part of each track, beside a dictionary that is searched from end to end."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from stgal_stream.core.tracker.cut_tracks import CutTracks


@given(st.integers(0, 2**32 - 1))
def test_it_is_a_dictionary_of_what_is_in_the_window(seed: int) -> None:
    rng = np.random.default_rng(seed)
    found, wanted = CutTracks(), dict[tuple[str, str], int]()
    for number in range(60):
        camera, track = f"c{rng.integers(2)}", f"t{rng.integers(8)}"
        track_id = track if rng.random() < 0.8 else None
        expected = wanted.get((camera, track)) if track_id is not None else None
        assert found.newest(camera, track_id) == expected
        found.add(camera, track_id, number)
        if track_id is not None:
            wanted[camera, track] = number
        if rng.random() < 0.3:
            first = number - int(rng.integers(1, 20))
            found.expire(first)
            wanted = {key: n for key, n in wanted.items() if n >= first}
        if rng.random() < 0.1:
            gone = set(rng.integers(number + 1, size=3).tolist())
            found.forget(gone)
            wanted = {key: n for key, n in wanted.items() if n not in gone}
        if rng.random() < 0.1:  # what a snapshot holds may lie in any order
            found = CutTracks(dict(reversed(found.state().items())))
        assert found.state() == wanted
