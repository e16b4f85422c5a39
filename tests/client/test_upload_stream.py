"""The upload stream against a scripted storage service over real gRPC."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import google_crc32c
import grpc
import pytest

from imaging.client.patience import Patience
from imaging.client.storage import StorageClient, StoreResult, Upload
from imaging.errors import Conflict, InvalidArgument, NotDicom, Overloaded, Unavailable
from imaging.rpc.channel import open_channel
from imaging.rpc.status import to_status
from imaging.storage.v1 import storage_pb2, storage_service_pb2, storage_service_pb2_grpc

Request = storage_service_pb2.StoreInstancesRequest
Response = storage_service_pb2.StoreInstancesResponse
QUICK = Patience(timedelta(milliseconds=5), timedelta(milliseconds=50), give_up_after=timedelta(seconds=20))


class ScriptedStorage(storage_service_pb2_grpc.StorageServiceServicer):
    """Keeps what arrives; `on_message` may raise to break the stream, `judge` may reject an object."""

    def __init__(self, resumable_bytes: int = 8 << 20) -> None:
        self.resumable_bytes = resumable_bytes
        self.stored: dict[str, bytes] = {}
        self.parts: dict[str, bytearray] = {}
        self.headers: list[Request] = []
        self.received_bytes = 0
        self.streams = 0
        self.judge: Callable[[bytes], Exception | None] = lambda content: None
        self.break_after_bytes: list[int] = []

    async def StoreInstances(self, requests: AsyncIterator[Request], context: Any) -> AsyncIterator[Response]:
        self.streams += 1
        received = 0
        async for request in requests:
            uid = request.upload_id
            if request.HasField("header"):
                self.headers.append(request)
                if request.header.size_bytes > self.resumable_bytes:
                    persisted = self.parts.setdefault(uid, bytearray())
                    yield Response(upload_id=uid, ready=Response.UploadReady(persisted_size_bytes=len(persisted)))
                else:
                    self.parts[uid] = bytearray()
            if request.HasField("data"):
                assert request.data.offset == len(self.parts[uid])
                if request.data.HasField("crc32c"):
                    assert request.data.crc32c == google_crc32c.value(request.data.content)
                self.parts[uid] += request.data.content
                received += len(request.data.content)
                self.received_bytes += len(request.data.content)
                if self.break_after_bytes and received >= self.break_after_bytes[0]:
                    self.break_after_bytes.pop(0)
                    await context.abort(grpc.StatusCode.UNAVAILABLE, "broken on purpose")
            if request.HasField("finish"):
                content = bytes(self.parts.pop(uid))
                crc = request.finish.object_crc32c or request.header.object_crc32c
                assert crc == google_crc32c.value(content)
                error = self.judge(content)
                if error is not None:
                    yield Response(upload_id=uid, rejected=to_status(error))  # type: ignore[arg-type]
                    continue
                name = f"object-{google_crc32c.value(content)}"
                known = name in self.stored
                self.stored[name] = content
                outcome = storage_pb2.STORE_OUTCOME_ALREADY_STORED if known else storage_pb2.STORE_OUTCOME_STORED
                stored = Response.Stored(instance=storage_pb2.Instance(name=name), outcome=outcome)
                yield Response(upload_id=uid, stored=stored)


@asynccontextmanager
async def serving(service: ScriptedStorage) -> AsyncIterator[StorageClient]:
    server = grpc.aio.server(options=[("grpc.max_receive_message_length", 4 << 20)])
    storage_service_pb2_grpc.add_StorageServiceServicer_to_server(service, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with open_channel(f"127.0.0.1:{port}") as channel:
            yield StorageClient(channel, patience=QUICK)
    finally:
        await server.stop(None)


def results_by_id(results: list[StoreResult]) -> dict[str, StoreResult]:
    found = {result.upload_id: result for result in results}
    assert len(found) == len(results)
    return found


async def test_small_and_large_uploads_arrive_whole(tmp_path: Path) -> None:
    contents = {
        "empty": b"",
        "small": b"s" * 100,
        "limit": b"l" * 3_500_000,
        "chunked": bytes(range(256)) * 16_000,
        "resumable": bytes(range(251)) * 40_000,
    }
    file = tmp_path / "file.dcm"
    file.write_bytes(b"from a file" * 1_000_000)
    service = ScriptedStorage()
    async with serving(service) as client:
        uploads = [Upload(key, content) for key, content in contents.items()] + [Upload("file", file)]
        results = results_by_id([result async for result in client.store(uploads, source="TEST")])
    assert set(results) == {*contents, "file"}
    assert sorted(service.stored.values()) == sorted([*contents.values(), file.read_bytes()])
    assert all(message.header.source == "TEST" for message in service.headers)


async def test_rejected_upload_leaves_the_others_alone() -> None:
    service = ScriptedStorage()
    service.judge = lambda content: NotDicom("no DICM prefix", hint="send Part 10") if content == b"bad" else None
    async with serving(service) as client:
        uploads = [Upload(str(n), b"bad" if n == 3 else b"good %d" % n) for n in range(10)]
        results = results_by_id([result async for result in client.store(uploads)])
    assert isinstance(results["3"].error, NotDicom)
    assert results["3"].error.hint == "send Part 10"
    assert results["3"].instance is None
    assert all(results[str(n)].error is None for n in range(10) if n != 3)


async def test_broken_stream_goes_on_and_every_upload_is_answered_once() -> None:
    service = ScriptedStorage()
    service.break_after_bytes = [1, 30_000, 200_000, 100]
    async with serving(service) as client:
        uploads = [Upload(str(n), n.to_bytes(2, "big") * 5_000) for n in range(200)]
        results = results_by_id([result async for result in client.store(uploads)])
    assert len(results) == 200
    assert all(result.error is None for result in results.values())
    assert service.streams == 5
    assert len(service.stored) == 200


async def test_large_upload_resumes_at_the_persisted_size() -> None:
    service = ScriptedStorage()
    service.break_after_bytes = [6 << 20]
    content = bytes(range(256)) * (48 * 1024)
    async with serving(service) as client:
        (result,) = [result async for result in client.store([Upload("big", content)])]
    assert result.error is None
    assert list(service.stored.values()) == [content]
    assert service.received_bytes == len(content)


async def test_upload_turned_away_for_lack_of_room_comes_again() -> None:
    service = ScriptedStorage()
    turned_away = []

    def judge(content: bytes) -> Exception | None:
        if len(turned_away) < 3:
            turned_away.append(content)
            return Overloaded("too much in flight", retry_after_seconds=0.01)
        return None

    service.judge = judge
    async with serving(service) as client:
        (result,) = [result async for result in client.store([Upload("one", b"content")])]
    assert result.error is None
    assert len(turned_away) == 3


async def test_upload_is_not_sent_again_before_the_service_has_said_that_it_may_be() -> None:
    asked: list[float] = []

    def judge(content: bytes) -> Exception | None:
        asked.append(time.monotonic())
        return Unavailable("the disk failed", retry_after_seconds=0.3) if len(asked) < 3 else None

    service = ScriptedStorage()
    service.judge = judge
    async with serving(service) as client:
        (result,) = [result async for result in client.store([Upload("one", b"content")])]
    assert result.error is None
    assert all(later - earlier >= 0.29 for earlier, later in pairwise(asked))  # by itself after 5 and 10 ms


async def test_conflict_is_told_with_its_type() -> None:
    service = ScriptedStorage()
    service.judge = lambda content: Conflict("other pixels under the same UID", metadata={"quarantine": "q/1"})
    async with serving(service) as client:
        (result,) = [result async for result in client.store([Upload("one", b"content")])]
    assert isinstance(result.error, Conflict)
    assert result.error.metadata["quarantine"] == "q/1"


async def test_file_that_cannot_be_read_is_an_error_of_that_file_alone(tmp_path: Path) -> None:
    there = tmp_path / "there.dcm"
    there.write_bytes(b"content")
    service = ScriptedStorage()
    async with serving(service) as client:
        uploads = [Upload("missing", tmp_path / "missing.dcm"), Upload("there", there), Upload("folder", tmp_path)]
        results = results_by_id([result async for result in client.store(uploads)])
    assert isinstance(results["missing"].error, InvalidArgument)
    assert isinstance(results["folder"].error, InvalidArgument)
    assert results["there"].error is None


async def test_error_of_the_callers_iterator_comes_back_to_the_caller() -> None:
    async def uploads() -> AsyncIterator[Upload]:
        yield Upload("one", b"1")
        raise KeyError("the caller's own")

    async with serving(ScriptedStorage()) as client:
        with pytest.raises(KeyError, match="the caller's own"):
            async with asyncio.timeout(10):
                _ = [result async for result in client.store(uploads())]


async def test_caller_may_wait_for_an_answer_before_it_sends_the_next() -> None:
    answered = asyncio.Queue[str]()

    async def uploads() -> AsyncIterator[Upload]:
        for n in range(5):
            yield Upload(str(n), b"%d" % n)
            assert await answered.get() == str(n)

    async with serving(ScriptedStorage()) as client, asyncio.timeout(10):
        async for result in client.store(uploads()):
            answered.put_nowait(result.upload_id)


async def test_caller_may_stop_in_the_middle() -> None:
    async with serving(ScriptedStorage()) as client:
        results = client.store(Upload(str(n), b"%d" % n) for n in range(1000))
        async for _ in results:
            break
        await results.aclose()
    assert not [task for task in asyncio.all_tasks() if task.get_name().startswith("store-instances")]


async def test_storage_that_stays_away_is_unavailable_with_a_hint() -> None:
    patience = Patience(timedelta(milliseconds=5), timedelta(milliseconds=20), give_up_after=timedelta(milliseconds=60))
    async with open_channel("127.0.0.1:1") as channel:
        client = StorageClient(channel, patience=patience)
        with pytest.raises(Unavailable, match="imaging up"):
            _ = [result async for result in client.store([Upload("one", b"1")])]


async def test_broken_streams_leave_no_task_behind() -> None:
    service = ScriptedStorage()
    service.break_after_bytes = [300, 600]
    async with serving(service) as client:
        results = [result async for result in client.store(Upload(str(i), b"x" * 100) for i in range(12))]
        assert len(results_by_id(results)) == 12
        deadline = asyncio.get_running_loop().time() + 5
        while left := [task for task in asyncio.all_tasks() if "_consume_request" in repr(task.get_coro())]:
            assert asyncio.get_running_loop().time() < deadline, left
            await asyncio.sleep(0.01)
    assert service.streams == 3
