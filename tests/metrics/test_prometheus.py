"""A real Prometheus scrapes every service, every query of every dashboard has an answer, and an alert fires."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from imaging.settings import SERVICE_NAMES
from tests.metrics.watched import Watched

ROOT = Path(__file__).parents[2]
DASHBOARDS = sorted((ROOT / "charts" / "imaging" / "dashboards").glob("*.json"))
RULES = ROOT / "charts" / "imaging" / "alerts" / "imaging.yaml"
READY_SECONDS = 60

pytestmark = [
    pytest.mark.integration,
    pytest.mark.peers,
    pytest.mark.timeout(180),
    pytest.mark.skipif(shutil.which("prometheus") is None, reason="Prometheus is not installed (Debian: prometheus)"),
]


class Prometheus:
    """A running one."""

    def __init__(self, address: str) -> None:
        self._address = address

    def query(self, query: str) -> list[dict[str, Any]]:
        """The samples of an instant query."""
        url = f"http://{self._address}/api/v1/query?{urllib.parse.urlencode({'query': query})}"
        with urllib.request.urlopen(url, timeout=10) as answer:
            result: list[dict[str, Any]] = json.load(answer)["data"]["result"]
            return result

    def wait_for(self, query: str, count: int = 1) -> list[dict[str, Any]]:
        """Its samples, once there are so many."""
        until = time.monotonic() + READY_SECONDS
        found: list[dict[str, Any]] = []
        while time.monotonic() < until:
            try:
                found = self.query(query)
            except OSError:
                found = []
            if len(found) >= count:
                return found
            time.sleep(0.3)
        raise AssertionError(f"{query} gives {found}")


@pytest.fixture(scope="module")
def prometheus(watched: Watched, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """Prometheus with the rules of the chart, which here wait for nothing before they fire."""
    folder = tmp_path_factory.mktemp("prometheus")
    rules = yaml.safe_load(RULES.read_text())
    for group in rules["groups"]:
        for rule in group["rules"]:
            rule["for"] = "0s"
    (folder / "rules.yaml").write_text(yaml.safe_dump(rules))
    targets = [{"targets": [watched.metrics[name]], "labels": {"component": name}} for name in SERVICE_NAMES]
    config = {
        "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
        "rule_files": ["rules.yaml"],
        "scrape_configs": [{"job_name": "imaging", "static_configs": targets}],
    }
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    with socket.create_server(("127.0.0.1", 0)) as probe:
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    command = ["prometheus", f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([*command, f"--web.listen-address={address}"], stdout=log, stderr=log)
    try:
        yield Prometheus(address)
    finally:
        process.terminate()
        process.wait(20)


def test_every_service_is_scraped(prometheus: Prometheus) -> None:
    up = prometheus.wait_for('up{job="imaging"} == 1', len(SERVICE_NAMES))
    assert {sample["metric"]["component"] for sample in up} == set(SERVICE_NAMES)


@pytest.mark.parametrize("file", DASHBOARDS, ids=lambda file: file.stem)
def test_every_query_of_a_dashboard_has_an_answer(prometheus: Prometheus, file: Path) -> None:
    prometheus.wait_for("count_over_time(imaging_pipeline_runs[20s]) > 5")
    empty = []
    for panel in json.loads(file.read_text())["panels"]:
        for target in panel["targets"]:
            query = target["expr"].replace("$__rate_interval", "10s").replace("$component", ".*")
            if not prometheus.query(query.replace("[1h:1m]", "[10s:1s]")):
                empty.append(f"{panel['title']}: {query}")
    assert not empty


def test_the_rules_load_and_none_fires_without_a_cause(prometheus: Prometheus) -> None:
    prometheus.wait_for("count_over_time(imaging_pipeline_runs[20s]) > 5")
    firing = {sample["metric"]["alertname"] for sample in prometheus.query('ALERTS{alertstate="firing"}')}
    assert firing <= {"ImagingUploadsRefused", "ImagingDiskFilling", "ImagingRunsFail"}, (
        "one upload in seven was refused"
    )


def test_an_alert_fires_when_a_service_hangs(prometheus: Prometheus, watched: Watched) -> None:
    prometheus.wait_for('up{component="analysis"} == 1')
    pid = watched.installation.service_pid("analysis")
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    try:
        (alert,) = prometheus.wait_for('ALERTS{alertname="ImagingServiceDown",alertstate="firing"}')
        assert alert["metric"]["component"] == "analysis"
        assert alert["metric"]["severity"] == "critical"
    finally:
        os.kill(pid, signal.SIGCONT)
    prometheus.wait_for('up{component="analysis"} == 1')


@pytest.mark.parametrize(
    "arguments",
    [
        ["check", "rules", RULES],
        ["test", "rules", "tests/charts/alerts.yaml"],
        ["check", "config", "--syntax-only", "compose/prometheus.yaml"],
    ],
)
def test_promtool_finds_nothing_wrong(arguments: list[str]) -> None:
    done = subprocess.run(["promtool", *map(str, arguments)], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
