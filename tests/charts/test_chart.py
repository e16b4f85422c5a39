"""The chart in every scenario: restricted pods, probes, limits, and network policies that are the call graph."""

from __future__ import annotations

import runpy
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
import yaml

from imaging.settings import SERVICE_NAMES, load_settings
from tests.charts.rendering import (
    CHART,
    SCENARIOS,
    Manifest,
    example_text,
    pods,
    rendered,
    rendered_text,
    values_file,
)
from tests.charts.tools import program
from tests.traces.test_trace_edges import EDGES

FETCH = "python -m tests.charts.tools fetches it"
needs_helm = pytest.mark.skipif(program("helm4") is None, reason=f"helm is not there; {FETCH}")
every_scenario = pytest.mark.parametrize("scenario", SCENARIOS)
pytestmark = [needs_helm, pytest.mark.peers]

CALLED = {(caller, callee) for caller, callee in EDGES if caller != "imaging-storage"} | {
    # The web page asks them all.
    ("imaging-gateway", f"imaging-{callee}")
    for callee in ("storage", "processing", "analysis", "reporting", "pipeline")
}
CALLED |= {("imaging-pipeline", "imaging-gateway")}  # the stage `send`
"""Edges of traces that are calls (storage only hands the context of a manifest on), and what comes by DICOMweb."""


def _component(manifest: Manifest) -> str:
    return str(manifest["metadata"]["labels"].get("app.kubernetes.io/component", ""))


def _of_kind(manifests: list[Manifest], kind: str) -> dict[str, Manifest]:
    found = [manifest for manifest in manifests if manifest["kind"] == kind]
    return {_component(manifest): manifest for manifest in found if not manifest["metadata"]["name"].endswith("-dimse")}


@pytest.mark.parametrize("helm", ["helm3", "helm4"])
@every_scenario
def test_helm_finds_nothing_to_say(scenario: str, helm: str) -> None:
    if program(helm) is None:
        pytest.skip(f"{helm} is not there; {FETCH}")
    command = [str(program(helm)), "lint", "--strict", str(CHART), "--values", str(values_file(scenario))]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    assert "WARNING" not in done.stdout


@every_scenario
def test_every_pod_is_restricted_as_pod_security_has_it(scenario: str) -> None:
    found = list(pods(rendered(scenario)))
    assert len(found) >= len(SERVICE_NAMES)
    for name, pod in found:
        assert pod["automountServiceAccountToken"] is False, name
        assert pod["enableServiceLinks"] is False, name
        assert not any(pod.get(shared) for shared in ("hostNetwork", "hostPID", "hostIPC")), name
        assert pod["securityContext"]["runAsNonRoot"] is True, name
        assert pod["securityContext"]["runAsUser"] > 0, name
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert not any("hostPath" in volume for volume in pod["volumes"]), name
        for container in [*pod["containers"], *pod.get("initContainers", [])]:
            context = container["securityContext"]
            assert context["allowPrivilegeEscalation"] is False, name
            assert context["readOnlyRootFilesystem"] is True, name
            assert context["capabilities"] == {"drop": ["ALL"]}, name
            assert not context.get("privileged"), name


@every_scenario
def test_every_container_has_requests_and_a_memory_limit(scenario: str) -> None:
    for name, pod in pods(rendered(scenario)):
        for container in pod["containers"]:
            assert container["resources"]["requests"].keys() >= {"cpu", "memory"}, name
            assert "memory" in container["resources"]["limits"], name


@every_scenario
def test_every_service_is_probed_by_grpc_and_drained(scenario: str) -> None:
    deployments = _of_kind(rendered(scenario), "Deployment")
    assert deployments.keys() >= set(SERVICE_NAMES)
    for service in SERVICE_NAMES:
        spec = deployments[service]["spec"]["template"]["spec"]
        (container,) = spec["containers"]
        ports = {port["name"]: port["containerPort"] for port in container["ports"]}
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            assert container[probe]["grpc"]["port"] == ports["health"]
        assert container["livenessProbe"]["grpc"]["service"] == "liveness"
        assert "service" not in container["readinessProbe"]["grpc"], "readiness depends on others, liveness does not"
        _, seconds = container["lifecycle"]["preStop"]["exec"]["command"]
        drain = float({entry["name"]: entry["value"] for entry in container["env"]}["IMAGING_DRAIN_SECONDS"])
        assert spec["terminationGracePeriodSeconds"] > drain + float(seconds)


