"""What is installed is what was tested, and nothing that it must not be."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
LOCKS = {
    "run": (),
    "web": ("web",),
    "gpu": ("gpu",),
    "train": ("train",),
    "test": ("train", "test", "docs", "web"),
}


def locked(name: str) -> dict[str, str]:
    text = (ROOT / "locks" / f"{name}.txt").read_text()
    return dict(re.findall(r"^([a-z0-9._-]+)==(\S+)", text, re.MULTILINE))


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_is_what_the_project_asks_for(name: str) -> None:
    found = locked(name)
    wanted = [*PROJECT["dependencies"], *(r for e in LOCKS[name] for r in EXTRAS[e])]
    for requirement in map(Requirement, wanted):
        version = found.get(canonicalize_name(requirement.name))
        assert version is not None, f"{requirement}: run tools/lock"
        assert requirement.specifier.contains(version), f"{requirement}: run tools/lock"


@pytest.mark.parametrize("name", [*LOCKS, "build"])
def test_every_file_has_a_digest_and_none_an_address(name: str) -> None:
    text = (ROOT / "locks" / f"{name}.txt").read_text()
    assert "://" not in text
    assert "--index" not in text
    for entry in re.split(r"\n(?=\S)", text.strip()):
        assert "--hash=sha256:" in entry, entry


def test_installations_agree() -> None:
    """Two extras in one image are two locks in one installation."""
    seen: dict[str, str] = {}
    for name in ("run", "web", "gpu", "train"):
        for package, version in locked(name).items():
            assert seen.setdefault(package, version) == version, package


def test_no_licence_that_may_not_be() -> None:
    command = [sys.executable, str(ROOT / "tools" / "licences.py"), "--json"]
    rows = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    said = {name: licence for name, _, licence, _ in rows}
    assert len(said) > 40
    assert sum(bool(licence) for licence in said.values()) > 0.9 * len(said)
    for name, licence in said.items():
        assert not re.search(r"(?<!L)A?GPL", licence), (name, licence)
        assert "General Public" not in licence or "Lesser" in licence, (name, licence)


def test_the_bill_of_materials_names_every_package(tmp_path: Path) -> None:
    out = tmp_path / "sbom.json"
    tool = Path(sys.executable).with_name("cyclonedx-py")
    command = [str(tool), "requirements", "--output-reproducible", "--output-file", str(out)]
    subprocess.run([*command, str(ROOT / "locks/run.txt")], check=True, capture_output=True)
    bill = json.loads(out.read_text())
    assert bill["bomFormat"] == "CycloneDX"
    assert {c["name"]: c["version"] for c in bill["components"]} == locked("run")


@pytest.mark.parametrize("unit", ["stgal-stream", "stgal-retrain", "stgal-web"])
def test_units_may_do_nothing_but_their_work(unit: str) -> None:
    """As systemd itself judges: 0 is safe, 10 is not."""
    tool = shutil.which("systemd-analyze")
    if tool is None:
        pytest.skip("no systemd-analyze here")
    path = str(ROOT / "deploy" / f"{unit}.service")
    command = [tool, "security", "--offline=true", "--threshold=20", "--no-pager", path]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-1500:]
