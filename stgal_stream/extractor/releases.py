"""Releases: versions of the extractor with where they come from.

A directory holds one folder a release (``model.onnx``, ``release.json``, and where it is good
enough an 8-bit variant of the model). Which one is in use
stands in the log (``wire.rollout``). Laws: a release never changes once it is there; a model
whose hash is not the release's is never loaded.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from stgal_stream.errors import DataError, ModelError
from stgal_stream.extractor.model_files import files_of
from stgal_stream.extractor.onnx import variant_path
from stgal_stream.wire.rollout import Promotion

MODEL, ABOUT = "model.onnx", "release.json"


class Release(msgspec.Struct, frozen=True, omit_defaults=False):
    """One version: its model's hash, its parent, and how it came to be; ``variant`` is the hash of
    its 8-bit variant, if it has one, and what was measured of it."""

    version: str
    sha256: str
    parent: str
    created: str
    data: dict[str, Any] = {}
    gate: dict[str, Any] = {}
    settings: dict[str, Any] = {}
    variant: dict[str, Any] = {}


@dataclass(frozen=True, slots=True)
class Releases:
    """The releases of one directory."""

    folder: Path

    def all(self) -> tuple[list[Release], list[DataError]]:
        """All releases, oldest first; and what is wrong with those that cannot be read."""
        found, faults = [], []
        for path in sorted(self.folder.glob(f"*/{ABOUT}")):
            if not path.parent.name.startswith("."):
                try:
                    found.append(self.get(path.parent.name))
                except DataError as fault:
                    faults.append(fault)
        return sorted(found, key=lambda release: (release.created, release.version)), faults

    def has(self, version: str) -> bool:
        """Whether there is a release of that name, readable or not."""
        is_name = version not in ("", ".", "..") and "/" not in version and "\0" not in version
        try:
            return is_name and (self.folder / version).is_dir()
        except OSError:  # longer than a name may be
            return False

    def get(self, version: str) -> Release:
        """One release.

        Raises:
            DataError: there is none of that name, or its description cannot be read.
        """
        if not self.has(version):
            known = ", ".join(p.parent.name for p in sorted(self.folder.glob(f"*/{ABOUT}")))
            hint = f"there is: {known}" if known else "stgal-stream retrain makes one"
            raise DataError(f"no release {version!r} in {self.folder}", hint=hint)
        path = self.folder / version / ABOUT
        try:
            release = msgspec.json.decode(path.read_bytes(), type=Release)
        except (OSError, ValueError) as error:  # msgspec's own errors are ValueErrors
            raise DataError(f"{path} cannot be read: {error}") from error
        if release.version != version:
            raise DataError(f"{path} describes {release.version!r}, not {version!r}")
        return release

    def model(self, version: str) -> Path:
        """The path of a release's model, its hash checked and that of its variant.

        Raises:
            ModelError: it is missing or not what was released.
        """
        release, path = self.get(version), self.folder / version / MODEL
        if not path.is_file():
            raise ModelError(f"release {version} has lost its {MODEL}")
        expected = [(path, release.sha256)]
        if variant_path(path).is_file():
            expected.append((variant_path(path), release.variant.get("sha256", "")))
        for file, sha256 in expected:
            if sha256_of(file) != sha256:
                raise ModelError(
                    f"{file} is not what was released: its hash differs",
                    hint="promote another release, or roll back",
                )
        return path

    def add(self, release: Release, model: Path) -> Path:
        """Adds a release, whole or not at all.

        Raises:
            DataError: there is one of that name, the model is more than one file, or the folder
                cannot be written.
        """
        target = self.folder / release.version
        if target.exists():
            raise DataError(f"there is a release {release.version} already")
        if len(files_of(model)) > 1:
            raise DataError(
                f"{model} keeps weights in files beside it, and a release is one file",
                hint="save it with its weights inside (onnx.save_model)",
            )
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=self.folder, prefix=".new-") as scratch:
                made = Path(scratch) / release.version
                made.mkdir()
                shutil.copyfile(model, made / MODEL)
                if release.variant.get("kept"):
                    shutil.copyfile(variant_path(model), variant_path(made / MODEL))
                about = msgspec.json.format(msgspec.json.encode(release), indent=1)
                (made / ABOUT).write_bytes(about + b"\n")
                made.rename(target)
        except OSError as error:
            raise DataError(f"{target} cannot be written: {error.strerror}") from error
        return target

    def promotion(self, version: str) -> Promotion:
        """The record that puts a release in use, after checking it.

        Raises:
            DataError, ModelError: it is not there or not what was released.
        """
        has_variant = variant_path(self.model(version)).is_file()
        release = self.get(version)
        return Promotion(
            "promote",
            version,
            f"{version}@{release.sha256[:12]}",
            release.sha256,
            str(self.folder.resolve()),
            time.time(),
            release.variant["sha256"] if has_variant else "",
        )

    def holding(self, promotion: Promotion) -> Releases:
        """These if the promoted release is among them, else those that it was promoted from."""
        there = Releases(Path(promotion.folder))
        return there if there.has(promotion.version) and not self.has(promotion.version) else self

    def promoted(self, promotion: Promotion) -> Path:
        """The path of the model that was promoted; what the folder says of itself is not enough.

        Raises:
            DataError, ModelError: it is not there, or it or its variant is another.
        """
        path, release = self.model(promotion.version), self.get(promotion.version)
        variant = variant_path(path)
        # The files are what the folder says, so only what it says is compared.
        found = [(path, release.sha256, promotion.sha256)]
        if variant.is_file():
            found.append((variant, release.variant["sha256"], promotion.variant))
        for file, here, promoted in found:
            if here != promoted:
                raise ModelError(f"{file} is not what was promoted: its hash differs")
        return path


def sha256_of(path: Path) -> str:
    """The hash of a file, in hex."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
