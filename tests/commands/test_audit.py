"""The true precision of pairs by a person's eye."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from stgal_stream.cli import cli
from stgal_stream.configuration import load_config
from stgal_stream.errors import DataError
from stgal_stream.evaluation.share import Share
from stgal_stream.log.embedded import EmbeddedLog
from stgal_stream.log.reading import values
from tests.support.streams import publish, rendered, run_to_end


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log in which people were seen and associated."""
    folder = tmp_path_factory.mktemp("audit")
    config = load_config(None, {})
    config.input.max_future_s = float("inf")
    config.daemon.state_dir = str(folder / "state")
    log = EmbeddedLog(folder / "log")
    publish(log, config, rendered(5, n_people=14, duration_s=420.0))
    run_to_end(log, config)
    log.close()
    return folder / "log"


def audit(place: Path, folder: Path, typed: str, *more: str) -> Result:
    page = ("--page", str(folder / "audit.html"))
    arguments = ("audit", "--embedded", str(place), *page, *more)
    return CliRunner().invoke(cli, arguments, input=typed)


def test_answers_make_a_precision(place: Path, tmp_path: Path) -> None:
    done = audit(place, tmp_path, "y\n" * 6 + "n\nu\n", "--n", "8")
    assert done.exit_code == 0, done.output
    assert "6 of 7 pairs are one person: precision 0.857, between 0.487 and 0.974" in done.output
    assert "1 could not be told" in done.output
    assert re.search(r"Expected without a label: 0\.\d{3}", done.output)
    assert not (tmp_path / "audit.html").exists()


def test_the_page_shows_each_pair(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pages = []

    def look(text: str, **more: object) -> str:
        pages.append((tmp_path / "audit.html").read_text())
        return "q"

    monkeypatch.setattr(click, "prompt", look)
    assert audit(place, tmp_path, "", "--n", "8").exit_code == 0
    assert pages[0].count("<div class=pair ") == 8
    assert pages[0].count("<img ") == 16


def test_answers_are_kept_and_not_asked_again(place: Path, tmp_path: Path) -> None:
    kept = tmp_path / "answers.jsonl"
    first = audit(place, tmp_path, "y\nn\nq\n", "--n", "6", "--answers", str(kept))
    assert "1 of 2" in first.output
    told = [json.loads(line)["answer"] for line in kept.read_text().splitlines()]
    assert told == ["yes", "no"]
    again = audit(place, tmp_path, "y\n" * 4, "--n", "6", "--answers", str(kept))
    assert "1/6" not in again.output
    assert "5 of 6" in again.output
    kept.write_text("nonsense\n")
    broken = audit(place, tmp_path, "", "--answers", str(kept))
    assert isinstance(broken.exception, DataError)
    assert kept.read_text() == "nonsense\n"


def test_two_people_are_told_to_the_tracker(place: Path, tmp_path: Path) -> None:
    assert audit(place, tmp_path, "n\nq\n", "--correct").exit_code == 0
    config = load_config(None, {})
    config.daemon.state_dir = str(tmp_path / "state")
    log = EmbeddedLog(place)
    run_to_end(log, config, "associate")
    (told,) = [json.loads(value) for value in values(log, config.topics.corrections)]
    log.close()
    assert (told["verdict"], told["by"], "refused" in told) == ("different", "audit", False)


@pytest.mark.parametrize(
    ("more", "said"),
    [(("--site", "elsewhere"), "no site 'elsewhere' with pairs"), (("--n", "0"), "0 is not in")],
)
def test_what_cannot_be_audited(
    place: Path, tmp_path: Path, more: tuple[str, ...], said: str
) -> None:
    done = audit(place, tmp_path, "", *more)
    assert done.exit_code != 0
    assert said in done.output + str(done.exception)


def test_an_empty_log_says_what_to_do(tmp_path: Path) -> None:
    EmbeddedLog(tmp_path / "log").close()
    done = audit(tmp_path / "log", tmp_path, "")
    assert isinstance(done.exception, DataError)
    assert "no accepted pair" in str(done.exception)


def test_it_needs_no_torch(place: Path, tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['torch'] = None; from stgal_stream.cli import cli; "
        f"cli(['audit', '--embedded', {str(place)!r}, '--page', {str(tmp_path / 'p.html')!r}])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], input="q\n", capture_output=True, text=True, check=False
    )
    assert "No pair was judged." in done.stdout, done.stderr


@given(st.integers(0, 300), st.integers(0, 300))
def test_the_interval_is_wilsons(right: int, wrong: int) -> None:
    """Its bounds are the shares whose own test just accepts what was seen."""
    n = right + wrong
    found = Share.of(right, n)
    if not n:
        assert (found.share, found.low, found.high) == (None, 0.0, 1.0)
        return
    assert found.share is not None
    assert 0.0 <= found.low <= found.share <= found.high <= 1.0
    for bound in (found.low, found.high):
        if 0 < bound < 1:
            z = (found.share - bound) / (bound * (1 - bound) / n) ** 0.5
            assert abs(abs(z) - 1.96) < 1e-3
