"""Pages of the documentation that are made from the code (hooks of MkDocs).

The command line from click's commands, the configuration from ``settings``, the messages from the
JSON Schemas, the metrics from their table, the reason codes from ``types``. Three files of the
repository's root are pages too.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import fields
from importlib.resources import files as resources
from pathlib import Path
from typing import Any, get_type_hints

import click
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from prometheus_client import Counter

from stgal_stream.cli import cli
from stgal_stream.monitoring.metrics import DEFINITIONS
from stgal_stream.settings import Config, allowed
from stgal_stream.types import REASONS

ROOT = Path(__file__).resolve().parents[1]
ROOT_PAGES = {
    "architecture.md": "ARCHITECTURE.md",
    "contributing.md": "CONTRIBUTING.md",
    "changelog.md": "CHANGELOG.md",
}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the pages that are made."""
    made = {
        "reference/cli.md": command_line(),
        "reference/configuration.md": configuration(),
        "reference/messages.md": messages(),
        "reference/metrics.md": metrics(),
        "reference/reasons.md": reasons(),
        "reference/dependencies.md": dependencies(),
    }
    for page, name in ROOT_PAGES.items():
        made[page] = (
            (ROOT / name)
            .read_text()
            .replace("](docs/", "](")
            .replace("](ARCHITECTURE.md)", "](architecture.md)")
        )
    for name, content in made.items():
        files.append(File.generated(config, name, content=content))
    return files


def table(head: tuple[str, ...], rows: Iterator[tuple[str, ...]]) -> str:
    """A Markdown table."""
    lines = [" | ".join(head), " | ".join("---" for _ in head)]
    lines += [" | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in r) for r in rows]
    return "\n".join(f"| {line} |" for line in lines) + "\n"


# --- command line --------------------------------------------------------------------------------


def command_line() -> str:
    """Every command with its options and examples."""
    parts = ["# Command line\n", "Made from the commands themselves.\n"]
    for name, command in sorted(cli.loaded()):
        parts += _command(f"stgal-stream {name}", command, 2)
    return "\n".join(parts)


def _command(name: str, command: click.Command, level: int) -> Iterator[str]:
    yield f"{'#' * level} `{name}`\n"
    yield (command.help or "").replace("\b\n", "") + "\n"
    context = click.Context(command, info_name=name)
    options = [p for p in command.params if isinstance(p, click.Option) and not p.hidden]
    if options:
        yield table(("option", "meaning"), (_option(option, context) for option in options))
    if command.epilog:
        examples = command.epilog.replace("\b\n", "").replace("Examples:\n", "")
        lines = "\n".join(line.strip() for line in examples.strip().splitlines())
        yield f"```text\n{lines}\n```\n"
    if isinstance(command, click.Group):
        for sub, below in sorted(command.commands.items()):
            yield from _command(f"{name} {sub}", below, level + 1)


def _option(option: click.Option, context: click.Context) -> tuple[str, str]:
    record = option.get_help_record(context)
    assert record is not None
    return f"`{record[0]}`", record[1]


# --- configuration -------------------------------------------------------------------------------


def configuration() -> str:
    """Every key with its default, its range and its meaning."""
    parts = [
        "# Configuration\n",
        "One TOML file (`--config FILE`). Every key is also an environment variable: "
        "`[embed] batch_size` is `STGAL_EMBED_BATCH_SIZE`; lists are separated by commas. "
        "`stgal-stream check-config FILE` shows what would be in force.\n",
    ]
    for name, section in get_type_hints(Config).items():
        parts += [f"## [{name}]\n", f"{(section.__doc__ or '').strip()}\n"]
        parts.append(
            table(
                ("key", "default", "values", "meaning"),
                ((f"`{k.name}`", _default(k), _values(k), k.metadata["meaning"])
                 for k in fields(section)),
            )
        )  # fmt: skip
    return "\n".join(parts)


def _default(key: Any) -> str:
    made = {} if callable(key.default_factory) else key.default
    return f"`{json.dumps(list(made) if isinstance(made, tuple) else made)}`"


def _values(key: Any) -> str:
    return allowed(key.metadata) or str(key.type).replace(" | None", ", or nothing")


# --- messages, metrics, reasons ------------------------------------------------------------------


def messages() -> str:
    """Every field of every message."""
    parts = ["# Messages\n", "Made from the JSON Schemas in `stgal_stream/wire/schemas/`.\n"]
    for path in sorted(resources("stgal_stream").joinpath("wire", "schemas").iterdir(), key=str):
        schema = json.loads(path.read_text())
        parts += [f"## `{schema['$id']}`\n", f"{schema['title']}.\n"]
        rows = _properties(schema, schema, "")
        parts.append(table(("field", "required", "values", "meaning"), rows))
    return "\n".join(parts)


def _properties(
    schema: dict[str, Any], root: dict[str, Any], prefix: str
) -> Iterator[tuple[str, ...]]:
    for name, raw in schema.get("properties", {}).items():
        entry = _resolved(raw, root)
        required = "yes" if name in schema.get("required", ()) else ""
        yield f"`{prefix}{name}`", required, _kind(entry), entry.get("description", "")
        yield from _properties(entry, root, f"{prefix}{name}.")


def _resolved(entry: dict[str, Any], root: dict[str, Any]) -> dict[str, Any]:
    if "$ref" not in entry:
        return entry
    found: Any = root
    for step in entry["$ref"].removeprefix("#/").split("/"):
        found = found[step]
    return {**found, **{k: v for k, v in entry.items() if k != "$ref"}}


def _kind(entry: dict[str, Any]) -> str:
    if "const" in entry:
        return f"`{entry['const']}`"
    if "enum" in entry:
        return ", ".join(f"`{value}`" for value in entry["enum"])
    if "oneOf" in entry:
        return " or ".join(_kind(each) for each in entry["oneOf"] if isinstance(each, dict))
    kind = entry.get("type", "object")
    words = " or ".join(kind) if isinstance(kind, list) else str(kind)
    return words + (f" ({entry['contentEncoding']})" if "contentEncoding" in entry else "")


def metrics() -> str:
    """Every metric."""
    rows = (
        (
            f"`{d.name}{'_total' if d.kind is Counter else ''}`",
            d.kind.__name__.lower(),
            ", ".join(f"`{label}`" for label in d.labels),
            d.meaning,
        )
        for d in DEFINITIONS
    )
    head = (
        "# Metrics\n\nServed at `http://127.0.0.1:9464/metrics`. Alerts: `deploy/prometheus/`.\n\n"
    )
    return head + table(("name", "kind", "labels", "meaning"), rows)


def reasons() -> str:
    """Every reason for a dead letter."""
    rows = ((f"`{reason}`", *about) for reason, about in REASONS.items())
    head = (
        "# Reason codes\n\nA record that cannot be used becomes a dead letter with one of these "
        "reasons, and `stgal_dead_letters_total` counts it. Nothing is dropped silently.\n\n"
    )
    return head + table(("reason", "what happened", "what to do"), rows)


# --- dependencies --------------------------------------------------------------------------------


def dependencies() -> str:
    """Every package that an installation brings, with its licence."""
    command = [sys.executable, str(ROOT / "tools" / "licences.py"), "--json"]
    rows = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    parts = [
        "# Dependencies\n",
        "Made from the locks and from what the packages say of themselves. None is under the GPL "
        "or the AGPL; those under the LGPL are used unmodified. NVIDIA's come with torch.\n",
        table(("package", "version", "licence", "needed by"), iter(map(tuple, rows))),
    ]
    return "\n".join(parts)
