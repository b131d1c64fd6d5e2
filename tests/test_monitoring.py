"""Alerts and dashboard, by Prometheus itself: rules where they must speak and where not, and every
question of the dashboard asked of a real server that has seen a daemon."""

from __future__ import annotations

import itertools
import json
import re
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import start_http_server

from stgal_stream.configuration import simulated_config
from stgal_stream.log.embedded import EmbeddedLog
from stgal_stream.monitoring.metrics import DEFINITIONS
from stgal_stream.streaming.operator_word import say
from stgal_stream.types import Verdict
from tests.support.corrections import said
from tests.support.programs import free_port, program
from tests.support.streams import embedded_upstream, publish, run_to_end
from tests.support.waiting import wait_for
from tests.support.walk import simulated_walk

DEPLOY = Path(__file__).resolve().parents[1] / "deploy"
DASHBOARD = json.loads((DEPLOY / "grafana/dashboard.json").read_text())
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
# What a daemon says nothing of that has followed a walk, and met no crop, no fault, no clock that
# is off and no retraining.
SILENT = {
    "stgal_associations_withdrawn",
    "stgal_batch_size",
    "stgal_camera_clock_offset_seconds",
    "stgal_dead_letters",
    "stgal_retraining_gate",
    "stgal_stage_restarts",
}


def questions() -> list[str]:
    return [target["expr"] for panel in PANELS for target in panel["targets"]]


def test_every_alert_speaks_where_it_must_and_is_silent_beside() -> None:
    promtool = program("promtool", "prometheus")
    rules = DEPLOY / "prometheus"
    for what in (["check", "rules", "alerts.yml"], ["test", "rules", "alerts.test.yml"]):
        done = subprocess.run(
            [promtool, *what], cwd=rules, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
    groups = yaml.safe_load((rules / "alerts.yml").read_text())["groups"]
    names = {rule["alert"] for group in groups for rule in group["rules"]}
    heard: dict[bool, set[str]] = {True: set(), False: set()}
    for case in yaml.safe_load((rules / "alerts.test.yml").read_text())["tests"]:
        for asked in case["alert_rule_test"]:
            heard[bool(asked["exp_alerts"])].add(asked["alertname"])
    assert heard == {True: names, False: names}


def test_the_dashboard_is_one_that_grafana_takes() -> None:
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(set(ids)) == len(ids)
    for one, other in itertools.combinations(DASHBOARD["panels"], 2):
        a, b = one["gridPos"], other["gridPos"]
        beside = a["x"] + a["w"] <= b["x"] or b["x"] + b["w"] <= a["x"]
        above = a["y"] + a["h"] <= b["y"] or b["y"] + b["h"] <= a["y"]
        assert beside or above, (one["title"], other["title"])
        assert a["x"] + a["w"] <= 24
    for panel in PANELS:
        assert panel["description"], panel["title"]
        refs = [target["refId"] for target in panel["targets"]]
        assert len(set(refs)) == len(refs) > 0
    assert DASHBOARD["uid"] == "stgal-stream"
    (kept,) = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]["grafana"]["ports"]
    assert kept.startswith("127.0.0.1:")  # without a login it is for this machine alone


def test_every_metric_is_on_the_dashboard_or_in_an_alert() -> None:
    shown = " ".join(questions()) + (DEPLOY / "prometheus/alerts.yml").read_text()
    left_out = {"stgal_reembedded", "stgal_extractor_switches", "stgal_retraining_duration_seconds"}
    left_out |= {"stgal_snapshot_timestamp_seconds"}
    assert {d.name for d in DEFINITIONS if d.name not in shown} == left_out


class Prometheus:
    """A server that asks one daemon every second."""

    def __init__(self, folder: Path, target: int) -> None:
        self.port = free_port()
        scrape = {
            "job_name": "stgal-stream",
            "static_configs": [{"targets": [f"127.0.0.1:{target}"]}],
        }
        content = {"global": {"scrape_interval": "1s"}, "scrape_configs": [scrape]}
        (folder / "prometheus.yml").write_text(yaml.safe_dump(content))
        command = [
            program("prometheus", "prometheus"),
            f"--config.file={folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{self.port}",
        ]
        self._log = (folder / "prometheus.log").open("wb")
        self._process = subprocess.Popen(command, stdout=self._log, stderr=self._log)

    def ask(self, question: str) -> list[dict[str, Any]]:
        query = urllib.parse.urlencode({"query": question})
        url = f"http://127.0.0.1:{self.port}/api/v1/query?{query}"
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:
                found = json.load(answer)
        except urllib.error.HTTPError as error:
            if error.code == 503:
                return []  # not ready yet
            pytest.fail(f"{question}: {error.read().decode()}")
        except OSError:
            return []  # not up yet
        assert found["status"] == "success", found
        result: list[dict[str, Any]] = found["data"]["result"]
        return result

    def close(self) -> None:
        self._process.terminate()
        self._process.wait()
        self._log.close()


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """It has asked a daemon that has followed people, and heard an operator."""
    folder = tmp_path_factory.mktemp("prometheus")
    config = simulated_config(folder / "state")
    log = EmbeddedLog(folder / "log")
    publish(log, config, [embedded_upstream(d) for d in simulated_walk(1, n_people=60)])
    say(log, config.topics, "upstream", said("word", Verdict.SAME, ["a"], ["b"]))
    daemon = run_to_end(log, config)
    port = free_port()
    server, thread = start_http_server(port, addr="127.0.0.1", registry=daemon.metrics.registry)
    made = Prometheus(folder, port)
    try:
        wait_for(lambda: bool(made.ask("count_over_time(stgal_detections_total[1m]) > 2")))
        yield made
    finally:
        made.close()
        server.shutdown()
        thread.join()
        server.server_close()
        log.close()


def test_prometheus_answers_every_question_of_the_dashboard(prometheus: Prometheus) -> None:
    for question in questions():
        asked = question.replace("$__rate_interval", "1m").replace("$site", ".*")
        found = prometheus.ask(asked)
        names = set(re.findall(r"stgal_[a-z_]+?(?=_total|_bucket|_sum|_count|\b)", question))
        is_silent = names & SILENT or "timestamp" in question
        if not is_silent or "vector(0)" in question:
            assert found, f"{question}: no answer"
    (people,) = prometheus.ask("sum(stgal_identities_active)")
    assert float(people["value"][1]) > 20
