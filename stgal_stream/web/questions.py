"""What can be asked of the read model: rows -> answers."""

from __future__ import annotations

import json
import sqlite3
import time
from collections import Counter
from typing import Any

from stgal_stream.types import REASONS, camera_pair
from stgal_stream.web import answers
from stgal_stream.web.learned import Learned
from stgal_stream.web.read_model import ReadModel
from stgal_stream.wire.fields import format_time, parse_time_s

_NOW_S = 60.0
_RATE_S = 300.0
_SILENT_S = 300.0
_SHOWN_TIMES = 5000
_SHOWN_PAIRS = 60
_SHOWN_SIGHTINGS = 1000
_HISTORY = 200
# By what stands in a dead letter: one of a later version may have a reason of its own.
_WHY: dict[str, tuple[str, str]] = {str(reason): told for reason, told in REASONS.items()}


class UnknownError(Exception):
    """What was asked for is not known; the message says what."""


class Questions:
    """Answers from the read model. ``followed`` says whether the log was read to its end,
    ``trouble`` what is wrong with that."""

    def __init__(self, model: ReadModel) -> None:
        self._select = model.select
        self._learned = Learned(model)

    # --- sites -------------------------------------------------------------------------------

    def sites(self) -> list[answers.SiteName]:
        """All sites, by name."""
        rows = self._select(
            "SELECT site, count(*) AS n, max(last_s) AS last_s FROM camera GROUP BY site"
        )
        return [
            answers.SiteName(site=r["site"], cameras=r["n"], last_seen=format_time(r["last_s"]))
            for r in rows
        ]

    def site(self, site: str, followed: bool, trouble: str | None) -> answers.Site:
        """A site now."""
        cameras = self._select("SELECT * FROM camera WHERE site = ? ORDER BY name", site)
        if not cameras:
            raise UnknownError(f"there is no site {site!r}")
        now_s = max(row["last_s"] for row in cameras)
        age_s = max(0.0, time.time() - max(row["append_s"] for row in cameras))
        learned = self._learned.of(site)
        off_s = learned.get("clocksOffSeconds", {})
        present = self._present(site, now_s)
        people = Counter(camera for camera, _ in present)
        told = [
            answers.Camera(
                sensor_id=row["name"],
                last_seen=format_time(row["last_s"]),
                silent_seconds=now_s - row["last_s"],
                people=people[row["name"]],
                detections=row["detections"],
                clock_off_seconds=off_s.get(row["name"], 0.0),
            )
            for row in cameras
        ]
        return answers.Site(
            site=site,
            event_time=format_time(now_s),
            followed=followed,
            age_seconds=age_s,
            cameras=told,
            pairs=self._learned.pairs(site),
            people_now=len({identity for _, identity in present}),
            sightings_per_minute=self._per_minute(
                "SELECT count(*) FROM sighting WHERE site = ? AND start_s > ? "
                "AND camera IN (SELECT name FROM camera WHERE site = ?1)",
                site, now_s,
            ),
            associations_per_minute=self._per_minute(
                "SELECT count(*) FROM pair WHERE site = ? AND at_s > ?", site, now_s
            ),
            expected_precision=learned.get("expectedPrecision"),
            expected_identity_precision=learned.get("expectedIdentityPrecision"),
            learned=learned.get("learned", False),
            alpha=learned.get("alpha"),
            extractor=learned.get("extractor"),
            calibrated_at=learned.get("timestamp"),
            warnings=self._warnings(site, told, trouble),
        )  # fmt: skip

    def _present(self, site: str, now_s: float) -> list[tuple[str, str]]:
        """Who is where: cameras and identities."""
        rows = self._select(
            "SELECT DISTINCT camera, identity FROM sighting s INDEXED BY sighting_of_camera WHERE "
            "site = ? AND camera IN (SELECT name FROM camera WHERE site = ?1) "
            "AND start_s > ? AND end_s > ? AND NOT EXISTS (SELECT 1 FROM identity i WHERE "
            "i.site = s.site AND i.id = s.identity AND i.static_s IS NOT NULL)",
            site, now_s - _RATE_S, now_s - _NOW_S,
        )  # fmt: skip
        return [(row["camera"], row["identity"]) for row in rows]

    def _per_minute(self, query: str, site: str, now_s: float) -> float:
        return self._one(query, site, now_s - _RATE_S) * 60.0 / _RATE_S

    def _one(self, query: str, *values: Any) -> int:
        return int(self._select(query, *values)[0][0])

    def _warnings(self, site: str, cameras: list[answers.Camera], trouble: str | None) -> list[str]:
        said = [] if trouble is None else [trouble]
        for camera in cameras:
            name, off_s = camera.sensor_id, camera.clock_off_seconds
            if camera.silent_seconds > _SILENT_S:
                said.append(f"Camera {name} has been silent for {_span(camera.silent_seconds)}.")
            if off_s:
                way = "ahead of" if off_s > 0 else "behind"
                said.append(
                    f"The clock of camera {name} is {_span(abs(off_s))} {way} the others; its "
                    "times are corrected."
                )
        rows = self._select(
            "SELECT reason, sum(n) AS n FROM refusal WHERE site IN (?, '') GROUP BY reason "
            "ORDER BY n DESC",
            site,
        )
        for row in rows:
            what, todo = _WHY.get(row["reason"], ("", ""))
            said.append(f"{row['n']} not used ({row['reason']}). {what} {todo}".strip())
        return said

    # --- camera pairs ------------------------------------------------------------------------

    def pair(self, site: str, first: str, second: str) -> answers.PairDetail:
        """Two cameras, in any order."""
        a, b = camera_pair(first, second)
        known = self._one(
            "SELECT count(*) FROM camera WHERE site = ? AND name IN (?, ?)", site, a, b
        )
        if known < len({a, b}):
            raise UnknownError(f"site {site!r} has no cameras {first!r} and {second!r}")
        rows = self._select(
            "SELECT * FROM pair WHERE site = ? AND camera_a = ? AND camera_b = ? "
            "ORDER BY at_s DESC LIMIT ?",
            site, a, b, _SHOWN_TIMES,
        )  # fmt: skip
        history = [
            answers.PastMedian(
                at=format_time(row["at_s"]),
                associations=row["associations"],
                median_seconds=row["median_s"],
            )
            for row in self._select(
                "SELECT * FROM past_median WHERE site = ? AND camera_a = ? AND camera_b = ? "
                "ORDER BY calibration DESC LIMIT ?",
                site, a, b, _HISTORY,
            )
        ]  # fmt: skip
        newest = next((p for p in self._learned.pairs(site) if p.sensor_ids == [a, b]), None)
        return answers.PairDetail(
            pair=newest,
            travel_times_seconds=[row["travel_s"] for row in rows],
            pairs=[accepted_of(row) for row in rows[:_SHOWN_PAIRS]],
            history=history[::-1],
        )

    def travel_times_s(self, site: str, first: str, second: str) -> list[float]:
        """Travel times of the accepted pairs of two cameras."""
        rows = self._select(
            "SELECT travel_s FROM pair WHERE site = ? AND camera_a = ? AND camera_b = ? "
            "ORDER BY at_s DESC LIMIT ?",
            site, *camera_pair(first, second), _SHOWN_TIMES,
        )  # fmt: skip
        return [row["travel_s"] for row in rows]

    # --- identities --------------------------------------------------------------------------

    def identities(
        self,
        site: str,
        camera: str | None,
        since_s: float,
        until_s: float,
        cursor: str | None,
        n: int,
    ) -> answers.Page[answers.Identity]:
        """Identities that were seen in a time, newest first."""
        before_s, before_id = _cursor(cursor, until_s)
        rows = self._select(
            "SELECT * FROM identity i INDEXED BY identity_by_time WHERE site = ?1 "
            "AND sightings > 0 AND (last_s < ?2 OR (last_s = ?2 AND id > ?3)) AND last_s >= ?4 "
            "AND (?6 IS NULL OR EXISTS (SELECT 1 FROM sighting s INDEXED BY sighting_of_identity "
            "WHERE s.site = i.site AND s.identity = i.id AND s.camera = ?6)) "
            "ORDER BY last_s DESC, id LIMIT ?5",
            site, before_s, before_id, since_s, n + 1, camera,
        )  # fmt: skip
        shown = rows[:n]
        more = len(rows) > n and f"{shown[-1]['last_s']!r} {shown[-1]['id']}"
        return answers.Page(items=[self._identity(row) for row in shown], next=more or None)

    def _identity(self, row: sqlite3.Row) -> answers.Identity:
        seen = self._select(
            "SELECT camera, max(start_s) AS at_s FROM sighting INDEXED BY sighting_of_identity "
            "WHERE site = ? AND identity = ? GROUP BY camera ORDER BY at_s DESC",
            row["site"], row["id"],
        )  # fmt: skip
        newest = self._select(
            "SELECT id FROM sighting INDEXED BY sighting_of_identity WHERE site = ? "
            "AND identity = ? ORDER BY start_s DESC LIMIT 1",
            row["site"], row["id"],
        )  # fmt: skip
        return answers.Identity(
            id=row["id"],
            first_seen=format_time(row["first_s"]),
            last_seen=format_time(row["last_s"]),
            sightings=row["sightings"],
            sensor_ids=[each["camera"] for each in seen],
            left_window=row["ended_s"] is not None,
            is_static=row["static_s"] is not None,
            newest_sighting=newest[0]["id"] if newest else None,
        )

    def identity(self, site: str, identity: str) -> answers.IdentityDetail:
        """One identity with its sightings and events, oldest first."""
        found = self._select("SELECT * FROM identity WHERE site = ? AND id = ?", site, identity)
        if not found:
            raise UnknownError(f"site {site!r} has no identity {identity!r}")
        sightings = self._select(
            "SELECT * FROM sighting INDEXED BY sighting_of_identity WHERE site = ? "
            "AND identity = ? ORDER BY start_s DESC LIMIT ?",
            site, identity, _SHOWN_SIGHTINGS,
        )  # fmt: skip
        events = self._select(
            "SELECT * FROM event WHERE number IN ("
            "SELECT number FROM event WHERE site = ?1 AND identity = ?2 "
            "UNION SELECT number FROM event WHERE site = ?1 AND from_id = ?2 "
            "UNION SELECT e.number FROM sighting s INDEXED BY sighting_of_identity "
            "CROSS JOIN event e INDEXED BY event_of_sighting "
            "ON e.site = s.site AND e.sighting = s.id WHERE s.site = ?1 AND s.identity = ?2"
            ") ORDER BY number DESC LIMIT ?3",
            site, identity, _SHOWN_SIGHTINGS,
        )  # fmt: skip
        return answers.IdentityDetail(
            identity=self._identity(found[0]),
            merged_into=found[0]["merged_into"],
            sightings=[sighting_of(row) for row in reversed(sightings)],
            events=[event_of(row) for row in reversed(events)],
            complete=max(len(sightings), len(events)) < _SHOWN_SIGHTINGS,
        )

    # --- sightings and events ----------------------------------------------------------------

    def sightings(
        self, site: str, camera: str, since_s: float, until_s: float, cursor: str | None, n: int
    ) -> answers.Page[answers.Sighting]:
        """Sightings of a camera in a time, newest first."""
        before_s, before_id = _cursor(cursor, until_s)
        rows = self._select(
            "SELECT * FROM sighting WHERE site = ?1 AND camera = ?2 AND start_s >= ?3 "
            "AND (start_s < ?4 OR (start_s = ?4 AND id > ?5)) ORDER BY start_s DESC, id LIMIT ?6",
            site, camera, since_s, before_s, before_id, n + 1,
        )  # fmt: skip
        shown = rows[:n]
        more = len(rows) > n and f"{shown[-1]['start_s']!r} {shown[-1]['id']}"
        return answers.Page(items=[sighting_of(row) for row in shown], next=more or None)

    def sighting_row(self, site: str, sighting: str) -> sqlite3.Row:
        """All that is known of a sighting."""
        rows = self._select("SELECT * FROM sighting WHERE site = ? AND id = ?", site, sighting)
        if not rows:
            raise UnknownError(f"site {site!r} has no sighting {sighting!r}")
        return rows[0]

    def sightings_by_number(self, numbers: list[int]) -> dict[int, sqlite3.Row]:
        """Sightings by their numbers; those that were forgotten are missing."""
        marks = ",".join("?" * len(numbers))
        query = f"SELECT * FROM sighting WHERE number IN ({marks})"  # noqa: S608  # marks alone
        return {row["number"]: row for row in self._select(query, *numbers)}

    # --- events ------------------------------------------------------------------------------

    def events_after(self, number: int, n: int) -> list[tuple[str, answers.Event]]:
        """The events that follow a number, oldest first, each with its site."""
        rows = self._select(
            "SELECT * FROM event WHERE number > ? ORDER BY number LIMIT ?", number, n
        )
        return [(row["site"], event_of(row)) for row in rows]

    def newest_event(self) -> int:
        """The number of the newest event, 0 where there is none."""
        return self._one("SELECT ifnull(max(number), 0) FROM event")

    def alpha(self, site: str) -> float | None:
        """That of the last calibration."""
        return self._learned.of(site).get("alpha")


