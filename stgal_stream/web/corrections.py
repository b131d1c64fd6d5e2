"""Operators' corrections: what is said on the page goes into the log, and what became of it."""

from __future__ import annotations

import json
import random
import secrets
import sqlite3
import time

from stgal_stream.log.port import Log
from stgal_stream.settings import TopicSettings
from stgal_stream.streaming.operator_word import say
from stgal_stream.types import OperatorCorrection, Verdict
from stgal_stream.web import answers
from stgal_stream.web.questions import Questions, UnknownError, accepted_of
from stgal_stream.web.read_model import ReadModel
from stgal_stream.wire.embedding import MAX_NAMED
from stgal_stream.wire.fields import format_time


class Corrections:
    """Says of people what an operator says, and tells what was said."""

    def __init__(
        self, log: Log, topics: TopicSettings, model: ReadModel, questions: Questions
    ) -> None:
        self._log = log
        self._topics = topics
        self._select = model.select
        self._questions = questions

    def say(self, site: str, word: answers.Word, by: str) -> str:
        """The id under which the tracker will tell what became of it.

        Raises:
            UnknownError: the site has no such identity or sighting.
            LogError: it could not be written.
        """
        name = secrets.token_hex(8)
        first, second = (self._sightings(site, group) for group in (word.first, word.second))
        said = OperatorCorrection(name, Verdict(word.verdict), first, second, by, time.time())
        say(self._log, self._topics, site, said)
        return name

    def _sightings(self, site: str, group: answers.Named) -> tuple[str, ...]:
        """Every sighting that is meant: an operator who speaks of an identity means all of it."""
        if group.identity is not None:
            rows = self._select(
                "SELECT id FROM sighting INDEXED BY sighting_of_identity WHERE site = ? "
                "AND identity = ? ORDER BY start_s DESC LIMIT ?",
                site, group.identity, MAX_NAMED,
            )  # fmt: skip
            if not rows:
                raise UnknownError(f"site {site!r} has no identity {group.identity!r}")
            return tuple(row["id"] for row in rows)
        for sighting in group.sightings:
            self._questions.sighting_row(site, sighting)
        return tuple(group.sightings)

    def said(
        self, site: str, correction: str | None, cursor: str | None, n: int
    ) -> answers.Page[answers.Correction]:
        """What operators said, the newest first; or one correction by its id."""
        rows = self._select(
            "SELECT * FROM correction WHERE site = ?1 AND (?2 IS NULL OR number < ?2) "
            "AND (?3 IS NULL OR id = ?3) ORDER BY number DESC LIMIT ?4",
            site, _number(cursor), correction, n + 1,
        )  # fmt: skip
        more = str(rows[n - 1]["number"]) if len(rows) > n else None
        return answers.Page(items=[_answer(row) for row in rows[:n]], next=more)

    def sample(self, site: str, n: int, seed: int) -> list[answers.AcceptedPair]:
        """Accepted pairs across cameras with pictures of both, at random: the same for a seed as
        long as nothing has changed."""
        rows = self._select(
            "SELECT p.id FROM pair p "
            "JOIN sighting q ON q.site = p.site AND q.id = p.query "
            "JOIN sighting g ON g.site = p.site AND g.id = p.gallery "
            "WHERE p.site = ? AND p.camera_a <> p.camera_b "
            "AND q.crop_topic IS NOT NULL AND g.crop_topic IS NOT NULL ORDER BY p.id",
            site,
        )
        ids = [row["id"] for row in rows]
        chosen = random.Random(seed).sample(ids, min(n, len(ids)))  # noqa: S311  # no secret
        query = "SELECT * FROM pair WHERE site = ? AND id = ?"
        return [accepted_of(row) for each in chosen for row in self._select(query, site, each)]


def _answer(row: sqlite3.Row) -> answers.Correction:
    return answers.Correction(
        id=row["id"],
        verdict=row["verdict"],
        first=json.loads(row["first"]),
        second=json.loads(row["second"]),
        said_by=row["said_by"],
        said=format_time(row["said_s"]),
        refused=row["refused"],
    )


def _number(cursor: str | None) -> int | None:
    """Where a page goes on.

    Raises:
        UnknownError: it is no cursor of ours.
    """
    if cursor is None:
        return None
    if not (cursor.isascii() and cursor.isdigit() and len(cursor) < 19):
        raise UnknownError(f"{cursor!r} is no `next` of this API")
    return int(cursor)
