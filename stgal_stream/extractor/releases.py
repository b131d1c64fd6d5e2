"""Releases: versions of the extractor with where they come from, and which one is in use.

A directory holds one folder a release (``model.onnx``, ``release.json``) and ``promotions.jsonl``,
to which every promote and rollback adds one line. The laws: a release never changes once it is
there; a model whose hash is not the release's is never loaded; the last line says what is in use.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from stgal_stream.errors import DataError, ModelError

MODEL, ABOUT, PROMOTIONS = "model.onnx", "release.json", "promotions.jsonl"


class Release(msgspec.Struct, frozen=True, omit_defaults=False):
    """One version: its model's hash, its parent, and how it came to be."""

    version: str
    sha256: str
    parent: str
    created: str
    data: dict[str, Any] = {}
    gate: dict[str, Any] = {}
    settings: dict[str, Any] = {}


class Promotion(msgspec.Struct, frozen=True):
    """One line of the history; ``version`` empty is the configured or shipped extractor."""

    kind: str
    version: str
    at: str


@dataclass(frozen=True, slots=True)
class Releases:
    """The releases of one directory."""

    folder: Path

    def all(self) -> list[Release]:
        """All releases, oldest first."""
        found = [self.get(path.parent.name) for path in self.folder.glob(f"*/{ABOUT}")]
        return sorted(found, key=lambda release: (release.created, release.version))

    def get(self, version: str) -> Release:
        """One release.

        Raises:
            DataError: there is none of that name, or its description cannot be read.
        """
        path = self.folder / version / ABOUT
        if "/" in version or not path.is_file():
            known = ", ".join(p.parent.name for p in sorted(self.folder.glob(f"*/{ABOUT}")))
            raise DataError(f"no release {version!r} in {self.folder}", hint=f"there is: {known}")
        try:
            return msgspec.json.decode(path.read_bytes(), type=Release)
        except (OSError, msgspec.MsgspecError) as error:
            raise DataError(f"{path} cannot be read: {error}") from error

    def model(self, version: str) -> Path:
        """The path of a release's model, its hash checked.

        Raises:
            ModelError: it is missing or not what was released.
        """
        release, path = self.get(version), self.folder / version / MODEL
        if not path.is_file():
            raise ModelError(f"release {version} has lost its {MODEL}")
        if sha256_of(path) != release.sha256:
            raise ModelError(
                f"{path} is not what was released: its hash differs",
                hint="promote another release, or roll back",
            )
        return path

    def add(self, release: Release, model: Path) -> Path:
        """Adds a release, whole or not at all.

        Raises:
            DataError: there is one of that name, or the folder cannot be written.
        """
        target = self.folder / release.version
        if target.exists():
            raise DataError(f"there is a release {release.version} already")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=self.folder, prefix=".new-") as scratch:
                made = Path(scratch) / release.version
                made.mkdir()
                shutil.copyfile(model, made / MODEL)
                about = msgspec.json.format(msgspec.json.encode(release), indent=1)
                (made / ABOUT).write_bytes(about + b"\n")
                made.rename(target)
        except OSError as error:
            raise DataError(f"{target} cannot be written: {error.strerror}") from error
        return target

    def history(self) -> list[Promotion]:
        """All promotions and rollbacks, oldest first.

        Raises:
            DataError: the file cannot be read.
        """
        path = self.folder / PROMOTIONS
        if not path.is_file():
            return []
        try:
            lines = path.read_bytes().splitlines()
            return [msgspec.json.decode(line, type=Promotion) for line in lines if line.strip()]
        except (OSError, msgspec.MsgspecError) as error:
            raise DataError(f"{path} cannot be read: {error}") from error

    def promoted(self) -> str | None:
        """The version in use; None where it is the configured or shipped extractor."""
        history = self.history()
        return history[-1].version or None if history else None

    def promote(self, version: str) -> None:
        """Puts a release in use, after checking it.

        Raises:
            DataError, ModelError: it is not there or not what was released.
        """
        self.model(version)
        self._note("promote", version)

    def rollback(self) -> str | None:
        """Goes back to what was in use before the present one; that version.

        Raises:
            DataError: nothing was promoted.
        """
        in_use: list[str] = []
        for entry in self.history():
            if entry.kind == "promote":
                in_use.append(entry.version)
            elif in_use:
                in_use.pop()
        if not in_use:
            raise DataError("nothing to roll back: no release is in use")
        before = in_use[-2] if len(in_use) > 1 else ""
        if before:
            self.model(before)
        self._note("rollback", before)
        return before or None

    def _note(self, kind: str, version: str) -> None:
        line = msgspec.json.encode(Promotion(kind, version, datetime.now(UTC).isoformat()))
        try:
            with (self.folder / PROMOTIONS).open("ab") as out:
                out.write(line + b"\n")
                out.flush()
                os.fsync(out.fileno())
        except OSError as error:
            raise DataError(f"{self.folder / PROMOTIONS} cannot be written: {error}") from error


def sha256_of(path: Path) -> str:
    """The hash of a file, in hex."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
