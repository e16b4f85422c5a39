"""compose.yaml: what it starts, with which settings, and that no secret is in it."""

from __future__ import annotations

import logging
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from opentelemetry import trace

from imaging.front.routes import routes
from imaging.rpc.loopback import is_loopback
from imaging.settings import SERVICE_NAMES, load_settings
from imaging.settings.database import database_access
from imaging.settings.s3 import s3_access
from imaging.telemetry.json_log import JsonFormatter

ROOT = Path(__file__).parents[2]
SECRETS = ("IMAGING_TOKEN", "POSTGRES_PASSWORD", "S3_ACCESS_KEY", "S3_SECRET_KEY", "GRAFANA_PASSWORD")


@pytest.fixture(scope="module")
def text() -> str:
    return (ROOT / "compose.yaml").read_text()


@pytest.fixture(scope="module")
def services(text: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(text)["services"]
    return found


def test_it_has_every_service_and_starts_each_by_its_name(services: dict[str, Any]) -> None:
    for name in SERVICE_NAMES:
        command = services[name]["command"]
        assert command[:2] == ["serve", name]
        port = services[name]["environment"][f"IMAGING_{name.upper()}_ADDRESS"].rpartition(":")[2]
        assert f"0.0.0.0:{port}" in command
        assert services[name]["healthcheck"]["test"][-1] == f"127.0.0.1:{port}"


def test_every_image_is_pinned_and_none_was_withdrawn(services: dict[str, Any]) -> None:
    for name, service in services.items():
        image = service["image"]
        if image.startswith("${IMAGING_IMAGE:-"):
            image = image.removeprefix("${IMAGING_IMAGE:-").removesuffix("}")
        registry_and_name, _, tag = image.rpartition(":")
        assert "/" in registry_and_name, name
        assert re.search(r"\d+\.\d+|\d+-", tag), f"{name}: {image}"
        assert "minio/minio" not in image


def test_stores_are_the_images_of_the_chart(services: dict[str, Any]) -> None:
    trial = yaml.safe_load((ROOT / "charts" / "imaging" / "values.yaml").read_text())["trial"]
    assert services["postgresql"]["image"] == trial["postgresql"]["image"]
    assert services["s3"]["image"] == trial["s3"]["image"]


def test_settings_are_known_and_safe_as_they_are_meant(services: dict[str, Any], tmp_path: Path) -> None:
    environment = {
        name: re.sub(r"\$\{\w+:-(.*)\}", r"\1", value).replace("/run/imaging", str(tmp_path))
        for name, value in services["storage"]["environment"].items()
    }
    for secret in ("token", "database-password", "s3-access-key", "s3-secret-key"):
        (tmp_path / secret).write_text("x" * 40)
        (tmp_path / secret).chmod(0o600)
    assert all(services[name]["environment"] == services["storage"]["environment"] for name in (*SERVICE_NAMES, "demo"))
    imaging_only = {name: value for name, value in environment.items() if name.startswith("IMAGING_")}
    for name in SERVICE_NAMES:
        settings = load_settings(env=imaging_only, overrides={f"{name}.address": "0.0.0.0:1"})
        settings.listen(name)
        settings.channel()
    access = s3_access(settings)
    assert access is not None
    assert database_access(settings, "storage").password() == "x" * 40


def test_no_secret_is_in_it_and_none_has_a_default(text: str, services: dict[str, Any]) -> None:
    for service in services.values():
        for name, value in (service.get("environment") or {}).items():
            if re.search("TOKEN|PASSWORD|KEY", name) and not name.endswith("_FILE"):
                assert re.fullmatch(r"\$\{(\w+):\?.*\}", value), name
    assert set(re.findall(r"\$\{(\w+):\?", text)) == set(SECRETS)
    ignored = (ROOT / ".gitignore").read_text().splitlines()
    assert "/.env" in ignored


def test_make_writes_secrets_once_and_for_the_owner_alone(tmp_path: Path) -> None:
    script = ROOT / "compose" / "env.sh"
    for _ in range(2):
        subprocess.run(["sh", str(script)], cwd=tmp_path, check=True, timeout=30)
    lines = (tmp_path / ".env").read_text().splitlines()
    assert [line.partition("=")[0] for line in lines] == list(SECRETS)
    values = [line.partition("=")[2] for line in lines]
    assert all(re.fullmatch("[0-9a-f]{64}", value) for value in values)
    assert len(set(values)) == len(values)
    assert (tmp_path / ".env").stat().st_mode & 0o777 == 0o600


def test_the_one_port_leads_to_the_services_by_their_names(services: dict[str, Any]) -> None:
    configuration, front = services["front-configuration"], services["front"]
    environment = {
        name: re.sub(r"\$\{\w+:-(.*)\}", r"\1", value) for name, value in configuration["environment"].items()
    }
    settings = load_settings(env={name: value for name, value in environment.items() if name.startswith("IMAGING_")})
    settings.check_front()
    told = routes(settings)["http"]["services"]
    urls = {name: service["loadBalancer"]["servers"][0]["url"] for name, service in told.items()}
    ports = {name: settings.address(name).rpartition(":")[2] for name in SERVICE_NAMES}
    assert urls == {name: f"h2c://{name}:{port}" for name, port in ports.items()} | {"web": "http://gateway:50057"}
    assert front["ports"][0].endswith(settings.front.address.rpartition(":")[2])
    assert front["volumes"][0].partition(":")[0] == configuration["volumes"][0].partition(":")[0]


def test_podman_compose_reads_it(tmp_path: Path) -> None:
    program = shutil.which("podman-compose")
    if program is None or shutil.which("podman") is None:
        pytest.skip("podman-compose (pip) and podman are not installed")
    (tmp_path / ".env").write_text("".join(f"{name}=x\n" for name in SECRETS))
    command = [program, "--env-file", str(tmp_path / ".env"), "-f", str(ROOT / "compose.yaml")]
    command += ["--profile", "demo", "--profile", "telemetry", "config"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    assert set(yaml.safe_load(done.stdout)["services"]) >= set(SERVICE_NAMES)


def test_nothing_listens_for_other_machines_and_services_have_few_rights(services: dict[str, Any]) -> None:
    for name, service in services.items():
        for port in service.get("ports", []):
            host, _, _ = port.partition(":")
            assert is_loopback(f"{host}:1"), f"{name}: {port}"
        if name in (*SERVICE_NAMES, "demo", "secrets", "front", "front-configuration"):
            assert service["read_only"], name
            assert service["cap_drop"] == ["ALL"], name
            assert service["security_opt"] == ["no-new-privileges"], name


def test_what_is_named_is_there(text: str, services: dict[str, Any]) -> None:
    volumes = set(yaml.safe_load(text)["volumes"])
    for name, service in services.items():
        assert set(service.get("depends_on", {})) <= set(services), name
        for volume in service.get("volumes", []):
            source = volume.partition(":")[0]
            assert source in volumes or (ROOT / source).exists(), f"{name}: {source}"
    assert {tuple(service.get("profiles", ())) for service in services.values()} == {(), ("demo",), ("telemetry",)}


def test_logs_and_traces_lead_from_the_services_to_grafana_and_to_each_other(services: dict[str, Any]) -> None:
    def host(address: str) -> str:
        return re.sub(r"^\w+://", "", address).partition(":")[0]

    collector = yaml.safe_load((ROOT / "compose" / "collector.yaml").read_text())
    told = collector["service"]["pipelines"]
    assert told.keys() == {"traces", "logs"}
    goals = {}
    for signal, pipeline in told.items():
        assert pipeline["receivers"] == list(collector["receivers"])
        (exporter,) = pipeline["exporters"]
        goals[signal] = host(collector["exporters"][exporter]["endpoint"])
    assert services["storage"]["environment"]["OTEL_LOGS_EXPORTER"] == "otlp"
    port = collector["receivers"]["otlp"]["protocols"]["grpc"]["endpoint"].rpartition(":")[2]
    assert f"OTEL_EXPORTER_OTLP_ENDPOINT=http://collector:{port}" in (ROOT / "compose.yaml").read_text()

    found = yaml.safe_load((ROOT / "compose" / "grafana" / "sources.yaml").read_text())["datasources"]
    sources = {source["uid"]: source for source in found}
    assert {host(source["url"]) for source in found} == {"prometheus", goals["logs"], goals["traces"]}
    for name in ("collector", *map(host, (source["url"] for source in found))):
        assert services[name]["profiles"] == ["telemetry"], name
        assert services[name]["networks"] == ["inside"], name
    loki = yaml.safe_load((ROOT / "compose" / "loki.yaml").read_text())
    assert sources["loki"]["url"].endswith(f":{loki['server']['http_listen_port']}")
    (link,) = sources["loki"]["jsonData"]["derivedFields"]
    assert sources[link["datasourceUid"]]["type"] == goals["traces"]
    assert sources[sources["jaeger"]["jsonData"]["tracesToLogsV2"]["datasourceUid"]]["type"] == goals["logs"]
    line = JsonFormatter("storage").format(logging.LogRecord("x", 20, "", 0, "stored", (), None))
    assert not re.search(link["matcherRegex"], line)
    with trace.use_span(trace.NonRecordingSpan(trace.SpanContext(0xABC, 1, is_remote=False))):
        line = JsonFormatter("storage").format(logging.LogRecord("x", 20, "", 0, "stored", (), None))
    seen = re.search(link["matcherRegex"], line)
    assert seen is not None
    assert int(seen[1], 16) == 0xABC


def test_prometheus_scrapes_every_service_where_it_serves_metrics(services: dict[str, Any]) -> None:
    (job,) = yaml.safe_load((ROOT / "compose" / "prometheus.yaml").read_text())["scrape_configs"]
    scraped = {found["names"][0]: found["port"] for found in job["dns_sd_configs"]}
    first = services["storage"]["environment"]["IMAGING_TELEMETRY_METRICS_ADDRESS"]
    settings = load_settings(env={"IMAGING_TELEMETRY_METRICS_ADDRESS": first})
    assert scraped == {name: int(settings.metrics_address(name).rpartition(":")[2]) for name in SERVICE_NAMES}