@every_scenario
def test_network_policies_are_the_call_graph_and_nothing_else(scenario: str) -> None:
    manifests = rendered(scenario)
    policies = [manifest for manifest in manifests if manifest["kind"] == "NetworkPolicy"]
    (deny,) = [policy for policy in policies if policy["metadata"]["name"] == "test-imaging-default-deny"]
    assert deny["spec"].keys() == {"podSelector", "policyTypes"}
    assert deny["spec"]["policyTypes"] == ["Ingress", "Egress"]
    assert "app.kubernetes.io/component" not in deny["spec"]["podSelector"]["matchLabels"]
    own = [policy for policy in policies if policy is not deny]
    services = set(SERVICE_NAMES)
    outgoing, incoming = set(), set()
    for policy in own:
        name = _component(policy)
        outgoing |= {(name, peer) for peer in _peers(policy["spec"].get("egress", []), "to") if peer in services}
        incoming |= {(peer, name) for peer in _peers(policy["spec"].get("ingress", []), "from") if peer in services}
    wanted = {(caller.removeprefix("imaging-"), callee.removeprefix("imaging-")) for caller, callee in CALLED}
    stores = {(user, store) for user, store in incoming if store in ("postgresql", "s3")}
    assert {edge for edge in outgoing if edge[0] in services} == wanted
    assert incoming - stores == wanted
    assert {caller for caller, _ in outgoing} - services <= {"test"}


def _peers(rules: list[Any], direction: str) -> set[str]:
    found = set()
    for rule in rules:
        assert rule.get(direction, [{}]), "no peer at all would mean every peer"
        for peer in rule.get(direction, []):
            labels = peer.get("podSelector", {}).get("matchLabels", {})
            if labels.get("app.kubernetes.io/instance") == "test":
                found.add(str(labels["app.kubernetes.io/component"]))
    return found


@every_scenario
def test_ports_of_services_policies_and_settings_are_the_same(scenario: str) -> None:
    manifests = rendered(scenario)
    services, policies = _of_kind(manifests, "Service"), _of_kind(manifests, "NetworkPolicy")
    text = next(m for m in manifests if m["metadata"]["name"] == "test-imaging-config")["data"]["imaging.toml"]
    for name in SERVICE_NAMES:
        ports = {port["name"]: port["port"] for port in services[name]["spec"]["ports"]}
        assert f'address = "test-imaging-{name}:{ports["grpc"]}"' in text
        opened = {port["port"] for rule in policies[name]["spec"]["ingress"] for port in rule["ports"]}
        wanted = {ports["grpc"], ports["metrics"]}
        assert wanted <= opened <= wanted | ({50057, 50058, 50060} if name == "gateway" else set())
        assert services[name]["spec"]["clusterIP"] == "None", "clients balance over what a headless service tells"


@every_scenario
def test_the_settings_file_is_one_that_the_services_take(scenario: str, tmp_path: Path) -> None:
    for manifest in rendered(scenario):
        if manifest["kind"] == "ConfigMap" and "imaging.toml" in manifest["data"]:
            file = tmp_path / "imaging.toml"
            file.write_text(manifest["data"]["imaging.toml"])
            settings = load_settings(file, env={})
            containers = dict(pods(rendered(scenario)))
            for service in SERVICE_NAMES:
                (container,) = containers[f"Deployment/test-imaging-{service}"]["containers"]
                ports = {port["name"]: port["containerPort"] for port in container["ports"]}
                assert settings.metrics_address(service) == f"0.0.0.0:{ports['metrics']}"
                assert settings.health_address(service) == f"0.0.0.0:{ports['health']}"
                mounted = [mount["mountPath"] for mount in container["volumeMounts"]]
                files = [settings.security.key_file, settings.security.token_file, settings.security.ca_file]
                assert all(file is None or str(file.parent) in mounted for file in files)


@every_scenario
def test_an_example_is_kept_that_a_review_can_read(scenario: str) -> None:
    kept = (CHART / "examples" / f"{scenario}.yaml").read_text()
    assert kept == example_text(scenario), "write it anew: python -m tests.charts.rendering"


