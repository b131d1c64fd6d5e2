"""What lies in deploy/ says only what there is: files that can be read, commands and metrics that
exist. (Docker's engine and Kubernetes are not needed, and not tried.)"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.metrics_core import Metric

from stgal_stream.cli import cli
from stgal_stream.monitoring.metrics import Metrics

ROOT = Path(__file__).resolve().parents[1]
DEPLOY = ROOT / "deploy"
KUBERNETES = "retrain-cronjob.yaml"


def content(name: str) -> Any:
    return yaml.safe_load((DEPLOY / name).read_text())


def commands() -> Iterator[tuple[str, list[str]]]:
    """Where a command stands, and its words after ``stgal-stream``."""
    for unit in sorted(DEPLOY.glob("*.service")):
        for line in unit.read_text().splitlines():
            if line.startswith("ExecStart="):
                yield unit.name, shlex.split(line.partition("=")[2])[1:]
    job = content(KUBERNETES)["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    yield KUBERNETES, job["containers"][0]["args"]
    for name, service in content("compose.yaml")["services"].items():
        if "build" in service:
            yield f"compose.yaml, {name}", service["command"]
    for line in (ROOT / "docs/how-to/retraining.md").read_text().splitlines():
        cron = re.match(r"30 2 \* \* \* stgal-stream (.*)", line)
        if cron:
            yield "the cron line of the guide", shlex.split(cron[1])


@pytest.mark.parametrize(("where", "words"), list(commands()), ids=lambda v: str(v) if v else "")
def test_every_command_is_one(where: str, words: list[str]) -> None:
    command = dict(cli.loaded())[words[0]]
    command.make_context(words[0], words[1:])


def test_a_retraining_is_scheduled_in_every_way_the_same() -> None:
    """By a timer, a CronJob, a cron line or compose, and each goes on with what was cut off."""
    scheduled = [words for where, words in commands() if words[0] == "retrain"]
    assert len(scheduled) == 4
    assert all("--resume" in words for words in scheduled)
    assert content(KUBERNETES)["spec"]["concurrencyPolicy"] == "Forbid"


def test_every_alert_asks_for_metrics_that_there_are() -> None:
    known: set[str] = set()
    families: list[Metric] = list(Metrics().registry.collect())
    for family in families:
        suffixes = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count")}
        known |= {family.name + end for end in suffixes.get(family.type, ("",))}
    rules = [r for group in content("prometheus/alerts.yml")["groups"] for r in group["rules"]]
    assert len({rule["alert"] for rule in rules}) == len(rules)
    for rule in rules:
        asked = set(re.findall(r"\bstgal_\w+", rule["expr"]))
        assert asked <= known, (rule["alert"], asked - known)
        assert rule["annotations"]["summary"]
    assert "alerts.yml" in str(content("prometheus/prometheus.yml")["rule_files"])
