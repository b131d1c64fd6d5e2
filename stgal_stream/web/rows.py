"""Records of the log -> rows of the read model; what a table means stands in ``tables.sql``."""

from __future__ import annotations

import hashlib
import re
import sqlite3
from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from stgal_stream.log.port import Record
from stgal_stream.types import camera_pair
from stgal_stream.web.vector_library import VectorLibrary, mean_vector
from stgal_stream.web.vectors import Place
from stgal_stream.wire.embedding import EmbeddingRecord, decode
from stgal_stream.wire.fields import BadRecord, parse_time_s

Content = dict[str, Any]
_FAULTS = (msgspec.MsgspecError, BadRecord, KeyError, TypeError, ValueError)
_MAX_ASKED = 500  # ids in one question to SQLite
_NOT_NAMED = ""
_ERASED = '"erased"'


class Writer:
    """Turns records into rows, in the transaction that the follower has open.

    A record that is not what its topic promises is counted in ``n_unreadable`` and left out: this
    process only reads, so it cannot mend it.
    """

    def __init__(self, connection: sqlite3.Connection, vectors: VectorLibrary) -> None:
        self._connection = connection
        self._vectors = vectors
        self._changed: set[tuple[str, str]] = set()
        self._placed: list[tuple[int, int, Place]] = []
        self._gone: list[tuple[int, int]] = []
        self.n_unreadable = 0

    def take(self, records: Iterable[Record], row: Callable[[Record], None]) -> None:
        """Writes the row of each record."""
        for record in records:
            try:
                if record.fault is not None:
                    raise ValueError(record.fault)
                row(record)
            except _FAULTS:
                self.n_unreadable += 1

    def settle(self) -> None:
        """At the end of a transaction: identities that changed are counted again."""
        for site, identity in sorted(self._changed):
            self._count(site, identity)
        self._changed.clear()

    def show(self) -> None:
        """After the transaction: its vectors can be found, those of the erased are overwritten."""
        for extractor, slot, place in self._placed:
            self._vectors.file(extractor).place(slot, place)
        self._placed.clear()
        for extractor, slot in self._gone:
            self._vectors.file(extractor).forget([slot])
        self._gone.clear()
        self._vectors.fit()

    def undo(self) -> None:
        """After a transaction that failed."""
        self._changed.clear()
        self._placed.clear()
        self._gone.clear()
        self._vectors.undo(self._connection)

    # --- embeddings --------------------------------------------------------------------------

    def embedding(self, record: Record) -> None:
        """A detection waits for its tracklet, and its camera is there."""
        content = decode(record.value)
        if not isinstance(content, EmbeddingRecord) or len(content.vector) % 4:
            return
        extractor = self._vectors.number(
            self._connection, content.extractor, len(content.vector) // 4
        )
        self._connection.execute(
            "INSERT OR IGNORE INTO detection VALUES (?, ?, ?, ?, ?, ?)",
            (content.site, content.id, extractor, content.vector, content.weight,
             record.append_time_s),
        )  # fmt: skip
        self._connection.execute(
            "INSERT INTO camera VALUES (?, ?, ?, ?, 1, ?) ON CONFLICT DO UPDATE SET "
            "last_s = max(last_s, excluded.last_s), detections = detections + 1, "
            "append_s = max(append_s, excluded.append_s)",
            (content.site, content.camera, content.time_s, content.time_s, record.append_time_s),
        )

    # --- identities --------------------------------------------------------------------------

    def identity(self, record: Record) -> None:
        """An identity event: what it says of sightings and identities, and the event itself."""
        event = _json(record)
        site, kind, identity = event["site"], event["type"], event["globalId"]
        sighting = event.get("tracklet")
        if kind in ("created", "joined") and self._knows(site, identity, sighting):
            return  # said again when somebody whom it named was erased
        if kind == "erased":
            self._erase(site, identity, record.append_time_s)
            return
        if kind == "renamed":
            self._rename(site, event["from"], identity, sighting)
            if "correctionId" in event:  # an operator knows a person
                self._set_static(site, identity, None)
        elif kind == "ended":
            self._connection.execute(
                "UPDATE identity SET ended_s = ? WHERE site = ? AND id = ?",
                (event["atSeconds"], site, identity),
            )
        elif kind == "static":
            self._set_static(site, identity, event["atSeconds"])
        elif sighting is not None:
            self._add_sighting(site, identity, sighting, record.append_time_s)
        evidence = event.get("evidence")
        self._connection.execute(
            "INSERT INTO event (site, at_s, kind, identity, from_id, sighting, evidence, "
            "correction, append_s) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                site,
                event["atSeconds"],
                kind,
                identity,
                event.get("from"),
                None if sighting is None else sighting["id"],
                None if evidence is None else msgspec.json.encode(evidence).decode(),
                event.get("correctionId"),
                record.append_time_s,
            ),
        )

    def _knows(self, site: str, identity: str, told: Content | None) -> bool:
        """Whether a sighting is this identity's already."""
        if told is None:
            return False
        row = self._connection.execute(
            "SELECT identity FROM sighting WHERE site = ? AND id = ?", (site, told["id"])
        ).fetchone()
        return row is not None and row[0] == identity

    def _add_sighting(self, site: str, identity: str, told: Content, append_s: float) -> None:
        crop = told.get("crop") or {}
        detections = told["detections"]
        extractor, slot = self._vector(site, detections)
        if slot is None:  # it was taken when the sighting was first told of
            extractor, slot = self._known_vector(site, told["id"])
        cursor = self._connection.execute(
            "INSERT OR REPLACE INTO sighting (site, id, camera, start_s, end_s, identity, "
            "detections, track, late_s, crop_topic, crop_part, crop_offset, extractor, slot, "
            "append_s) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                site,
                told["id"],
                told["sensorId"],
                parse_time_s(told["start"]),
                parse_time_s(told["end"]),
                identity,
                len(detections),
                told.get("trackId"),
                told.get("lateSeconds", 0.0),
                crop.get("topic"),
                crop.get("partition"),
                crop.get("offset"),
                extractor,
                slot,
                append_s,
            ),
        )
        if extractor is not None and slot is not None:
            place = Place(int(cursor.lastrowid or 0), site, told["sensorId"])
            self._placed.append((extractor, slot, place))
        self._connection.execute(
            "INSERT INTO identity VALUES (?, ?, 0, 0, 0, NULL, NULL, ?, NULL) "
            "ON CONFLICT DO UPDATE SET append_s = excluded.append_s, ended_s = NULL",
            (site, identity, append_s),
        )
        self._changed.add((site, identity))

    def _known_vector(self, site: str, sighting: str) -> tuple[int | None, int | None]:
        row = self._connection.execute(
            "SELECT extractor, slot FROM sighting WHERE site = ? AND id = ?", (site, sighting)
        ).fetchone()
        return (None, None) if row is None else (row[0], row[1])

    def _vector(self, site: str, ids: list[str]) -> tuple[int | None, int | None]:
        """Extractor and slot of a tracklet's vector, the mean of its detections'."""
        found = []
        for at in range(0, len(ids), _MAX_ASKED):
            some = ids[at : at + _MAX_ASKED]
            marks = ",".join("?" * len(some))
            found += self._connection.execute(
                f"DELETE FROM detection WHERE site = ? AND id IN ({marks}) "  # noqa: S608  # marks alone
                "RETURNING extractor, vector, weight",
                (site, *some),
            ).fetchall()
        if not found:
            return None, None
        extractor = found[-1][0]
        mine = [(vector, weight) for number, vector, weight in found if number == extractor]
        return extractor, self._vectors.file(extractor).write(mean_vector(mine))

    def _rename(self, site: str, before: str, after: str, sighting: Content | None) -> None:
        if sighting is not None:
            self._connection.execute(
                "UPDATE sighting SET identity = ? WHERE site = ? AND id = ?",
                (after, site, sighting["id"]),
            )
        else:
            self._connection.execute(
                "UPDATE sighting SET identity = ? WHERE site = ? AND identity = ?",
                (after, site, before),
            )
            self._connection.execute(
                "UPDATE identity SET merged_into = ? WHERE site = ? AND id = ?",
                (after, site, before),
            )
        self._connection.execute(
            "INSERT OR IGNORE INTO identity SELECT site, ?, 0, 0, 0, NULL, NULL, append_s, NULL "
            "FROM identity WHERE site = ? AND id = ?",
            (after, site, before),
        )
        self._changed |= {(site, before), (site, after)}

    def _set_static(self, site: str, identity: str, at_s: float | None) -> None:
        """Since when an identity is known to be no person; None: it is one."""
        self._connection.execute(
            "UPDATE identity SET static_s = ? WHERE site = ? AND id = ?", (at_s, site, identity)
        )

    def _erase(self, site: str, identity: str, append_s: float) -> None:
        """Nothing of an identity is left but digests of what its sightings were called."""
        rows = self._connection.execute(
            "DELETE FROM sighting WHERE site = ? AND identity = ? RETURNING id, extractor, slot",
            (site, identity),
        ).fetchall()
        self._gone += [(extractor, slot) for _, extractor, slot in rows if slot is not None]
        for name, _, _ in rows:
            digest = (_digest(site, name), append_s)
            self._connection.execute("INSERT OR IGNORE INTO erased VALUES (?, ?)", digest)
            for query in (
                "DELETE FROM pair WHERE site = ?1 AND (query = ?2 OR gallery = ?2)",
                "DELETE FROM event WHERE site = ?1 AND sighting = ?2",
                "DELETE FROM correction WHERE site = ?1 AND (EXISTS (SELECT 1 FROM "
                "json_each(first) WHERE value = ?2) OR EXISTS (SELECT 1 FROM json_each(second) "
                "WHERE value = ?2))",
            ):
                self._connection.execute(query, (site, name))
        self._scrub_evidence(site, [name for name, _, _ in rows])
        for query in (
            "DELETE FROM event WHERE site = ?1 AND (identity = ?2 OR from_id = ?2)",
            "DELETE FROM identity WHERE site = ?1 AND id = ?2",
            "UPDATE identity SET merged_into = NULL WHERE site = ?1 AND merged_into = ?2",
        ):
            self._connection.execute(query, (site, identity))

    def _scrub_evidence(self, site: str, names: list[str]) -> None:
        """What tied others to one another may name sightings that are erased, as runners-up."""
        if not names:
            return
        quoted = [re.escape(msgspec.json.encode(name).decode()) for name in names]
        found = re.compile("|".join(quoted))
        told = self._connection.execute(
            "SELECT number, evidence FROM event WHERE site = ? AND evidence IS NOT NULL", (site,)
        )
        scrubbed = [
            (found.sub(_ERASED, text), number) for number, text in told if found.search(text)
        ]
        self._connection.executemany("UPDATE event SET evidence = ? WHERE number = ?", scrubbed)

    def _is_erased(self, site: str, *sightings: str) -> bool:
        query = "SELECT 1 FROM erased WHERE digest IN (?, ?)"
        digests = [_digest(site, name) for name in sightings]
        return self._connection.execute(query, digests).fetchone() is not None

    def _count(self, site: str, identity: str) -> None:
        self._connection.execute(
            "UPDATE identity SET (first_s, last_s, sightings) = (SELECT ifnull(min(start_s), 0), "
            "ifnull(max(end_s), 0), count(*) FROM sighting WHERE site = ?1 AND identity = ?2) "
            "WHERE site = ?1 AND id = ?2",
            (site, identity),
        )

    # --- the other topics --------------------------------------------------------------------

    def association(self, record: Record) -> None:
        """An accepted pair is there until it is withdrawn."""
        event = _json(record)
        site, pair = event["site"], event["pairId"]
        if event["type"] == "withdrawn":
            self._connection.execute("DELETE FROM pair WHERE site = ? AND id = ?", (site, pair))
            return
        query, gallery, evidence = event["query"], event["gallery"], event["evidence"]
        if self._is_erased(site, query["id"], gallery["id"]):
            return
        self._connection.execute(
            "INSERT OR REPLACE INTO pair VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                site,
                pair,
                *camera_pair(query["sensorId"], gallery["sensorId"]),
                query["id"],
                gallery["id"],
                evidence["travelTimeSeconds"],
                evidence["pVisual"],
                evidence["pTravel"],
                evidence["pAssociation"],
                event["atSeconds"],
                record.append_time_s,
            ),
        )

    def calibration(self, record: Record) -> None:
        """What was learned."""
        told = _json(record)
        site, at_s, append_s = told["site"], told["atSeconds"], record.append_time_s
        pairs = [
            (*pair["sensorIds"], pair["associations"], pair["medianSeconds"])
            for pair in told.get("pairs", [])
        ]
        number = self._connection.execute(
            "INSERT INTO calibration (site, at_s, body, append_s) VALUES (?, ?, ?, ?)",
            (site, at_s, record.value.decode(), append_s),
        ).lastrowid
        self._connection.executemany(
            "INSERT INTO past_median VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            ((site, a, b, number, at_s, n, median_s, append_s) for a, b, n, median_s in pairs),
        )

    def correction(self, record: Record) -> None:
        """What an operator said, and what became of it."""
        told = _json(record)
        self._connection.execute(
            "INSERT INTO correction (site, id, verdict, first, second, said_by, said_s, refused, "
            "append_s) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                told["site"],
                told["correctionId"],
                told["verdict"],
                *(msgspec.json.encode(told[side]).decode() for side in ("first", "second")),
                told["by"],
                parse_time_s(told["said"]),
                told.get("refused"),
                record.append_time_s,
            ),
        )

    def dead_letter(self, record: Record) -> None:
        """One more that could not be used."""
        told = _json(record)
        self._connection.execute(
            "INSERT INTO refusal VALUES (?, ?, ?, 1, ?, ?) ON CONFLICT DO UPDATE SET n = n + 1, "
            "detail = excluded.detail, append_s = excluded.append_s",
            (
                told.get("site", _NOT_NAMED),
                told.get("sensorId", _NOT_NAMED),
                told["reason"],
                told["detail"],
                record.append_time_s,
            ),
        )


def _digest(site: str, sighting: str) -> bytes:
    return hashlib.blake2b(f"{site}\0{sighting}".encode(), digest_size=16).digest()


def _json(record: Record) -> Content:
    content = msgspec.json.decode(record.value)
    if not isinstance(content, dict):
        raise TypeError("no JSON object")
    return content
