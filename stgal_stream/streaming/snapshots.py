"""Snapshots on disk: written atomically, checked when read, the one before kept.

A snapshot only shortens recovery. One that is missing, broken, of another log, of other settings or
of another shape is left aside, and the log is read from its beginning.
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
import numpy as np
from numpy.typing import NDArray

from stgal_stream.core.tracker.snapshot import SiteState
from stgal_stream.errors import SnapshotError
from stgal_stream.log.port import Partition
from stgal_stream.streaming.extractor_rollout.marker import MarkerState

logger = logging.getLogger(__name__)

_MAGIC = b"stgal-snapshot-6\n"
_DIGEST_BYTES = 32


@dataclass(frozen=True, slots=True)
class Snapshot:
    """State of all sites of a partition after every record before ``offset``, and what is known of
    changes of the extractor."""

    offset: int
    sites: dict[str, SiteState]
    markers: MarkerState


@dataclass(frozen=True, slots=True)
class _Saved:
    """A snapshot and what it is of."""

    fingerprint: str
    snapshot: Snapshot


def encode(content: Any) -> bytes:
    """A state of dataclasses, plain values and arrays as MessagePack."""
    return msgspec.msgpack.encode(content, enc_hook=_dump)


def decode(body: bytes, kind: Any) -> Any:
    """What ``encode`` made of a ``kind``.

    Raises:
        SnapshotError: it is something else.
    """
    try:
        return msgspec.msgpack.decode(body, type=kind, dec_hook=_load_array)
    except (msgspec.MsgspecError, ValueError, TypeError) as error:
        raise SnapshotError(f"it does not hold a {kind.__name__}: {error}") from error


class _MissingError(SnapshotError):
    """There is no such snapshot."""


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
        body = encode(_Saved(self._fingerprint, snapshot))
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

    def delete_previous(self) -> None:
        """Deletes the snapshots before the newest ones, for personal data that must go."""
        for path in self._directory.glob("*.previous"):
            path.unlink(missing_ok=True)

    def load(self, partition: Partition, at_most: int, at_least: int) -> Snapshot | None:
        """The newest good snapshot whose offset lies between the log's beginning and what the
        group has committed; None if there is none."""
        path = self._path(partition)
        for candidate in (path, path.with_suffix(".previous")):
            try:
                found = _read(candidate)
            except _MissingError:
                continue
            except SnapshotError as error:
                logger.warning("%s; it is left aside", error)
                continue
            if found.fingerprint != self._fingerprint:
                logger.info("%s is of another log or other settings; it is left aside", candidate)
            elif at_least <= found.snapshot.offset <= at_most:
                return found.snapshot
        return None

    def _path(self, partition: Partition) -> Path:
        name = re.sub(r"[^A-Za-z0-9._-]", "_", partition.topic)
        return self._directory / f"{name}-{partition.number}.snapshot"


def read_sites(directory: Path) -> dict[str, SiteState]:
    """The state of every site in a directory of snapshots, whatever log and settings it is of. A
    file that is no snapshot is left aside, with a warning.

    Raises:
        SnapshotError: there is none, or none can be read.
    """
    paths = sorted(directory.glob("*.snapshot"))
    if not paths:
        raise SnapshotError(
            f"{directory} holds no snapshot",
            hint="a daemon writes one every daemon.snapshot_every_s and when it stops",
        )
    found, faults = [], list[SnapshotError]()
    for path in paths:
        try:
            found.append(_read(path).snapshot)
        except SnapshotError as error:
            logger.warning("%s; it is left aside", error)
            faults.append(error)
    if not found:
        raise faults[0]
    return {site: state for snapshot in found for site, state in snapshot.sites.items()}


def _read(path: Path) -> _Saved:
    try:
        content = path.read_bytes()
    except OSError as error:
        kind = _MissingError if isinstance(error, FileNotFoundError) else SnapshotError
        raise kind(f"{path} cannot be read: {error.strerror}") from error
    head = len(_MAGIC)
    body = content[head + _DIGEST_BYTES :]
    digest = content[head : head + _DIGEST_BYTES]
    if content[:head] != _MAGIC or hashlib.sha256(body).digest() != digest:
        raise SnapshotError(f"{path} is broken or of another version")
    try:
        found: _Saved = decode(body, _Saved)
    except SnapshotError as error:
        raise SnapshotError(f"{path} cannot be read: {error}") from error
    return found


def _dump(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value.dtype.str, value.shape, value.tobytes()
    if isinstance(value, np.generic):
        return value.item()  # a number is a number, whoever computed it
    raise NotImplementedError(type(value))


def _load_array(kind: Any, value: Any) -> NDArray[Any]:
    name, shape, data = value
    if name not in _KINDS:
        raise ValueError(f"an array of {name!r}")
    return np.frombuffer(data, dtype=name).reshape(shape).copy()


_KINDS = {np.dtype(kind).str for kind in (np.float32, np.float64, np.int64, np.bool_)}


def _sync_directory(directory: Path) -> None:
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
