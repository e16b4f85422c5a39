"""Storage whose disk reports errors: a failed sync is never made a claim, and it goes on when the disk does."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Literal

import pytest

from imaging.client.storage import StorageClient, Upload
from imaging.errors import ImagingError, StorageFull, Unavailable
from imaging.rpc.channel import open_channel
from storage_svc.keeping.write_watch import WRITES
from tests.faults.index_snapshot import Visible, visible
from tests.faults.one_upload import answer_to, is_serving, large, read_back, refusal, small, until_serving
from tests.installation.failing_disk import EIO, ENOSPC, EROFS, FailingDisk, failing_disk, needs_compiler
from tests.installation.storage_process import StorageProcess, storage_process

pytestmark = [pytest.mark.integration, needs_compiler]


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> FailingDisk:
    return failing_disk(tmp_path_factory.mktemp("library"))


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory, disk: FailingDisk) -> Iterator[StorageProcess]:
    """All tests share it: each leaves it writing again, without a restart."""
    data_dir = tmp_path_factory.mktemp("failing") / "data"
    settings = {"quiet_time_seconds": 3600}
    with storage_process(data_dir, settings=settings, environment=disk.environment) as running:
        yield running


def seen(storage: StorageProcess) -> Visible:
    """What is visible, but for the file by which the disk is tried."""
    found = visible(storage.data_dir)
    return Visible(found.rows, frozenset(file for file in found.files if "trial" not in file))


OBJECT, FOLDER, SPOOL, LOG, ANY = "/.incoming/", "/studies/", "/.spool/", "storage.sqlite-wal", "/storage/"
FAULTS: dict[str, tuple[Literal["sync", "write"], int, str, type[ImagingError]]] = {
    "sync of an object": ("sync", EIO, OBJECT, Unavailable),
    "sync of a folder": ("sync", EIO, FOLDER, Unavailable),
    "sync of the log": ("sync", EIO, LOG, Unavailable),
    "write of the log": ("write", EIO, LOG, Unavailable),
    "room for the log": ("write", ENOSPC, LOG, StorageFull),
    "read-only": ("write", EROFS, ANY, Unavailable),
    "all syncs": ("sync", EIO, ANY, Unavailable),
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_what_a_failing_disk_did_not_take_is_refused_and_the_next_is_kept_when_it_does(
    storage: StorageProcess, disk: FailingDisk, fault: str
) -> None:
    before = seen(storage)
    kept = small()
    name = (await answer_to(storage, kept)).stored.instance.name
    call, number, part, kind = FAULTS[fault]
    refused = [small(), small() if part == OBJECT else large()]  # a large one is written to the spool
    with disk.fails(call, number, part):
        for content in (*refused, *refused):
            refusal(await answer_to(storage, content), kind)
        assert seen(storage).rows["instance"] == before.rows["instance"] + 1
        assert await read_back(storage, name) == kept
        if part in (LOG, ANY):
            await until_serving(storage, WRITES, False)
        assert await is_serving(storage, "")
    await until_serving(storage, WRITES, True)
    for content in refused:
        answer = await answer_to(storage, content)
        assert answer.HasField("stored"), answer
        assert await read_back(storage, answer.stored.instance.name) == content
    found = seen(storage)
    assert found.rows["instance"] == before.rows["instance"] + 3
    assert not [file for file in found.files if ".spool" in file or ".incoming" in file]


async def test_a_large_upload_whose_last_sync_fails_is_not_taken_over(
    storage: StorageProcess, disk: FailingDisk
) -> None:
    before = seen(storage)
    content = large()
    with disk.fails("sync", EIO, SPOOL):
        refusal(await answer_to(storage, content), Unavailable)
    assert seen(storage).rows["instance"] == before.rows["instance"]
    answer = await answer_to(storage, content)
    assert await read_back(storage, answer.stored.instance.name) == content


async def test_a_sender_waits_for_a_disk_that_fails_for_a_while(storage: StorageProcess, disk: FailingDisk) -> None:
    contents = [small() for _ in range(20)] + [large()]
    async with open_channel(storage.address) as channel:
        uploads = [Upload(str(number), content) for number, content in enumerate(contents)]

        async def store() -> dict[str, str]:
            return {
                result.upload_id: result.instance.name if result.instance else str(result.error)
                async for result in StorageClient(channel).store(uploads)
            }

        with disk.fails("sync", EIO, ANY):
            sender = asyncio.create_task(store())
            await until_serving(storage, WRITES, False)
        names = await sender
    assert len(names) == len(contents)
    for number, content in enumerate(contents):
        assert await read_back(storage, names[str(number)]) == content


async def test_what_was_acknowledged_around_failing_commits_outlives_a_kill(
    storage: StorageProcess, disk: FailingDisk
) -> None:
    kept: dict[str, bytes] = {}

    async def keep(content: bytes) -> None:
        answer = await answer_to(storage, content)
        assert answer.HasField("stored"), answer
        kept[answer.stored.instance.name] = content

    doubtful = []
    for _ in range(3):
        await keep(small())
        with disk.fails("sync", EIO, LOG):
            doubtful.append(small())
            refusal(await answer_to(storage, doubtful[-1]), Unavailable)
        await until_serving(storage, WRITES, True)
        await keep(small())
    storage.kill()
    storage.start()
    for content in doubtful:
        await keep(content)
    for name, content in kept.items():
        assert await read_back(storage, name) == content
