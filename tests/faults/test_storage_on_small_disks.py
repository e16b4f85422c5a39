"""Storage whose disks are full, out of inodes or read-only: it refuses, keeps nothing half, and goes on by itself."""

from __future__ import annotations

import asyncio
import sys
import uuid
from collections.abc import AsyncIterator, Iterator

import pytest

from imaging.client.storage import StorageClient, Upload
from imaging.errors import StorageFull, Unavailable
from imaging.rpc.channel import open_channel
from imaging.storage.v1 import storage_service_pb2 as pb
from storage_svc.keeping.write_watch import WRITES
from tests.faults.index_snapshot import Visible, visible
from tests.faults.one_upload import answer_to, is_serving, large, read_back, refusal, small, until_serving
from tests.installation.small_disk import SmallDisk, needs_mounts, on_small_disks
from tests.installation.storage_process import StorageProcess, storage_process
from tests.storage.storage_under_test import calls_to, chunks, ct

pytestmark = [pytest.mark.integration, needs_mounts]


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StorageProcess]:
    """All tests share it: each leaves it writing again, without a restart."""
    data_dir = tmp_path_factory.mktemp("small") / "data"
    objects = data_dir / "storage" / "objects"
    launcher = on_small_disks((data_dir, "size=16m"), (objects, "size=96m,nr_inodes=200"))
    with storage_process(data_dir, settings={"quiet_time_seconds": 3600}, launcher=launcher) as running:
        yield running


@pytest.fixture
def index_disk(storage: StorageProcess) -> Iterator[SmallDisk]:
    disk = SmallDisk(storage, storage.data_dir)
    yield disk
    disk.free()


@pytest.fixture
def objects_disk(storage: StorageProcess) -> Iterator[SmallDisk]:
    disk = SmallDisk(storage, storage.data_dir / "storage" / "objects")
    yield disk
    disk.free()


def seen(disk: SmallDisk) -> Visible:
    """What is visible, but for what fills the disk, and what tries it."""
    found = Visible.from_json(disk.within(sys.executable, "-m", visible.__module__, str(disk.storage.data_dir)))
    return Visible(found.rows, frozenset(file for file in found.files if "filler" not in file and "trial" not in file))


async def goes_on(storage: StorageProcess) -> None:
    """Without a restart, it tells that it can write, and keeps what comes."""
    await until_serving(storage, WRITES, True)
    for content in (small(), large()):
        answer = await answer_to(storage, content)
        assert answer.HasField("stored"), answer
        assert await read_back(storage, answer.stored.instance.name) == content
        async with calls_to(storage.address) as calls:  # to have room for the next test
            await calls.call("DeleteInstance", name=answer.stored.instance.name)


async def test_an_object_for_which_there_is_no_room_leaves_nothing(
    storage: StorageProcess, objects_disk: SmallDisk
) -> None:
    before = seen(objects_disk)
    objects_disk.fill(leave_bytes=20_000)
    for content in (small(), ct(sop="1.2.3.1.9999", Rows=600, Columns=600, pixels=bytes(720_000))):
        refusal(await answer_to(storage, content), StorageFull)
    assert seen(objects_disk) == before
    await until_serving(storage, WRITES, False)
    assert await is_serving(storage, "")
    objects_disk.free()
    await goes_on(storage)


async def test_an_upload_that_cannot_fit_is_refused_before_its_bytes_are_sent(
    storage: StorageProcess, objects_disk: SmallDisk
) -> None:
    before = seen(objects_disk)
    for upload_id in ("once", str(uuid.uuid4())):
        header = pb.StoreInstancesRequest(
            upload_id=upload_id, header=pb.StoreInstancesRequest.Header(size_bytes=120 << 20)
        )
        async with calls_to(storage.address) as calls:
            (answer,) = await calls.send([header])
        assert str(120 << 20) in refusal(answer, StorageFull).what
    assert seen(objects_disk).files == before.files


@pytest.mark.parametrize("resumable", [True, False])
async def test_a_spool_that_is_full_in_the_middle_of_an_upload_gives_its_room_back(
    storage: StorageProcess, objects_disk: SmallDisk, resumable: bool
) -> None:
    before = seen(objects_disk)
    header, *rest = chunks(str(uuid.uuid4()) if resumable else "once", large(), size=500_000)
    begun = asyncio.Event()

    async def messages() -> AsyncIterator[pb.StoreInstancesRequest]:
        for message in (header, *rest[:4]):
            yield message
        await begun.wait()
        for message in rest[4:]:
            yield message

    async with calls_to(storage.address) as calls:
        call = calls.stub.StoreInstances(messages())
        assert (await call.read()).HasField("ready")
        await asyncio.to_thread(objects_disk.fill)
        begun.set()
        answer = await call.read()
    refusal(answer, StorageFull)
    objects_disk.free()
    assert seen(objects_disk).files == before.files
    assert seen(objects_disk).rows["instance"] == before.rows["instance"]
    await goes_on(storage)


async def test_what_was_acknowledged_before_the_index_was_full_is_kept_and_nothing_else(
    storage: StorageProcess, index_disk: SmallDisk
) -> None:
    before = seen(index_disk)
    index_disk.fill()
    kept: dict[str, bytes] = {}
    for _ in range(150):  # the log has some room within
        content = small()
        answer = await answer_to(storage, content)
        if not answer.HasField("stored"):
            break
        kept[answer.stored.instance.name] = content
    refusal(answer, StorageFull)
    refusal(await answer_to(storage, small()), StorageFull)
    now = seen(index_disk)
    assert now.rows["instance"] - before.rows["instance"] == len(kept)
    assert len(now.files) - len(before.files) == len(kept)  # the objects of the refused are gone
    for name, content in kept.items():
        assert await read_back(storage, name) == content
    await until_serving(storage, WRITES, False)
    index_disk.free()
    await goes_on(storage)


async def test_a_disk_without_inodes_is_full(storage: StorageProcess, objects_disk: SmallDisk) -> None:
    before = seen(objects_disk)
    objects_disk.take_inodes()
    for content in (small(), large()):
        refusal(await answer_to(storage, content), StorageFull)
    assert seen(objects_disk).files == before.files
    await until_serving(storage, WRITES, False)
    objects_disk.free()
    await goes_on(storage)


async def test_a_sender_that_waits_is_served_when_a_disk_that_was_read_only_is_writable_again(
    storage: StorageProcess, objects_disk: SmallDisk
) -> None:
    content = small()
    name = (await answer_to(storage, content)).stored.instance.name
    before = seen(objects_disk)
    objects_disk.remount("ro")
    for refused in (small(), large()):
        assert "EROFS" in refusal(await answer_to(storage, refused), Unavailable).what
    assert seen(objects_disk) == before
    await until_serving(storage, WRITES, False)
    assert await read_back(storage, name) == content
    async with open_channel(storage.address) as channel:
        waiting = small()
        sender = asyncio.create_task(anext(StorageClient(channel).store([Upload("one", waiting)])))
        await asyncio.sleep(0)
        await asyncio.to_thread(objects_disk.remount, "rw")
        result = await sender
    assert result.error is None
    assert result.instance is not None
    assert await read_back(storage, result.instance.name) == waiting
    await goes_on(storage)
