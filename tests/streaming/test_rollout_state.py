"""Which extractor is the target, what a rollback goes back to: a function of what was said."""

from __future__ import annotations

import pytest

from stgal_stream.streaming.extractor_rollout.state import CONFIGURED, RolloutState
from stgal_stream.wire.rollout import Prepared, Promotion, Refused, RolloutRecord, Switched


def promotion(name: str, kind: str = "promote") -> Promotion:
    return Promotion(kind, name, f"{name}@1" if name else "", "h", "/", 0.0)


def after(*records: RolloutRecord) -> RolloutState:
    state = RolloutState()
    for offset, record in enumerate(records):
        state.take(offset, record)
    return state


A, B, BACK_TO_A, BACK = (
    promotion("A"),
    promotion("B"),
    promotion("A", "rollback"),
    promotion("", "rollback"),
)


@pytest.mark.parametrize(
    ("records", "expected"),
    [
        ((A,), None),
        ((A, B), "A"),
        ((A, A), None),  # what is in use already changes nothing
        ((A, B, B), "A"),
        ((A, B, BACK_TO_A), None),
        ((A, B, A), "B"),
        ((A, B, Refused(1, "w", "x")), None),
        ((A, B, Refused(1, "w", "x"), BACK_TO_A), None),  # the operator was as quick as the worker
        ((A, BACK, B), None),
        ((A, B, BACK, B, A), "B"),
    ],
)
def test_a_rollback_goes_to_what_was_in_use_before(
    records: tuple[RolloutRecord, ...], expected: str | None
) -> None:
    found = after(*records).before_last
    assert (found and found.version) == expected


@pytest.mark.parametrize("records", [(), (A, BACK), (A, Refused(0, "w", "x"))])
def test_where_no_release_is_in_use_there_is_no_way_back(
    records: tuple[RolloutRecord, ...],
) -> None:
    with pytest.raises(LookupError):
        _ = after(*records).before_last


def test_refused_halfway_the_others_need_not_prepare_the_way_back() -> None:
    """Partition 0 has switched; the successor of the worker of 1 and 2 cannot load the release."""
    prepared = [Prepared(0, number, 5) for number in range(3)]
    state = after(A, *prepared, Switched(0, 0), Refused(0, "successor", "gone"))
    assert state.target == CONFIGURED
    assert not state.all_prepared(CONFIGURED, 3)
    state.take(9, Prepared(CONFIGURED, 0, 9))
    assert state.all_prepared(CONFIGURED, 3)


def test_nothing_is_refused_before_it_was_promoted() -> None:
    state = after(Refused(1, "w", "x"), A)
    assert state.refused == {}
    assert state.target == 1


def test_while_nobody_knows_how_many_partitions_there_are_not_all_are_prepared() -> None:
    assert not after(A).all_prepared(0, 0)