@every_scenario
def test_no_image_is_one_that_was_withdrawn(scenario: str) -> None:
    images = {container["image"] for _, pod in pods(rendered(scenario)) for container in pod["containers"]}
    assert not any("minio/minio" in image for image in images)
    assert all(":" in image or "@" in image for image in images)
    assert not any(image.endswith(":latest") for image in images)


def test_a_component_can_have_an_image_of_its_own() -> None:
    images = {name: pod["containers"][0]["image"] for name, pod in pods(rendered("distributed"))}
    assert images["Deployment/test-imaging-pipeline"] == "imaging-pipeline:0.1.1"
    assert images["Deployment/test-imaging-storage"] == f"imaging-pipeline:{metadata.version('imaging-pipeline')}"


@pytest.mark.parametrize(
    "wrong", ["storge.replicas=2", "components.storage.replica=2", "components.gateway2.replicas=1", "tls.mode=off"]
)
def test_a_misspelt_value_is_refused_by_name(wrong: str) -> None:
    with pytest.raises(ValueError, match=r"not allowed|must be one of"):
        rendered_text("embedded", "--set", wrong)


@pytest.mark.parametrize("several", ["components.storage.replicas=2", "components.pipeline.autoscaling.enabled=true"])
def test_several_replicas_on_a_volume_are_refused_with_what_to_set(several: str) -> None:
    with pytest.raises(ValueError, match=r"one replica only: set database\.url"):
        rendered_text("embedded", "--set", several)


def test_the_components_are_the_services_in_their_order() -> None:
    services = [m for m in rendered("embedded") if m["kind"] == "Service"]
    assert tuple(map(_component, services)) == SERVICE_NAMES


def test_the_readme_tells_every_value() -> None:
    readme = (CHART / "README.md").read_text()
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    missing = [path for path in _leaves(values) if f"`{path}`" not in readme]
    assert not missing


def _leaves(values: Any, path: str = "") -> list[str]:
    free = ("settings", "recipes", "components", "podSecurityContext", "containerSecurityContext", "defaults.resources")
    if not isinstance(values, dict) or not values or path in free or path.endswith((".labels", ".resources")):
        return [path]
    return [leaf for key, value in values.items() for leaf in _leaves(value, f"{path}.{key}" if path else key)]


def _checked(*command: str | Path) -> str:
    tool = program(str(command[0]))
    if tool is None:
        pytest.skip(f"{command[0]} is not there; {FETCH}")
    done = subprocess.run([str(tool), *map(str, command[1:])], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@every_scenario
def test_the_manifests_are_valid_kubernetes(scenario: str, tmp_path: Path) -> None:
    file = tmp_path / "all.yaml"
    file.write_text(rendered_text(scenario))
    _checked("kubernetes-validate", "--strict", "--kubernetes-version", "1.37", file)


@pytest.mark.timeout(300)
def test_checkov_finds_nothing_but_what_is_left_out_with_a_reason(tmp_path: Path) -> None:
    for scenario in SCENARIOS:
        (tmp_path / f"{scenario}.yaml").write_text(rendered_text(scenario))
    config = CHART.parent / ".checkov.yaml"
    quiet = ("--quiet", "--compact", "--skip-download")
    _checked("checkov", *quiet, "--config-file", config, "--framework", "kubernetes", "--directory", tmp_path)


def test_hadolint_finds_nothing_in_the_dockerfile() -> None:
    _checked("hadolint", CHART.parents[1] / "Dockerfile")


def test_the_dashboards_are_those_that_their_source_writes() -> None:
    source = runpy.run_path(str(CHART.parent / "dashboards.py"))
    kept = {file.stem: file.read_text() for file in (CHART / "dashboards").glob("*.json")}
    assert kept == {name: source["text"](name) for name in source["DASHBOARDS"]}, "python charts/dashboards.py"


def test_every_alert_is_tested_and_has_its_line_in_the_guide() -> None:
    alerts = [rule["alert"] for group in _rules()["groups"] for rule in group["rules"]]
    tested = (Path(__file__).parent / "alerts.yaml").read_text()
    guide = (CHART.parents[1] / "docs" / "operations.md").read_text()
    assert all(f"{alert} fires" in tested for alert in alerts)
    assert [alert for alert in alerts if f"| `{alert}` |" not in guide] == []


def _rules() -> Any:
    return yaml.safe_load((CHART / "alerts" / "imaging.yaml").read_text())
