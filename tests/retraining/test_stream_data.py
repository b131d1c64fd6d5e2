"""What a retraining reads: pictures as they came, embeddings that are in the log already."""

from __future__ import annotations

import threading
from collections import Counter

import numpy as np
import pytest

from stgal_stream.extractor.crops import CropFormat
from stgal_stream.extractor.encoded_crops import EncodedCrops, ahead
from stgal_stream.retraining.data.logged_embeddings import LoggedEmbeddings
from stgal_stream.retraining.data.pseudo_pairs import newest, thin_out
from stgal_stream.retraining.data.stream_events import Sighting
from stgal_stream.types import Position
from stgal_stream.wire.embedding import EmbeddingRecord, ReembeddedRecord, TickRecord, encode
from tests.support.pictures import encoded

FORM = CropFormat(16, 8, (0.5,) * 3, (0.25,) * 3)


def test_pictures_decode_to_the_pixels_asked_for() -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (5, 3, 16, 8, 3), dtype=np.uint8)
    crops = encoded(pixels)
    assert crops.counts == [3] * 5
    rows, views = [4, 0, 4], [2, 1, 0]
    assert (crops.pixels(rows, views, FORM) == pixels[rows, views]).all()
    assert (crops[2:].pixels([0], [1], FORM)[0] == pixels[2, 1]).all()
    some = crops.some(3, FORM)
    assert some.shape == (3, 16, 8, 3)
    assert (some == crops.some(3, FORM)).all()
    assert len(crops.some(99, FORM)) == 5
    # Another format is another size of the same pictures.
    assert crops.pixels([1], [0], CropFormat(32, 16, FORM.mean, FORM.std)).shape[1:3] == (32, 16)


def test_ahead_is_map_in_order_and_reads_only_a_little_ahead() -> None:
    asked: list[int] = []

    def items() -> object:
        for i in range(1000):
            asked.append(i)
            yield i

    found = ahead(lambda i: i * i, items(), n_threads=2, n_ahead=3)  # type: ignore[arg-type]
    assert [next(found) for _ in range(5)] == [0, 1, 4, 9, 16]
    assert len(asked) < 12
    found.close()  # type: ignore[attr-defined]
    before = threading.active_count()
    assert list(ahead(lambda i: -i, range(50), n_threads=3)) == [-i for i in range(50)]
    assert threading.active_count() == before
    with pytest.raises(ZeroDivisionError):
        list(ahead(lambda i: 1 // i, [1, 0, 1]))


def vector(*values: float) -> bytes:
    return np.array(values, "<f4").tobytes()


def embedded(name: str, extractor: str, values: bytes, offset: int, site: str = "s") -> bytes:
    at = ("detections", 0, offset)
    return encode(
        EmbeddingRecord(site, name, "c", 1.0, extractor, values, None, None, None, at, 0.0)
    )


def test_embeddings_in_the_log_are_not_computed_again() -> None:
    logged = LoggedEmbeddings([("s", ("a", "b")), ("s", ("c",)), ("t", ("a",))], "new@1", 2)
    logged.take(
        [
            embedded("a", "old@1", vector(9, 9), 1),
            embedded("b", "new@1", vector(3, 0), 2),
            encode(ReembeddedRecord("s", "a", "new@1", vector(1, 4))),
            embedded("c", "old@1", vector(7, 7), 3),
            embedded("a", "new@1", vector(5, 5), 4, site="t"),
            embedded("nobody", "new@1", vector(5, 5), 5),
            embedded("b", "new@1", vector(1, 2, 3), 2),  # of another length: of no use
            embedded("b", "new@1", b"odd", 2),
            embedded("b", "new@1", vector(np.nan, 1), 2),
            encode(TickRecord("s", 3.0)),
            b"hostile",
        ]
    )
    means = logged.means()
    assert sorted(means) == [0, 2]
    assert means[0].tolist() == [2, 2]
    assert means[0].dtype == np.float32
    assert logged.places["s", "a"] == Position("detections", 0, 1)
    assert logged.places["t", "a"] == Position("detections", 0, 4)
    assert ("s", "nobody") not in logged.places


def test_of_too_many_the_newest_are_used_and_the_others_counted() -> None:
    every = [Sighting(f"{i}", "s", "c", float(i), float(i), None) for i in (3, 1, 2, 0)]
    left_out: Counter[str] = Counter()
    assert [s.id for s in newest(every, 3, left_out)] == ["1", "2", "3"]
    assert left_out == {"older_than_the_newest": 1}
    assert len(newest(every, 9, left_out)) == 4


def test_memory_holds_twice_as_many_as_will_be_used_at_most() -> None:
    order = np.random.default_rng(1).permutation(1000).tolist()
    seen: dict[tuple[str, str], Sighting] = {}
    left_out: Counter[str] = Counter()
    for i in order:
        seen["s", f"{i}"] = Sighting(f"{i}", "s", "c", float(i), float(i), None)
        thin_out(seen, 10, left_out)
        assert len(seen) < 20
    assert [int(s.id) for s in newest(seen.values(), 10, left_out)] == list(range(990, 1000))
    assert left_out == {"older_than_the_newest": 990}


def test_no_picture_is_no_crop() -> None:
    assert EncodedCrops([]).counts == []
