"""Uploads over a line that is cut, to a service that is killed: they go on where the service has kept them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from imaging.client.file_store import store_files
from imaging.client.results import StoreProgress
from imaging.client.storage import Patience, StorageClient, Upload
from imaging.rpc.channel import open_channel
from storage_svc.upload.stream import PERSIST_BYTES
from tests.dicom.part10 import image, part10
from tests.faults.bad_input import SOP_INSTANCE_UID
from tests.faults.bad_pixels import FRAMES
from tests.faults.cutting_proxy import CuttingProxy
from tests.faults.index_snapshot import persisted_bytes, visible
from tests.installation.storage_process import StorageProcess, storage_process
from tests.storage.storage_under_test import calls_to, chunks

pytestmark = pytest.mark.integration

MIB = 1 << 20
SIZE = 10 * MIB
ON_THE_WAY = 8 * MIB
"""Sent, and not received when a line is cut: buffers of both ends and of the line."""

QUICK = Patience(timedelta(milliseconds=5), timedelta(milliseconds=100), timedelta(seconds=30))
_numbers = iter(range(10_000, 99_999))


def large(megabytes: int = SIZE // MIB) -> bytes:
    """An image of so many MiB, under an instance UID of its own."""
    content = part10(image(512, 1024, pixel_data=bytes(range(256)) * (megabytes * 4096)) | {
        FRAMES: ("IS", f"{megabytes:<2}".encode())})  # fmt: skip
    return content.replace(SOP_INSTANCE_UID.encode(), f"1.2.{next(_numbers)}".encode())


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StorageProcess]:
    with storage_process(tmp_path_factory.mktemp("resume") / "data", settings={"quiet_time_seconds": 3600}) as running:
        yield running


async def store(address: str, content: bytes | Path) -> str:
    """The name under which the SDK has stored it, over whatever happens on the way."""
    async with open_channel(address) as channel:
        client = StorageClient(channel, patience=QUICK)
        (result,) = [result async for result in client.store([Upload("one", content)])]
        assert result.instance is not None, result.error
        return result.instance.name


async def check_stored(storage: StorageProcess, name: str, content: bytes) -> None:
    async with calls_to(storage.address) as calls:
        messages = await calls.stream("RetrieveInstances", name=name)
    assert b"".join(message.data.content for message in messages) == content
    await nothing_left_over(storage)


async def nothing_left_over(storage: StorageProcess) -> None:
    """Wait until the service has seen that the lines are dead and has let go of what came over them."""
    async with asyncio.timeout(20):
        while _left_over(storage):  # noqa: ASYNC110 - it happens in another process
            await asyncio.sleep(0.05)


def _left_over(storage: StorageProcess) -> bool:
    left = visible(storage.data_dir)
    return bool(left.rows["upload"]) or any(file.startswith(".") for file in left.files)


def _received_bytes(storage: StorageProcess) -> int:
    """What has come of uploads that can go on."""
    return sum(file.stat().st_size for file in storage.data_dir.rglob("part-*"))


async def said_to_be_persisted(storage: StorageProcess) -> None:
    """Wait until the service has promised to keep what it has of an upload."""
    async with asyncio.timeout(60):
        while persisted_bytes(storage.data_dir) < PERSIST_BYTES:  # noqa: ASYNC110 - it happens in another process
            await asyncio.sleep(0.05)


@given(cuts=st.lists(st.integers(0, SIZE + 4096), min_size=1, max_size=4))
@settings(max_examples=20, suppress_health_check=list(HealthCheck))
def test_an_upload_goes_on_wherever_its_line_is_cut(storage: StorageProcess, cuts: list[int]) -> None:
    async def run() -> None:
        content = large()
        async with CuttingProxy(storage.address, cuts) as proxy:
            name = await store(proxy.address, content)
            assert proxy.bytes_sent < len(content) * 1.01 + (proxy.cuts_made + 1) * ON_THE_WAY
        await check_stored(storage, name, content)

    asyncio.run(run())


async def test_what_came_before_the_cut_need_not_come_again_and_the_bar_goes_on(
    storage: StorageProcess, tmp_path: Path
) -> None:
    content, file = large(30), tmp_path / "large.dcm"
    file.write_bytes(content)
    steps: list[StoreProgress] = []
    async with CuttingProxy(storage.address, [25 * MIB]) as proxy, open_channel(proxy.address) as channel:
        summary = await store_files(StorageClient(channel, patience=QUICK), [file], progress=steps.append)
        assert proxy.cuts_made == 1
        assert proxy.bytes_sent < 30 * MIB + ON_THE_WAY
    (stored,) = summary.stored
    done = [step.bytes_done for step in steps]
    back = [after - before for before, after in pairwise(done) if after < before]
    assert len(done) > 30
    assert len(back) <= 1
    assert all(step > -ON_THE_WAY for step in back)
    assert done[-1] == steps[-1].bytes_total == len(content)
    assert [step.newest is None for step in steps][-2:] == [True, False]
    await check_stored(storage, stored.instance, content)


@pytest.mark.parametrize("at", [1 * MIB, 20 * MIB, 41 * MIB])
async def test_an_upload_goes_on_after_the_service_was_killed_in_the_middle(storage: StorageProcess, at: int) -> None:
    again = at if at < PERSIST_BYTES else at - PERSIST_BYTES

    async def kill_and_start() -> None:
        if at >= PERSIST_BYTES:  # the disk may be slower than the line
            await said_to_be_persisted(storage)
        await asyncio.to_thread(storage.kill)
        await asyncio.to_thread(storage.start)

    content = large(42)
    async with CuttingProxy(storage.address, [at], kill_and_start) as proxy:
        name = await store(proxy.address, content)
        assert proxy.cuts_made == 1
        assert proxy.bytes_sent < len(content) + again + ON_THE_WAY
    await check_stored(storage, name, content)


async def test_a_sender_that_comes_back_before_its_old_line_is_seen_to_be_dead_goes_on_too(
    storage: StorageProcess,
) -> None:
    content, upload_id = large(), "5f0f3a6c-0c50-4d5e-9d53-3f8f0a6d2c11"
    async with calls_to(storage.address) as calls:
        old = calls.stub.StoreInstances()
        for message in chunks(upload_id, content)[:7]:
            await old.write(message)
        async with asyncio.timeout(20):
            while _received_bytes(storage) < MIB:  # noqa: ASYNC110 - it happens in another process
                await asyncio.sleep(0.01)
        again = calls.stub.StoreInstances()
        await again.write(chunks(upload_id, content)[0])
        answer = await again.read()
        assert answer.ready.persisted_size_bytes >= MIB
        assert answer.ready.persisted_size_bytes % MIB == 0
        for message in chunks(upload_id, content, start=answer.ready.persisted_size_bytes)[1:]:
            await again.write(message)
        await again.done_writing()
        stored = await again.read()
        assert stored.HasField("stored"), stored
        old.cancel()
    await check_stored(storage, stored.stored.instance.name, content)


async def test_an_upload_that_nobody_goes_on_with_expires_with_its_bytes(tmp_path: Path) -> None:
    quick = {"upload_expiry_hours": 1 / 3600, "sweep_interval_seconds": 0.2}
    with storage_process(tmp_path / "data", settings=quick) as storage:
        async with calls_to(storage.address) as calls:
            await calls.send(chunks("5f0f3a6c-0c50-4d5e-9d53-3f8f0a6d2c12", large())[:5])
        assert visible(storage.data_dir).rows["upload"] == 1
        await nothing_left_over(storage)


async def test_an_object_of_eight_mebibytes_or_less_is_sent_again_whole(storage: StorageProcess) -> None:
    content = large(7)
    async with CuttingProxy(storage.address, [5 * MIB]) as proxy:
        name = await store(proxy.address, content)
        assert proxy.cuts_made == 1
    await check_stored(storage, name, content)
