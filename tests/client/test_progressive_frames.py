"""Small pictures first, then only the missing bytes, by the client and by the example of the docs."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import imaging
from imaging.client.patience import Patience
from imaging.client.progressive_frames import refined_frames
from imaging.client.storage import Selection, StorageClient, Upload
from imaging.client.sync_client import Client
from imaging.codecs.sandbox import DecodePool
from imaging.rpc.channel import open_channel
from imaging.storage.v1 import storage_service_pb2, storage_service_pb2_grpc
from tests.ct_series import CtSeries, ct_series
from tests.installation.in_process import services_in_process
from tests.storage.test_retrieve import multiframe

pytestmark = pytest.mark.xdist_group("client-storage")

DOCS = Path(__file__).parents[2] / "docs" / "pixels.md"


@pytest.fixture(scope="module")
def client(storage_address: str) -> Iterator[Client]:
    with imaging.connect({"storage": storage_address}) as connected:
        yield connected


@pytest.fixture(scope="module")
def series(client: Client, tmp_path_factory: pytest.TempPathFactory) -> CtSeries:
    made = ct_series("progressive", slices=5, size=512)
    folder = tmp_path_factory.mktemp("progressive")
    for uid, content in made.instances.items():
        (folder / f"{uid}.dcm").write_bytes(content)
    assert len(client.store(folder).stored) == 5
    return made


def test_frames_grow_to_what_they_are_when_read_whole(client: Client, series: CtSeries) -> None:
    whole = list(client.frames(series.series))
    small = list(client.frames(series.series, resolution_level=3))
    assert {frame.pixels.shape for frame in small} == {(64, 64)}
    middle = list(client.refine(small, resolution_level=1))
    assert {frame.pixels.shape for frame in middle} == {(256, 256)}
    assert {frame.resolution_level for frame in middle} == {1}
    full = list(client.refine(middle))
    assert [frame.sop_instance_uid for frame in full] == [frame.sop_instance_uid for frame in whole]
    for one, other in zip(full, whole, strict=True):
        assert one.pixels.dtype == other.pixels.dtype
        assert np.array_equal(one.pixels, other.pixels)
        assert one.resolution_level == 0


def test_frames_that_are_whole_are_given_back_as_they_are(client: Client, series: CtSeries) -> None:
    whole = list(client.frames(series.series))
    assert [id(frame) for frame in client.refine(whole)] == [id(frame) for frame in whole]


class _Recording:
    """A stub that keeps what was asked for."""

    def __init__(self, stub: Any) -> None:
        self._stub = stub
        self.asked: list[storage_service_pb2.RetrieveFramesRequest] = []

    def RetrieveFrames(self, request: storage_service_pb2.RetrieveFramesRequest) -> Any:
        self.asked.append(request)
        return self._stub.RetrieveFrames(request)


async def test_the_frames_of_an_instance_are_asked_for_together(tmp_path: Path) -> None:
    content, array = multiframe(6, 64, 64)
    async with (
        services_in_process(tmp_path, "storage") as settings,
        open_channel(settings.storage.address) as channel,
    ):
        storage = StorageClient(channel)
        (stored,) = [result async for result in storage.store([Upload("many", content)])]
        assert stored.instance is not None
        selections = [Selection(instance=stored.instance.name)]
        small = [frame async for frame in storage.read_frames(selections=selections, resolution_level=2)]
        stub: Any = _Recording(storage_service_pb2_grpc.StorageServiceStub(channel))
        order = [small[index] for index in (4, 0, 1, 2, 3, 5)]
        async with DecodePool() as pool:
            finer = [frame async for frame in refined_frames(stub, order, 0, pool, Patience())]
        await storage.close()
    (asked,) = stub.asked
    assert [list(selection.frame_numbers) for selection in asked.selections] == [[5, 1, 2, 3, 4, 6]]
    assert [frame.frame_number for frame in finer] == [5, 1, 2, 3, 4, 6]
    assert all(np.array_equal(frame.pixels, array[frame.frame_number - 1]) for frame in finer)


def test_the_example_of_the_docs_runs(storage_address: str, series: CtSeries) -> None:
    examples = re.findall(r"^```python\n(.*?)^```", DOCS.read_text(), re.MULTILINE | re.DOTALL)
    (example,) = [text for text in examples if "refine" in text]
    script = example.replace("imaging.connect()", f"imaging.connect({{'storage': {storage_address!r}}})")
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=100, check=False)
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines() == ["(128, 128)"] + ["1 (512, 512)"] * 5
