"""Snapshots on disk: written atomically, checked when read, the one before kept.

A snapshot only shortens recovery. One that is missing, broken, of another log or of other settings
is left aside, and the log is read from its beginning.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from stgal_stream.errors import SnapshotError
from stgal_stream.log.port import Partition

logger = logging.getLogger(__name__)

_MAGIC = b"stgal-snapshot-5\n"
_DIGEST_BYTES = 32


@dataclass(frozen=True, slots=True)
class Snapshot:
    """State of all sites of a partition after every record before ``offset``, and what it knows of
    switches of the extractor."""

    offset: int
    sites: dict[str, Any]
    switches: dict[str, Any]


class SnapshotStore:
    """Snapshots of one stage on one log under one set of settings (``fingerprint``).

    Raises:
        SnapshotError: the directory cannot be made.
    """

    def __init__(self, directory: Path, fingerprint: str) -> None:
        self._directory = directory
        self._fingerprint = fingerprint
        try:
            directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise SnapshotError(
                f"{directory} cannot be made: {error.strerror}", hint="set daemon.state_dir"
            ) from error

    def save(self, partition: Partition, snapshot: Snapshot) -> None:
        """Writes a snapshot; after a kill at any point a whole one is there.

        Raises:
            SnapshotError: the disk did not take it.
        """
        content = (self._fingerprint, snapshot.offset, snapshot.sites, snapshot.switches)
        body = msgspec.msgpack.encode(content)
        path = self._path(partition)
        temporary = path.with_suffix(".tmp")
        try:
            with temporary.open("wb") as out:
                out.write(_MAGIC + hashlib.sha256(body).digest() + body)
                out.flush()
                os.fsync(out.fileno())
            if path.exists():
                path.replace(path.with_suffix(".previous"))
            temporary.replace(path)
            _sync_directory(self._directory)
        except OSError as error:
            raise SnapshotError(f"{path} could not be written: {error.strerror}") from error

    def load(self, partition: Partition, at_most: int, at_least: int) -> Snapshot | None:
        """The newest good snapshot whose offset lies between the log's beginning and what the
        group has committed; None if there is none."""
        path = self._path(partition)
        for candidate in (path, path.with_suffix(".previous")):
            if not candidate.exists():
                continue
            try:
                fingerprint, found = _read(candidate)
            except SnapshotError as error:
                logger.warning("%s; it is left aside", error)
                continue
            if fingerprint != self._fingerprint:
                logger.info("%s is of another log or other settings; it is left aside", candidate)
            elif at_least <= found.offset <= at_most:
                return found
        return None

    def _path(self, partition: Partition) -> Path:
        name = re.sub(r"[^A-Za-z0-9._-]", "_", partition.topic)
        return self._directory / f"{name}-{partition.number}.snapshot"


def read_sites(directory: Path) -> dict[str, Any]:
    """The state of every site in a directory of snapshots, whatever log and settings it is of.

    Raises:
        SnapshotError: there is none, or one cannot be read.
    """
    paths = sorted(directory.glob("*.snapshot"))
    if not paths:
        raise SnapshotError(
            f"{directory} holds no snapshot",
            hint="a daemon writes one every daemon.snapshot_every_s and when it stops",
        )
    return {site: state for path in paths for site, state in _read(path)[1].sites.items()}


def _read(path: Path) -> tuple[str, Snapshot]:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise SnapshotError(f"{path} cannot be read: {error.strerror}") from error
    head = len(_MAGIC)
    body = content[head + _DIGEST_BYTES :]
    digest = content[head : head + _DIGEST_BYTES]
    if content[:head] != _MAGIC or hashlib.sha256(body).digest() != digest:
        raise SnapshotError(f"{path} is broken or of another version")
    try:
        fingerprint, offset, sites, switches = msgspec.msgpack.decode(body)
    except (msgspec.DecodeError, ValueError) as error:
        raise SnapshotError(f"{path} cannot be read: {error}") from error
    return fingerprint, Snapshot(offset, sites, switches)


def _sync_directory(directory: Path) -> None:
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
