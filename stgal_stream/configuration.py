"""The configuration: one TOML file, every key also as ``STGAL_<SECTION>_<KEY>``.

A key that does not exist is an error that names the nearest one; a value that cannot be is an error
that says what can. A key's earlier name still works, with a warning.
"""

from __future__ import annotations

import difflib
import logging
import math
import os
import tomllib
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, get_type_hints

import msgspec

from stgal_stream.errors import ConfigError
from stgal_stream.settings import SECRETS, Config

logger = logging.getLogger(__name__)

RENAMED = {
    ("associate", "setting"): ("associate", "method"),
    ("associate", "visit_gap_s"): ("associate", "box_track_gap_s"),
    ("associate", "least_log_odds"): ("associate", "min_log_odds"),
    ("embed", "max_record_bytes"): ("input", "max_record_bytes"),
    ("embed", "max_future_s"): ("input", "max_future_s"),
    ("embed", "timestamp_zone"): ("input", "timestamp_zone"),
    ("embed", "person_types"): ("input", "person_types"),
    ("embed", "upstream_model"): ("input", "upstream_model"),
}


def load_config(path: Path | None, environ: Mapping[str, str] | None = None) -> Config:
    """Defaults, over them the file, over it the environment.

    Raises:
        ConfigError: the file cannot be read, or a key or value is wrong.
    """
    content: dict[str, Any] = {}
    if path is not None:
        try:
            content = tomllib.loads(path.read_text())
        except OSError as error:
            raise ConfigError(f"{path} cannot be read: {error.strerror}") from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ConfigError(f"{path} is not TOML: {error}") from error
    where = str(path) if path else "the configuration"
    _rename(content, where)
    _check_names(content, where)
    for name, value in sorted((os.environ if environ is None else environ).items()):
        if name.startswith("STGAL_") and name not in SECRETS:
            section, key = _environment_key(name)
            content.setdefault(section, {})[key] = _environment_value(section, key, value, name)
    try:
        return msgspec.convert(content, Config)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{where}: {error}") from error


def simulated_config(state_dir: Path, model: Path | None = None) -> Config:
    """Defaults for a stream whose detections were not appended when they happened, so that nothing
    in it is "future"; neither a file nor the environment counts."""
    config = Config()
    config.daemon.state_dir = str(state_dir)
    config.input.max_future_s = math.inf
    if model is not None:
        config.embed.model = str(model)
    return config


def sections() -> dict[str, dict[str, Any]]:
    """The type of every key, by section."""
    return {
        name: {key.name: get_type_hints(section)[key.name] for key in fields(section)}
        for name, section in get_type_hints(Config).items()
    }


def _rename(content: dict[str, Any], where: str) -> None:
    for (section, old), (new_section, new) in RENAMED.items():
        values = content.get(section)
        if isinstance(values, dict) and old in values:
            targets = content.setdefault(new_section, {})
            name = f"{new_section}.{new}"
            if new in targets:
                raise ConfigError(
                    f"{where}: {section}.{old} is the earlier name of {name}: set one"
                )
            logger.warning("%s: %s.%s is called %s now", where, section, old, name)
            targets[new] = values.pop(old)


def _check_names(content: dict[str, Any], where: str) -> None:
    known = sections()
    for section, values in content.items():
        if section not in known:
            raise _unknown(f"section [{section}]", section, list(known), where)
        if not isinstance(values, dict):
            raise ConfigError(f"{where}: {section} is a section, not a value")
        for key in values:
            if key not in known[section]:
                raise _unknown(f"key {section}.{key}", key, list(known[section]), where)


def _unknown(what: str, name: str, known: list[str], where: str) -> ConfigError:
    by_lower = {candidate.lower(): candidate for candidate in known}
    near = difflib.get_close_matches(name.lower(), by_lower, n=1, cutoff=0.0)
    return ConfigError(f"{where}: unknown {what}", hint=f"did you mean {by_lower[near[0]]!r}?")


def _environment_key(name: str) -> tuple[str, str]:
    rest = name.removeprefix("STGAL_").lower()
    for section, keys in sections().items():
        key = rest.removeprefix(section + "_")
        if rest != key and (section, key) in RENAMED:
            now = RENAMED[section, key]
            logger.warning("%s is called STGAL_%s now", name, "_".join(now).upper())
            return now
        if rest != key and key in keys:
            return section, key
    known = [f"STGAL_{s}_{k}".upper() for s, keys in sections().items() for k in keys]
    raise _unknown(f"environment variable {name}", name, known, "the environment")


def _environment_value(section: str, key: str, value: str, name: str) -> Any:
    kind = sections()[section][key]
    try:
        if "tuple" in str(kind):
            return [part.strip() for part in value.split(",") if part.strip()]
        if "dict" in str(kind):
            return msgspec.json.decode(value)
        return msgspec.convert(value, kind, strict=False)
    except msgspec.MsgspecError as error:
        if "dict" in str(kind):  # it may hold a password
            raise ConfigError(f"{name} is not JSON", hint="its value is not shown here") from None
        raise ConfigError(f"{name}={value!r}: {error}") from error
