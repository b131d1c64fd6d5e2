#!/usr/bin/env python
"""Every package that an installation brings, with its licence: `tools/licences.py [--json]`.

Versions are those of locks/, licences what the packages say of themselves, as installed here. The
documentation has the same table.
"""

from __future__ import annotations

import argparse
import json
import re
from importlib.metadata import PackageMetadata, PackageNotFoundError, metadata
from pathlib import Path

LOCKS = Path(__file__).resolve().parents[1] / "locks"
EXTRAS = ("run", "web", "train")
_LOCKED = re.compile(r"^([A-Za-z0-9._-]+)==(\S+)", re.MULTILINE)
_LONGEST = 60  # what is longer is a licence's text, not its name


def locked(extra: str) -> dict[str, str]:
    """Package -> version of one lock."""
    return dict(_LOCKED.findall((LOCKS / f"{extra}.txt").read_text()))


def licence(about: PackageMetadata) -> str:
    """A licence by its name."""
    found = about.json
    said = str(found.get("license_expression") or found.get("license") or "")
    if said and len(said) <= _LONGEST and "\n" not in said and said != "UNKNOWN":
        return said
    named = [c.split(" :: ")[-1] for c in found.get("classifier", ()) if "License ::" in c]
    return ", ".join(named) or said.strip().partition("\n")[0][:_LONGEST]


def rows() -> list[tuple[str, str, str, str]]:
    """Package, version, licence and what needs it, by name. A package that is not installed here
    has no licence in the table."""
    found: dict[str, tuple[str, list[str]]] = {}
    for extra in EXTRAS:
        for name, version in locked(extra).items():
            if extra == "run" or "run" not in found.get(name, ("", []))[1]:
                found.setdefault(name, (version, []))[1].append(extra)
    table = []
    for name, (version, extras) in sorted(found.items()):
        try:
            said = licence(metadata(name))
        except PackageNotFoundError:
            said = ""
        table.append((name, version, said, ", ".join(extras)))
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split(":")[0])
    parser.add_argument("--json", action="store_true")
    if parser.parse_args().json:
        print(json.dumps(rows()))
        return
    for row in rows():
        print("\t".join(row))


if __name__ == "__main__":
    main()
