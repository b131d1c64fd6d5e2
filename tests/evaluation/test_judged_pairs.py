"""Operators' words as labels: cases worked by hand, and a log in which a word changed something."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from stgal_stream.cli import cli
from stgal_stream.configuration import load_config
from stgal_stream.errors import ConfigError, DataError
from stgal_stream.evaluation.judged_pairs import JudgedPairs, judged_pairs
from stgal_stream.evaluation.share import Share
from stgal_stream.log.embedded import EmbeddedLog
from stgal_stream.streaming.operator_word import say
from stgal_stream.types import Verdict
from tests.support.corrections import said
from tests.support.streams import embedded_upstream, publish, run_to_end
from tests.support.walk import simulated_walk


def seen(
    at_s: float, sighting: str, identity: str, kind: str = "created", **more: str
) -> dict[str, Any]:
    tracklet = {"id": sighting, "detections": [sighting, f"{sighting}+"]}
    event = {"type": kind, "site": "s", "atSeconds": at_s, "globalId": identity}
    return {**event, "tracklet": tracklet, **more}


def renamed(at_s: float, old: str, new: str, **more: str) -> dict[str, Any]:
    event = {"type": "renamed", "scope": "identity", "site": "s", "atSeconds": at_s}
    return {**event, "globalId": new, "from": old, "to": new, **more}


def word(at_s: float, name: str, verdict: str, first: str, second: str, **more: str) -> Any:
    sides = {"first": first.split(), "second": second.split()}
    told = {"site": "s", "atSeconds": at_s, "correctionId": name, "verdict": verdict}
    return {**told, **sides, **more}


def judged(words: list[Any], events: list[Any]) -> JudgedPairs:
    def bodies(told: list[Any]) -> list[bytes]:
        return [json.dumps(each).encode() for each in told]

    found = judged_pairs(bodies(words), bodies(events))
    assert found is not None
    return found


def counts(share: Share) -> tuple[int, int]:
    return share.right, share.n


def test_a_word_is_a_label_of_what_was_published_before_it() -> None:
    events = [
        seen(1, "a", "A"),
        seen(2, "b", "B"),
        seen(3, "c", "A", "joined"),
        seen(4, "d", "A", "joined"),
        # At the words' own moment: what they bring about comes after them.
        renamed(4, "B", "A", correctionId="one"),
        seen(4, "d", "D", "renamed", correctionId="two"),
        # The tracker by itself, later.
        seen(9, "c", "C", "renamed"),
    ]
    found = judged(
        [word(4, "one", "same", "a", "b+"), word(4, "two", "different", "d", "a c")], events
    )
    # Before: a and b were two (wrong); d was with a and c (wrong twice).
    assert counts(found.before.right) == (0, 3)
    assert counts(found.before.precision) == (0, 2)
    assert counts(found.before.recall) == (0, 1)
    for share in (found.final.right, found.final.precision, found.final.recall):
        assert share.share == 1.0
    assert (found.words.same, found.words.different, found.n_pairs) == (1, 1, 3)


def test_what_comes_after_a_word_that_changed_nothing_is_not_before_it() -> None:
    events = [seen(1, "a", "A"), seen(2, "b", "A", "joined"), seen(9, "b", "B", "renamed")]
    found = judged([word(4, "w", "same", "a", "b")], events)
    assert (counts(found.before.right), counts(found.final.right)) == ((1, 1), (0, 1))


def test_the_newest_word_holds_and_the_tracker_answers_for_what_was_before_the_first() -> None:
    events = [
        seen(1, "a", "A"),
        seen(1, "b", "B"),
        renamed(2, "B", "A", correctionId="wrong"),
        seen(3, "b", "N", "renamed", correctionId="right"),
    ]
    words = [word(2, "wrong", "same", "a", "b"), word(3, "right", "different", "b", "a")]
    found = judged(words, events)
    assert counts(found.before.right) == counts(found.final.right) == (1, 1)
    assert found.n_pairs == 1


def test_a_word_that_was_refused_is_a_label_all_the_same() -> None:
    events = [seen(1, "a", "A"), seen(1, "b", "B")]
    words = [
        word(99, "late", "same", "a", "b", refused="it has left the window"),
        word(99, "both", "different", "a", "a", refused="a sighting stands on both sides"),
        word(99, "lost", "same", "a", "nobody", refused="nothing of 'nobody' is in the window"),
    ]
    found = judged(words, events)
    assert counts(found.final.right) == (0, 1)
    assert (found.words.refused, found.n_unknown) == (3, 1)


def test_pairs_of_one_word_are_worth_one_judgement() -> None:
    many = " ".join(f"m{i}" for i in range(40))
    events = [seen(1, "a", "A"), *(seen(1, name, "A", "joined") for name in many.split())]
    share = judged([word(2, "w", "same", "a", many)], events).before.right
    assert counts(share) == (40, 40)
    assert share.low == pytest.approx(Share.of(1, 1).low)


def test_what_cannot_be_read_stops_nothing() -> None:
    events = [b"{", b'{"type": 1}', json.dumps(seen(1, "a", "A")).encode()]
    words = [b"\xff", json.dumps(word(2, "w", "same", "a", "b")).encode()]
    found = judged_pairs(words, events)
    assert found is not None
    assert (found.n_unreadable, found.n_unknown, found.before.right.share) == (3, 1, None)
    assert judged_pairs([b"{"], events) is None


def test_a_correction_changes_the_figures_of_a_log(tmp_path: Path) -> None:
    def evaluate(*more: str) -> Any:
        arguments = ["evaluate", "--corrections", "--embedded", str(tmp_path / "log"), *more]
        return CliRunner().invoke(cli, arguments, env={"COLUMNS": "200"})

    config = load_config(None, {})
    config.daemon.state_dir = str(tmp_path / "state")
    walk = simulated_walk(3, n_people=16)
    log = EmbeddedLog(tmp_path / "log")
    publish(log, config, [embedded_upstream(d) for d in walk])
    run_to_end(log, config)
    done = evaluate()
    assert isinstance(done.exception, DataError), done.output
    assert "no correction" in str(done.exception)
    people = {d.id[1:].split("-")[0]: d.id for d in walk}  # the newest box of each
    one, other, third, *_ = people.values()
    say(log, config.topics, "upstream", said("glue", Verdict.SAME, [one], [other]))
    say(log, config.topics, "upstream", said("known", Verdict.DIFFERENT, [one], [third]))
    run_to_end(log, config, "associate")
    log.close()
    done = evaluate("--json", str(tmp_path / "figures.json"))
    assert done.exit_code == 0, done.output
    assert "2 corrections (1 same, 1 different; 0 of them refused) on 2 pairs" in done.output
    found = json.loads((tmp_path / "figures.json").read_text())
    assert [found[when]["right"]["right"] for when in ("before", "final")] == [1, 2]
    assert [found[when]["recall"]["share"] for when in ("before", "final")] == [0.0, 1.0]
    assert found["before"]["precision"]["share"] is None


@pytest.mark.parametrize(
    "more", [("--embeddings", "x.npz", "--embedded", "log"), ("--corrections", "--truth", "t.csv")]
)
def test_options_that_would_do_nothing(more: tuple[str, ...], tmp_path: Path) -> None:
    for name in ("x.npz", "t.csv"):
        (tmp_path / name).touch()
    arguments = [str(tmp_path / word) if "." in word else word for word in more]
    done = CliRunner().invoke(cli, ["evaluate", *arguments])
    assert isinstance(done.exception, ConfigError)
    assert "is for" in str(done.exception)
