"""The Helm chart, by the real Helm: what it makes is what Kubernetes' schemas, our command line and
our configuration take. (No cluster is needed, and none was tried.)"""

from __future__ import annotations

import json
import subprocess
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from click.testing import CliRunner

from stgal_stream.cli import cli
from stgal_stream.configuration import load_config, sections
from stgal_stream.errors import ConfigError
from stgal_stream.settings import DaemonSettings
from tests.support.programs import found_program

ROOT = Path(__file__).resolve().parents[1]
CHART = ROOT / "deploy/helm/stgal-stream"
OPERATORS = {"ServiceMonitor", "PrometheusRule"}  # not Kubernetes' own
OWN = {  # keys that the chart sets itself
    "kafka": {"brokers", "instance", "security"},
    "embed": {"releases"},
    "daemon": {"state_dir", "http_host", "http_port"},
}
EVERYTHING = """
image: {repository: registry.example/stgal, tag: "1"}
imagePullSecrets: [{name: pull}]
kafka: {brokers: "a:9092,b:9092", securitySecret: {name: kafka}, tlsSecret: kafka-tls}
config:
  kafka: {partitions: 8}
  topics: {retention_personal_s: 86400, detections: "<shop & yard>"}
  embed: {providers: [CPUExecutionProvider], self_test_bytes: 8589934592, eight_bit: false}
  associate: {method: calibrated, min_log_odds: -0.25}
extraEnv: [{name: STGAL_HTTP_TOKEN, valueFrom: {secretKeyRef: {name: http, key: token}}}]
embed:
  replicas: 3
  resources: {limits: {nvidia.com/gpu: 1}}
  nodeSelector: {gpu: "yes"}
  tolerations: [{key: gpu, operator: Exists}]
associate: {state: {storageClass: fast}}
web:
  enabled: true
  image: {tag: web}
  tokenSecret: {name: web}
  viewerTokenSecret: {name: web, key: viewer}
retrain: {enabled: true, image: {tag: train}, timeZone: Europe/Berlin}
networkPolicy:
  enabled: true
  metricsFrom: [{namespaceSelector: {matchLabels: {name: monitoring}}}]
serviceMonitor: {enabled: true, labels: {release: prometheus}}
prometheusRule: {enabled: true}
"""
VALUES = {
    "defaults": "{}",
    "everything": EVERYTHING,
    "what is there": "{releases: {existingClaim: mine}, serviceAccount: {create: false}, "
    "prometheusRule: {enabled: true}}",
}
SECRETS = {
    "STGAL_KAFKA_SECURITY": '{"security_protocol": "SASL_SSL"}',
    "STGAL_WEB_TOKEN": "an-operator-of-the-site",
    "STGAL_WEB_VIEWER_TOKEN": "somebody-who-may-look",
    "STGAL_HTTP_TOKEN": "a-token-of-some-length",
}
named = pytest.mark.parametrize("values", VALUES)


HELM = found_program("helm")
pytestmark = pytest.mark.skipif(HELM is None, reason="no helm (Debian has none): `make helm`")


def helm(*arguments: str, values: str = "{}") -> subprocess.CompletedProcess[str]:
    command = [str(HELM), *arguments, str(CHART), "--values", "-"]
    return subprocess.run(command, input=values, capture_output=True, text=True, check=False)


@cache
def rendered(values: str) -> list[dict[str, Any]]:
    done = helm("template", "site", values=VALUES[values])
    assert done.returncode == 0, done.stderr
    return [each for each in yaml.safe_load_all(done.stdout) if each]


def of_kind(values: str, kind: str) -> list[dict[str, Any]]:
    return [each for each in rendered(values) if each["kind"] == kind]


