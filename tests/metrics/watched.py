"""A whole installation with metrics on, that has done some of everything: what a scraper then sees."""

from __future__ import annotations

import socket
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc

import imaging
from imaging.errors import ImagingError
from imaging.gateway.v1 import gateway_service_pb2, gateway_service_pb2_grpc
from imaging.settings import SERVICE_NAMES
from tests.ct_series import ct_series
from tests.dicom.wheel_files import wheel_file
from tests.installation.running import Installation, running_installation
from tests.kill.scenario import recipes_folder

PATIENT = "Scraped^Patient"
_COMPRESSED = "JPEG2000.dcm"


@dataclass(frozen=True, slots=True)
class Watched:
    """The installation, and where each service tells its metrics."""

    installation: Installation
    metrics: dict[str, str]
    """`host:port` by service."""

    def scrape(self, service: str) -> str:
        """The metrics of a service as text."""
        with urllib.request.urlopen(f"http://{self.metrics[service]}/metrics", timeout=10) as answer:
            text: str = answer.read().decode()
            return text


@contextmanager
def watched_installation(folder: Path) -> Iterator[Watched]:
    """Services that stored, refused, gave out, and finished a run."""
    first = _free_ports(len(SERVICE_NAMES))
    env = {
        "IMAGING_TELEMETRY_METRICS_ADDRESS": f"127.0.0.1:{first}",
        "IMAGING_STORAGE_SWEEP_INTERVAL_SECONDS": "1",
        "IMAGING_STORAGE_ORPHAN_SWEEP_HOURS": "0.0001",
        "IMAGING_PIPELINE_RECIPES_DIR": str(recipes_folder(folder)),
    }
    with running_installation(folder / "data", env) as installation:
        addresses = {name: f"127.0.0.1:{first + index}" for index, name in enumerate(SERVICE_NAMES)}
        _work(installation, folder / "sent")
        yield Watched(installation, addresses)


def _work(installation: Installation, folder: Path) -> None:
    folder.mkdir()
    sent = ct_series("scraped", slices=5, attributes={"PatientName": PATIENT})
    for number, content in enumerate(sent.instances.values()):
        (folder / f"{number}.dcm").write_bytes(content)
    (folder / "compressed.dcm").write_bytes(wheel_file(_COMPRESSED))
    (folder / "truncated.dcm").write_bytes(next(iter(sent.instances.values()))[:-1000])
    with grpc.insecure_channel(installation.endpoints["gateway"]) as channel:
        gateway_service_pb2_grpc.GatewayServiceStub(channel).ListDestinations(
            gateway_service_pb2.ListDestinationsRequest()
        )
    with imaging.connect(installation.endpoints) as client:
        summary = client.store(folder, complete=True)
        assert len(summary.rejected) == 1
        for study in summary.studies:
            for series in client.series(study):
                assert list(series.frames())
        for run in client.runs.watch(sent.study):
            last = run
        assert last.state == "SUCCEEDED", last
        try:
            client.study("studies/1.2.3")
        except ImagingError:
            return
        raise AssertionError("a study that is not there was found")


def _free_ports(count: int) -> int:
    """The first of so many ports in a row that are free now."""
    for first in range(21_000, 32_000, count):
        try:
            for port in range(first, first + count):
                with socket.socket() as probe:
                    probe.bind(("127.0.0.1", port))
        except OSError:
            continue
        return first
    raise AssertionError("no ports are free")
