"""One upload to a storage service in another process, and what may be said of its refusal."""

from __future__ import annotations

import asyncio
import time
from itertools import count

import grpc
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc

from imaging.errors import ImagingError
from imaging.rpc.status import from_status
from imaging.storage.v1 import storage_service_pb2 as pb
from tests.installation.storage_process import StorageProcess
from tests.storage.storage_under_test import calls_to, chunks, ct, whole

RECOVERY_SECONDS = 20
_numbers = count(1)


def small() -> bytes:
    """39 KB under a UID that was never used."""
    return ct(sop=f"1.2.3.1.{next(_numbers)}")


def large() -> bytes:
    """9.7 MB under a UID that was never used: it goes in chunks, and can be resumed."""
    return ct(sop=f"1.2.3.1.{next(_numbers)}", Rows=2200, Columns=2200, pixels=bytes(2200 * 2200 * 2))


async def answer_to(storage: StorageProcess, content: bytes, upload_id: str = "a") -> pb.StoreInstancesResponse:
    """Of an upload, whole or in chunks."""
    async with calls_to(storage.address) as calls:
        messages = [whole(upload_id, content)] if len(content) < 3_500_000 else chunks(upload_id, content)
        *_, answer = await calls.send(messages)
    return answer


async def read_back(storage: StorageProcess, name: str) -> bytes:
    """All bytes of a stored instance."""
    async with calls_to(storage.address) as calls:
        messages = await calls.stream("RetrieveInstances", name=name)
    return b"".join(message.data.content for message in messages)


def refusal(answer: pb.StoreInstancesResponse, kind: type[ImagingError]) -> ImagingError:
    """The error of a refused upload: of this kind, with a place, a hint, and when to come again."""
    assert answer.HasField("rejected"), answer
    error = from_status(answer.rejected)
    assert type(error) is kind, error
    assert error.where, error
    assert error.hint, error
    retry = error_details_pb2.RetryInfo()
    assert any(detail.Unpack(retry) for detail in answer.rejected.details), answer
    assert retry.retry_delay.ToMilliseconds() > 0
    return error


async def is_serving(storage: StorageProcess, name: str) -> bool:
    """What health checks say of a name."""
    async with grpc.aio.insecure_channel(storage.address) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        answer = await stub.Check(health_pb2.HealthCheckRequest(service=name), timeout=10)
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


async def until_serving(storage: StorageProcess, name: str, expected: bool) -> None:
    """Wait until health checks say so, for as long as a service may take to see it."""
    end = time.monotonic() + RECOVERY_SECONDS
    while await is_serving(storage, name) is not expected:
        assert time.monotonic() < end, f"{name} is not {expected} after {RECOVERY_SECONDS} s; {storage.log[-1000:]}"
        await asyncio.sleep(0.1)