def workloads(values: str) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Each StatefulSet, Deployment and CronJob, with the template of its pods."""
    for each in rendered(values):
        spec = each.get("spec", {})
        template = spec.get("template") or spec.get("jobTemplate", {}).get("spec", {}).get(
            "template"
        )
        if template:
            yield each, template


@named
def test_helm_finds_no_fault(values: str) -> None:
    done = helm("lint", "--strict", values=VALUES[values])
    assert done.returncode == 0, done.stdout + done.stderr
    done = helm("install", "site", "--dry-run=client", values=VALUES[values])
    assert done.returncode == 0, done.stderr
    assert "get pods -l app.kubernetes.io/instance=site" in done.stdout.partition("NOTES:")[2]


@named
def test_every_object_is_one_of_kubernetes(values: str) -> None:
    names = [(each["kind"], each["metadata"]["name"]) for each in rendered(values)]
    assert len(set(names)) == len(names)
    for each in rendered(values):
        if each["kind"] not in OPERATORS:
            kubernetes_validate.validate(each, kubernetes_validate.latest_version(), strict=True)


@named
def test_every_command_and_its_configuration_is_taken(values: str, tmp_path: Path) -> None:
    (config,) = of_kind(values, "ConfigMap")
    (tmp_path / "stgal.toml").write_text(config["data"]["stgal.toml"])
    wanted = yaml.safe_load(VALUES[values]).get("config", {})
    commands = dict(cli.loaded())
    for _, template in workloads(values):
        (container,) = template["spec"]["containers"]
        name, *words = container["args"]
        commands[name].make_context(name, [*words])
        environ = {each["name"]: each.get("value") for each in container["env"]}
        fields = {"STGAL_KAFKA_INSTANCE": "pod-0"}
        environ = {k: v or {**SECRETS, **fields}[k] for k, v in environ.items()}
        done = CliRunner().invoke(cli, ["check-config", str(tmp_path / "stgal.toml")], env=environ)
        assert done.exit_code == 0, done.output + str(done.exception)
        found = load_config(tmp_path / "stgal.toml", environ)
        assert found.daemon.http_host == "0.0.0.0"
        for section, keys in wanted.items():
            for key, value in keys.items():
                is_set = getattr(getattr(found, section), key)
                assert is_set == (tuple(value) if isinstance(value, list) else value)
        mounts = {mount["mountPath"]: mount for mount in container["volumeMounts"]}
        assert "readOnly" not in mounts["/var/lib/stgal"]
        assert mounts[found.embed.releases].get("readOnly", False) == (name != "retrain")
        assert mounts["/etc/stgal/stgal.toml"]["subPath"] == "stgal.toml"
        kept = name == "web" or "--stage=associate" in words
        assert (found.daemon.state_dir in mounts) == kept


@named
def test_pods_may_do_nothing_but_their_work(values: str) -> None:
    for _, template in workloads(values):
        pod = template["spec"]
        assert pod["automountServiceAccountToken"] is False
        assert (pod["securityContext"]["runAsNonRoot"], pod["securityContext"]["runAsUser"]) == (
            True, 10001,
        )  # fmt: skip
        for container in pod["containers"]:
            may = container["securityContext"]
            assert may["readOnlyRootFilesystem"] is True
            assert may["allowPrivilegeEscalation"] is False
            assert may["capabilities"] == {"drop": ["ALL"]}
        # Kubernetes would set variables for the Service stgal-..., and the daemon refuses such.
        assert pod["enableServiceLinks"] is False
    with pytest.raises(ConfigError):
        load_config(None, {"STGAL_STREAM_DAEMON_SERVICE_HOST": "10.0.0.1"})


@named
def test_what_is_named_is_there(values: str) -> None:
    """Claims, volumes, services, ports and accounts."""
    claims = {each["metadata"]["name"] for each in of_kind(values, "PersistentVolumeClaim")}
    services = {each["metadata"]["name"]: each for each in of_kind(values, "Service")}
    accounts = {each["metadata"]["name"] for each in of_kind(values, "ServiceAccount")}
    for each, template in workloads(values):
        pod = template["spec"]
        volumes = {volume["name"]: volume for volume in pod["volumes"]}
        own = {claim["metadata"]["name"] for claim in each["spec"].get("volumeClaimTemplates", [])}
        claimed = {v["persistentVolumeClaim"]["claimName"] for v in volumes.values()
                   if "persistentVolumeClaim" in v}  # fmt: skip
        assert claimed <= claims | {"mine"}
        assert pod["serviceAccountName"] in accounts | {"default"}
        (container,) = pod["containers"]
        mounted = {mount["name"] for mount in container["volumeMounts"]}
        assert mounted == volumes.keys() | own
        ports = {port["name"] for port in container.get("ports", [])}
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            assert (probe in container) == bool(ports)
            assert not ports or container[probe]["httpGet"]["port"] in ports
        assert each["spec"].get("serviceName", next(iter(services))) in services
    for service in services.values():
        wanted, (port,) = service["spec"]["selector"].items(), service["spec"]["ports"]
        chosen = [t for _, t in workloads(values) if wanted <= t["metadata"]["labels"].items()]
        assert len(chosen) == (1 if service["metadata"]["name"].endswith("web") else 2)
        for template in chosen:
            (container,) = template["spec"]["containers"]
            assert port["targetPort"] in {each["name"] for each in container["ports"]}


def test_ports_are_those_that_the_commands_listen_on() -> None:
    for _, template in workloads("everything"):
        (container,) = template["spec"]["containers"]
        for port in container.get("ports", []):
            if port["name"] == "metrics":
                assert port["containerPort"] == DaemonSettings().http_port
            else:
                assert f"--port={port['containerPort']}" in container["args"]


def test_a_retraining_goes_on_with_what_was_cut_off() -> None:
    (job,) = of_kind("everything", "CronJob")
    spec = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    assert "--resume" in spec["containers"][0]["args"]
    assert (job["spec"]["concurrencyPolicy"], spec["restartPolicy"]) == ("Forbid", "Never")


def test_the_alerts_are_those_of_the_repository() -> None:
    content = yaml.safe_load((ROOT / "deploy/prometheus/alerts.yml").read_text())
    (rule,) = of_kind("everything", "PrometheusRule")
    assert rule["spec"] == content
    (rule,) = of_kind("what is there", "PrometheusRule")  # without a retraining
    left_out = {each["alert"] for each in content["groups"][0]["rules"]} - {
        each["alert"] for each in rule["spec"]["groups"][0]["rules"]
    }
    assert left_out == {"StgalRetrainingNever"}
    (monitor,) = of_kind("everything", "ServiceMonitor")
    wanted = monitor["spec"]["selector"]["matchLabels"].items()
    (chosen,) = [
        each for each in of_kind("everything", "Service")
        if wanted <= each["metadata"]["labels"].items()
    ]  # fmt: skip
    # The alerts ask for job="stgal-stream".
    assert chosen["metadata"]["labels"][monitor["spec"]["jobLabel"]] == "stgal-stream"
    (port,) = chosen["spec"]["ports"]
    assert [end["port"] for end in monitor["spec"]["endpoints"]] == [port["name"]]


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ("{web: {enabled: true}}", "/web/tokenSecret/name"),
        ("{embed: {replica: 2}}", "'replica' not allowed"),
        ("{config: {associate: {windows_s: 1}}}", "'windows_s' not allowed"),
        ("{config: {kafka: {security: {sasl_plain_password: x}}}}", "'security' not allowed"),
        ("{kafka: {brokers: ''}}", "/kafka/brokers"),
    ],
)
def test_wrong_values_are_refused_before_anything_is_made(values: str, said: str) -> None:
    done = helm("template", "site", values=values)
    assert done.returncode != 0
    assert said in done.stderr


def test_the_schema_knows_every_setting() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    told = schema["properties"]["config"]["properties"]
    assert {name: set(about["properties"]) for name, about in told.items()} == {
        name: set(keys) - OWN.get(name, set()) for name, keys in sections().items()
    }


def test_the_chart_is_of_this_version() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert chart["version"] == chart["appVersion"] == project["version"]