def sighting_of(row: sqlite3.Row) -> answers.Sighting:
    """A sighting's answer."""
    return answers.Sighting(
        id=row["id"],
        sensor_id=row["camera"],
        start=format_time(row["start_s"]),
        end=format_time(row["end_s"]),
        identity=row["identity"],
        detections=row["detections"],
        track_id=row["track"],
        late_seconds=row["late_s"],
        has_crop=row["crop_topic"] is not None,
        has_vector=row["slot"] is not None,
    )


def event_of(row: sqlite3.Row) -> answers.Event:
    """An event's answer."""
    return answers.Event(
        number=row["number"],
        type=row["kind"],
        at=format_time(row["at_s"]),
        identity=row["identity"],
        from_identity=row["from_id"],
        sighting=row["sighting"],
        evidence=None if row["evidence"] is None else json.loads(row["evidence"]),
        correction=row["correction"],
    )


def time_s(text: str | None, default_s: float) -> float:
    """A time that was asked for.

    Raises:
        BadRecord: it is none.
    """
    return default_s if text is None else parse_time_s(text)


def _cursor(cursor: str | None, until_s: float) -> tuple[float, str]:
    """Where a page goes on.

    Raises:
        UnknownError: it is no cursor of ours.
    """
    if cursor is None:
        return until_s, ""
    at, _, name = cursor.partition(" ")
    try:
        return float(at), name
    except ValueError as error:
        raise UnknownError(f"{cursor!r} is no cursor") from error


def accepted_of(row: sqlite3.Row) -> answers.AcceptedPair:
    """A pair's answer."""
    return answers.AcceptedPair(
        query=row["query"],
        gallery=row["gallery"],
        at=format_time(row["at_s"]),
        travel_time_seconds=row["travel_s"],
        p_visual=row["p_visual"],
        p_travel=row["p_travel"],
        p_association=row["p_association"],
    )


def _span(seconds: float) -> str:
    for size, name in ((86_400, "days"), (3600, "hours"), (60, "minutes")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {name}"
    return f"{seconds:.0f} s"
