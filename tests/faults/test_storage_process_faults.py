"""Storage that is stopped, paused, out of descriptors or left by senders: nothing acknowledged is lost or leaks."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import grpc
import pytest

from imaging.client.storage import Patience, StorageClient, StoreResult, Upload
from imaging.errors import ImagingError, Overloaded, Unavailable
from imaging.rpc.channel import open_channel
from imaging.rpc.status import from_status
from imaging.storage.v1 import storage_service_pb2 as pb
from tests.faults.index_snapshot import visible
from tests.faults.one_upload import answer_to, large, read_back, small
from tests.installation.storage_process import StorageProcess, storage_process
from tests.storage.storage_under_test import calls_to, chunks, ct

pytestmark = pytest.mark.integration

SETTINGS = {"quiet_time_seconds": 3600}
LEAST_SECONDS, MOST_SECONDS = 0.1, 20


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StorageProcess]:
    with storage_process(tmp_path_factory.mktemp("process") / "data", settings=SETTINGS) as running:
        yield running


async def store(address: str, contents: Sequence[bytes], results: dict[str, StoreResult], patience: Patience) -> None:
    """Store all by the SDK, in one stream."""
    async with open_channel(address) as channel:
        uploads = [Upload(str(number), content) for number, content in enumerate(contents)]
        async for result in StorageClient(channel, patience=patience).store(uploads):
            results[result.upload_id] = result


def spooled(storage: StorageProcess) -> list[str]:
    """Files of uploads that the service has open, removed ones too."""
    links = Path(f"/proc/{storage.pid}/fd").iterdir()
    found = []
    for link in links:
        with suppress(FileNotFoundError):  # closed since
            found.append(str(link.readlink()))
    return [path for path in found if "/.spool/" in path]


async def until_there_are(results: Sequence[dict[str, StoreResult]], number: int) -> None:
    """Wait until so many uploads have their result."""
    end = time.monotonic() + MOST_SECONDS
    while sum(map(len, results)) < number:
        assert time.monotonic() < end
        await asyncio.sleep(0.005)


async def test_a_stop_in_the_middle_of_twenty_streams_keeps_what_was_acknowledged_and_ends_in_time(
    tmp_path: Path,
) -> None:
    impatient = Patience(give_up_after=timedelta(0))
    streams = [[small(), small(), large() if number % 5 == 0 else small()] for number in range(20)]
    with storage_process(tmp_path / "data", settings=SETTINGS) as storage:
        results: list[dict[str, StoreResult]] = [{} for _ in streams]
        tasks = [
            asyncio.create_task(store(storage.address, contents, found, impatient))
            for contents, found in zip(streams, results, strict=True)
        ]
        await until_there_are(results, 5)
        assert await asyncio.to_thread(storage.stop, 30) == 0
        for outcome in await asyncio.gather(*tasks, return_exceptions=True):
            assert outcome is None or isinstance(outcome, ImagingError), outcome
        storage.start()
        acknowledged = 0
        for contents, found in zip(streams, results, strict=True):
            for upload_id, result in found.items():
                if result.instance is None:
                    assert isinstance(result.error, Unavailable), result.error
                    continue
                acknowledged += 1
                assert await read_back(storage, result.instance.name) == contents[int(upload_id)]
        assert acknowledged >= 5
        again: dict[str, StoreResult] = {}
        await store(storage.address, [content for contents in streams for content in contents], again, Patience())
        assert not [result.error for result in again.values() if result.error]
        assert visible(storage.data_dir).rows["instance"] == sum(map(len, streams))


@pytest.mark.parametrize("which", ["service", "intake"])
async def test_a_process_that_is_paused_goes_on_and_doubles_nothing(storage: StorageProcess, which: str) -> None:
    before = visible(storage.data_dir).rows["instance"]
    contents = [large(), *(small() for _ in range(40))]
    results: dict[str, StoreResult] = {}
    pid = storage.pid if which == "service" else storage.intake_pid()
    task = asyncio.create_task(store(storage.address, contents, results, Patience()))
    await until_there_are([results], 1)
    os.kill(pid, signal.SIGSTOP)
    try:
        await asyncio.sleep(1)  # the fault itself: so long it does nothing
    finally:
        os.kill(pid, signal.SIGCONT)
    await asyncio.wait_for(task, MOST_SECONDS)
    assert len(results) == len(contents)
    for upload_id, result in results.items():
        assert result.instance is not None, result.error
        assert await read_back(storage, result.instance.name) == contents[int(upload_id)]
    found = visible(storage.data_dir)
    assert found.rows["instance"] == before + len(contents)
    assert found.rows["kept_object"] == found.rows["instance"]


async def test_a_sender_that_goes_at_any_chunk_leaves_nothing_behind(storage: StorageProcess) -> None:
    await answer_to(storage, small())
    before = visible(storage.data_dir)
    content = ct(sop="1.2.3.1.999999", Rows=600, Columns=600, pixels=bytes(720_000))
    messages = chunks("once", content, size=64_000)
    async with calls_to(storage.address) as calls:
        for number in range(1, len(messages) - 1):
            received = asyncio.Event()

            async def sending(number: int = number, received: asyncio.Event = received) -> AsyncIterator[object]:
                for message in messages[:number]:
                    yield message
                received.set()
                await asyncio.Event().wait()

            call = calls.stub.StoreInstances(sending())
            await asyncio.wait_for(received.wait(), MOST_SECONDS)
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call.read()
    end = time.monotonic() + MOST_SECONDS
    while visible(storage.data_dir).files != before.files or spooled(storage):
        assert time.monotonic() < end, (visible(storage.data_dir).files - before.files, spooled(storage))
        await asyncio.sleep(LEAST_SECONDS)
    assert visible(storage.data_dir).rows == before.rows
    answer = await answer_to(storage, content)
    assert await read_back(storage, answer.stored.instance.name) == content


async def test_without_file_descriptors_uploads_are_refused_by_that_name_until_some_are_free(tmp_path: Path) -> None:
    limited = ["prlimit", "--nofile=128:128"]
    with storage_process(tmp_path / "data", settings=SETTINGS, launcher=limited) as storage:
        kept = small()
        name = (await answer_to(storage, kept)).stored.instance.name
        refused: list[ImagingError] = []
        async with calls_to(storage.address) as calls:
            go_on = asyncio.Event()

            async def opening() -> AsyncIterator[pb.StoreInstancesRequest]:
                for number in range(127):
                    header = pb.StoreInstancesRequest.Header(size_bytes=1000)
                    yield pb.StoreInstancesRequest(upload_id=str(number), header=header)
                await go_on.wait()

            call = calls.stub.StoreInstances(opening())
            answer = await asyncio.wait_for(call.read(), MOST_SECONDS)
            refused.append(from_status(answer.rejected))
            (whole,) = await calls.store(small())  # by another stream of the same connection
            if whole.HasField("rejected"):
                refused.append(from_status(whole.rejected))
            go_on.set()
            while (answer := await call.read()) is not grpc.aio.EOF:
                error = from_status(answer.rejected)
                if "ended before the upload was finished" not in error.what:
                    refused.append(error)
        for error in refused:
            assert isinstance(error, Overloaded | Unavailable), error
            assert error.hint
            assert error.retry_after_seconds > 0
        assert any("No further file can be opened" in error.what for error in refused)
        answer = await answer_to(storage, large())
        assert answer.HasField("stored"), answer
        assert await read_back(storage, name) == kept
