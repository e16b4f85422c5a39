"""The examples of a few lines, run as a reader would, through the one port."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from imaging.client.storage import StorageClient, Upload
from imaging.rpc.channel import open_channel
from tests.ct_series import ct_series
from tests.front.running import Front, running_front
from tests.installation.in_process import services_in_process

EXAMPLES = Path(__file__).parents[2] / "examples"

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def front(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Front]:
    folder = tmp_path_factory.mktemp("examples")
    attributes = {"PatientName": "Example^Eve", "PatientID": "EX1", "SeriesDescription": "Round body"}
    series = ct_series("examples", slices=3, attributes=attributes)
    async with (
        services_in_process(folder / "data", "storage", "gateway") as settings,
        running_front(settings, folder / "front") as running,
        open_channel(running.address) as channel,
    ):
        storage = StorageClient(channel)
        results = [r async for r in storage.store([Upload(n, data) for n, data in series.instances.items()])]
        await storage.close()
        assert [result.error for result in results] == [None] * 3
        yield running


async def _told(*command: str) -> str:
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, stdout=pipe, stderr=pipe)
    out, error = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0, error.decode()
    return out.decode()


async def test_python_reads_the_frames_of_a_series(front: Front) -> None:
    told = await _told(sys.executable, str(EXAMPLES / "read_series.py"), front.address, "EX1")
    assert told.splitlines() == ["CT Round body 3 frames", *["  64 x 64, 8192 bytes"] * 3]


async def test_grpcurl_searches_studies(front: Front) -> None:
    if shutil.which("grpcurl", path=f"{os.environ['PATH']}:{Path.home() / 'go' / 'bin'}") is None:
        pytest.skip("grpcurl is not installed (go install github.com/fullstorydev/grpcurl/cmd/grpcurl@latest)")
    path = f"PATH={os.environ['PATH']}:{Path.home() / 'go' / 'bin'}"
    told = await _told("env", path, "sh", str(EXAMPLES / "search.sh"), front.address, "EXAMPLE*")
    assert [study["patient_id"] for study in json.loads(told)["studies"]] == ["EX1"]
