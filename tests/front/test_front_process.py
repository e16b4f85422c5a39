"""`imaging up` and the process behind its one port: started again, ended with the others, long uploads."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import grpc
import httpx
import psutil
import pytest

from imaging.cli.exit_codes import ExitCode
from imaging.pipeline.v1.pipeline_service_pb2 import ListRunsRequest
from imaging.pipeline.v1.pipeline_service_pb2_grpc import PipelineServiceStub
from imaging.rpc.channel import open_channel
from imaging.storage.v1 import storage_service_pb2 as messages
from imaging.storage.v1.storage_service_pb2_grpc import StorageServiceStub
from tests.ct_series import ct_series
from tests.installation.running import Installation, running_installation

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("installation")]


@pytest.fixture
def installation(tmp_path: Path) -> Iterator[Installation]:
    with running_installation(tmp_path / "data") as running:
        yield running


def _front(installation: Installation) -> psutil.Process | None:
    """The process that listens on the one port, if there is one now."""
    for child in psutil.Process(installation.supervisor.pid).children():
        try:
            if Path(child.cmdline()[0]).name == "traefik":
                return child
        except (psutil.NoSuchProcess, psutil.ZombieProcess, IndexError):
            continue
    return None


def _until(condition: Callable[[], object], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _serves(url: str) -> bool:
    try:
        return httpx.get(url, timeout=5).status_code == 200
    except httpx.HTTPError:
        return False


def test_it_is_started_again_and_ends_when_the_supervisor_is_killed(installation: Installation) -> None:
    url = f"http://{installation.endpoints['front']}/dicom-web/studies"
    assert _serves(url)
    first = _front(installation)
    assert first is not None
    first.kill()
    _until(lambda: _serves(url))
    second = _front(installation)
    assert second is not None
    assert second.pid != first.pid
    os.kill(installation.supervisor.pid, signal.SIGKILL)
    _until(lambda: not second.is_running() or second.status() == psutil.STATUS_ZOMBIE)


async def test_while_the_services_drain_what_runs_through_it_ends_well_and_new_callers_are_told(
    installation: Installation,
) -> None:
    front = installation.endpoints["front"]
    process = _front(installation)
    assert process is not None
    series = ct_series("front-drain", slices=2, size=64)
    first, second = (b"--b\r\nContent-Type: application/dicom\r\n\r\n" + each for each in series.instances.values())
    go_on = asyncio.Event()

    async def parts() -> AsyncIterator[bytes]:
        yield first + b"\r\n--b"
        await go_on.wait()
        yield second.removeprefix(b"--b") + b"\r\n--b--\r\n"

    kind = {"content-type": 'multipart/related; type="application/dicom"; boundary=b'}
    async with (
        httpx.AsyncClient(base_url=f"http://{front}", timeout=60) as web,
        open_channel(front) as channel,
    ):
        storage = StorageServiceStub(channel)
        watch = storage.WatchChanges(messages.WatchChangesRequest(start_revision=1))
        upload = asyncio.create_task(web.post("/dicom-web/studies", content=parts(), headers=kind))
        while not (await watch.read()).changes:  # until the first instance is stored: both are under way
            pass
        installation.supervisor.send_signal(signal.SIGINT)
        async with asyncio.timeout(30):
            while (status := (await web.get("/dicom-web/studies?limit=1")).status_code) == 200:
                pass
        assert status in (502, 503)
        with pytest.raises(grpc.aio.AioRpcError) as told:
            await PipelineServiceStub(channel).ListRuns(ListRunsRequest(), timeout=10)
        assert told.value.code() == grpc.StatusCode.UNAVAILABLE
        # Who takes work is there for as long as who gives it.
        await storage.GetStudy(messages.GetStudyRequest(name=series.study), timeout=10)
        go_on.set()
        answer = await upload
        assert answer.status_code == 200, answer.text
        assert len(answer.json()["00081199"]["Value"]) == 2
        with pytest.raises(grpc.aio.AioRpcError, match="Watch again from revision"):
            while await watch.read() is not grpc.aio.EOF:
                pass
    assert await asyncio.to_thread(installation.supervisor.wait, 60) == ExitCode.INTERRUPTED
    assert not process.is_running()


def _up(tmp_path: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "imaging", "up", "--json", "--data", str(tmp_path / "data"), *arguments]
    env = {**os.environ, **variables}
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)


def _free_addresses() -> dict[str, str]:
    names = [f"IMAGING_{name}_ADDRESS" for name in ("STORAGE", "PROCESSING", "ANALYSIS", "REPORTING", "PIPELINE")]
    names += ["IMAGING_GATEWAY_ADDRESS", "IMAGING_GATEWAY_HTTP_ADDRESS", "IMAGING_GATEWAY_DIMSE_ADDRESS"]
    probes = [socket.create_server(("127.0.0.1", 0)) for _ in names]
    found = {name: f"127.0.0.1:{probe.getsockname()[1]}" for name, probe in zip(names, probes, strict=True)}
    for probe in probes:
        probe.close()
    return found


def test_a_port_that_is_taken_is_told_before_anything_is_started(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        address = f"127.0.0.1:{other.getsockname()[1]}"
        done = _up(tmp_path, **_free_addresses(), IMAGING_FRONT_ADDRESS=address)
    assert done.returncode == ExitCode.UNAVAILABLE
    told = json.loads(done.stderr.splitlines()[-1])["error"]
    assert told["where"] == address
    assert "front is taken" in told["what"]
    assert not (tmp_path / "data" / "logs").exists()


def test_it_listens_for_other_machines_only_with_tls_and_a_token(tmp_path: Path) -> None:
    done = _up(tmp_path, **_free_addresses(), IMAGING_FRONT_ADDRESS="0.0.0.0:0")
    assert done.returncode == ExitCode.USAGE
    assert json.loads(done.stderr.splitlines()[-1])["error"]["where"] == "front.address"


def test_without_an_address_there_is_nothing_to_configure(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "imaging", "front", "--out", str(tmp_path / "out"), "--set", "front.address="]
    done = subprocess.run([*command, "--json"], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == ExitCode.USAGE
    told = json.loads(done.stderr.splitlines()[-1])["error"]
    assert (told["what"], told["where"]) == ("There is no one port: its address is empty", "front.address")
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_an_upload_of_ninety_seconds_goes_through(installation: Installation) -> None:
    """Longer than the 60 s after which Traefik by itself breaks a request off."""
    series = ct_series("front-slow", slices=30, size=64)
    began = time.monotonic()

    async def parts() -> object:
        for content in series.instances.values():
            half = len(content) // 2
            yield b"--b\r\nContent-Type: application/dicom\r\n\r\n" + content[:half]
            await asyncio.sleep(3.1)
            yield content[half:] + b"\r\n"
        yield b"--b--\r\n"

    async def send() -> httpx.Response:
        kind = {"content-type": 'multipart/related; type="application/dicom"; boundary=b'}
        async with httpx.AsyncClient(base_url=f"http://{installation.endpoints['front']}", timeout=60) as client:
            return await client.post("/dicom-web/studies", content=parts(), headers=kind)

    answer = asyncio.run(send())
    assert time.monotonic() - began > 90
    assert answer.status_code == 200, answer.text
    assert len(answer.json()["00081199"]["Value"]) == 30
