"""The storage service with its objects on a real S3 server, also while that server is away."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from datetime import timedelta
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any, TypeVar

import google_crc32c
import pytest

from imaging.errors import FailedPrecondition, Unavailable
from imaging.rpc.status import from_status
from imaging.storage.v1 import storage_pb2
from imaging.storage.v1 import storage_service_pb2 as pb
from tests.database.databases import Databases
from tests.objectstore.s3_servers import ACCESS_KEY, SECRET_KEY, SERVERS, S3Server, program
from tests.storage.storage_under_test import Storage, chunks, ct

STORED = storage_pb2.StoreOutcome.STORE_OUTCOME_STORED
Start = Callable[..., Awaitable[Storage]]
T = TypeVar("T")


@pytest.fixture(scope="module", params=SERVERS)
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    needed, run = SERVERS[request.param]
    if program(needed) is None:
        pytest.skip(f"the program `{needed}` is not installed, so the storage service is not tried on {request.param}")
    with run(tmp_path_factory.mktemp(request.param)) as running:
        yield running


@pytest.fixture
def on_s3(server: S3Server, tmp_path: Path, request: pytest.FixtureRequest) -> dict[str, Any]:
    """The settings of a bucket of its own."""
    for name, key in (("access", ACCESS_KEY), ("secret", SECRET_KEY)):
        (tmp_path / name).write_text(key)
        (tmp_path / name).chmod(0o600)
    return {
        "s3_endpoint": f"127.0.0.1:{server.port}",
        "s3_bucket": f"test-{google_crc32c.value(request.node.name.encode()):08x}",
        "s3_access_key_file": tmp_path / "access",
        "s3_secret_key_file": tmp_path / "secret",
        "s3_secure": False,
    }


async def retrieved(storage: Storage, name: str) -> bytes:
    """An instance as it is retrieved."""
    messages = await storage.stream("RetrieveInstances", name=name)
    return b"".join(message.data.content for message in messages)


async def at_last(attempt: Callable[[], Awaitable[T]]) -> T:
    """The answer once the S3 server, which has just been started again, is in full work; it says 5xx for a while."""
    for _ in range(60):
        with suppress(Unavailable):
            return await attempt()
        await asyncio.sleep(0.25)
    return await attempt()


async def _sent_in_chunks(storage: Storage, content: bytes) -> pb.StoreInstancesResponse.Stored:
    *_, answer = await storage.send(chunks("large", content))
    if answer.HasField("rejected"):
        raise from_status(answer.rejected)
    return answer.stored


async def test_instances_small_and_large_are_stored_and_come_back(start: Start, on_s3: dict[str, Any]) -> None:
    storage = await start(**on_s3)
    small = [ct(sop=f"1.2.3.1.{number}") for number in range(1, 21)]
    answers = await storage.store(*small)
    assert {answer.stored.outcome for answer in answers} == {STORED}
    large = ct(sop="1.2.3.1.99", Rows=3000, Columns=3500, pixels=bytes(range(250)) * (3000 * 3500 * 2 // 250))
    *_, answer = await storage.send(chunks("large", large))
    assert answer.stored.outcome == STORED
    for content, stored in zip([*small, large], [*answers, answer], strict=True):
        assert await retrieved(storage, stored.stored.instance.name) == content
    frames = await storage.stream("RetrieveFrames", series="studies/1.2.3/series/1.2.3.1")
    assert sum(message.HasField("finish") for message in frames) == 21
    files = [path for path in (storage.folder / "storage").rglob("*") if path.is_file()]
    assert not [path for path in files if path.suffix == ".dcm" or path.stat().st_size == len(large)]


async def test_after_a_restart_all_is_there_and_deleted_objects_leave_the_bucket(
    start: Any, server: S3Server, on_s3: dict[str, Any]
) -> None:
    storage = await start(**on_s3, delete_grace_days=0)
    stored = await storage.store_one(ct())
    await start.stop(storage)
    storage = await start(storage.folder, **on_s3, delete_grace_days=0)
    assert await retrieved(storage, stored.instance.name) == ct()
    listed = list(server.client().list_objects(on_s3["s3_bucket"], prefix="studies/", recursive=True))
    assert len(listed) == 1
    await storage.call("DeleteStudy", name="studies/1.2.3")
    await storage.service.sweeper.sweep()
    assert not list(server.client().list_objects(on_s3["s3_bucket"], prefix="studies/", recursive=True))


async def test_a_lost_data_folder_is_not_missed_but_for_the_index_in_it(
    start: Any, databases: Databases, on_s3: dict[str, Any]
) -> None:
    storage = await start(**on_s3)
    stored = await storage.store_one(ct())
    await start.stop(storage)
    shutil.rmtree(storage.folder)
    if databases.server is None:
        with pytest.raises(FailedPrecondition, match="belongs to another database"):
            await start(storage.folder, **on_s3)
        return
    storage = await start(storage.folder, **on_s3)
    assert await retrieved(storage, stored.instance.name) == ct()
    assert (await storage.store_one(ct(sop="1.2.3.1.2"))).outcome == STORED


async def test_a_new_database_does_not_take_over_a_used_bucket(
    start: Any, on_s3: dict[str, Any], tmp_path: Path
) -> None:
    storage = await start(**on_s3)
    stored = await storage.store_one(ct())
    await start.stop(storage)
    with pytest.raises(FailedPrecondition, match="belongs to another database"):
        await start(tmp_path / "other", **on_s3)
    storage = await start(storage.folder, **on_s3)
    assert await retrieved(storage, stored.instance.name) == ct()


async def test_a_database_with_objects_is_not_served_from_another_bucket(
    start: Any, server: S3Server, on_s3: dict[str, Any], tmp_path: Path
) -> None:
    storage = await start(**on_s3)
    stored = await storage.store_one(ct())
    await start.stop(storage)
    new = f"{on_s3['s3_bucket']}-new"
    with pytest.raises(FailedPrecondition, match="is empty, but the database knows objects"):
        await start(storage.folder, **on_s3 | {"s3_bucket": new})
    assert not server.client().bucket_exists(new)
    others = f"{on_s3['s3_bucket']}-others"
    await start(tmp_path / "other", **on_s3 | {"s3_bucket": others})
    with pytest.raises(FailedPrecondition, match="belongs to another database"):
        await start(storage.folder, **on_s3 | {"s3_bucket": others})
    storage = await start(storage.folder, **on_s3)
    assert await retrieved(storage, stored.instance.name) == ct()


async def test_while_the_server_is_killed_nothing_is_said_to_be_stored_that_is_not(
    start: Start, server: S3Server, on_s3: dict[str, Any]
) -> None:
    storage = await start(**on_s3, s3_timeout_seconds=5)
    contents = [ct(sop=f"1.2.3.1.{number}", pixels=bytes([number % 256]) * 32768) for number in range(1, 61)]

    async def kill_soon() -> None:
        await storage.changes(count=1)  # the first is stored, the others are on their way
        await asyncio.to_thread(server.kill)

    killing = asyncio.create_task(kill_soon())
    answers = await storage.store(*contents)
    await killing
    with pytest.raises(Unavailable):
        await storage.store_one(ct(sop="1.2.3.1.99"))
    refused = [answer for answer in answers if answer.HasField("rejected")]
    assert {type(from_status(answer.rejected)) for answer in refused} <= {Unavailable}, refused[:3]
    assert await asyncio.to_thread(server.start)
    for content, answer in zip(contents, answers, strict=True):
        if answer.HasField("stored"):
            name = answer.stored.instance.name
            assert await at_last(partial(retrieved, storage, name)) == content
    again = [await at_last(partial(storage.store_one, content)) for content in contents]
    for content, stored in zip(contents, again, strict=True):
        assert await at_last(partial(retrieved, storage, stored.instance.name)) == content


async def test_a_large_upload_goes_on_when_the_server_is_back(
    start: Start, server: S3Server, on_s3: dict[str, Any]
) -> None:
    storage = await start(**on_s3)
    large = ct(sop="1.2.3.1.98", Rows=3000, Columns=3500, pixels=bytes(3000 * 3500 * 2))
    server.kill()
    *_, answer = await storage.send(chunks("large", large))
    assert isinstance(from_status(answer.rejected), Unavailable)
    assert await asyncio.to_thread(server.start)
    stored = await at_last(partial(_sent_in_chunks, storage, large))
    assert await at_last(partial(retrieved, storage, stored.instance.name)) == large


async def test_quarantined_instances_are_accepted_and_discarded_on_s3(
    start: Start, server: S3Server, on_s3: dict[str, Any]
) -> None:
    storage = await start(**on_s3)
    stored = await storage.store_one(ct())
    other = [ct(pixels=bytes([number]) * (128 * 128 * 2)) for number in range(2)]
    await storage.store(other[0])
    await storage.store(other[1])
    first, second = (await storage.admin("ListQuarantinedInstances")).quarantined_instances
    messages = await storage.admin("ReadObject", name=first.name)
    assert b"".join(message.data.content for message in messages) == other[1]
    assert (await storage.admin("AcceptQuarantinedInstance", name=first.name)).instance.version == 2
    assert await retrieved(storage, stored.instance.name) == other[1]
    await storage.admin("DiscardQuarantinedInstance", name=second.name)
    assert len(list(server.client().list_objects(on_s3["s3_bucket"], prefix="studies/", recursive=True))) == 2
    version = f"{stored.instance.name}/versions/1"
    assert (await storage.admin("RestoreInstanceVersion", name=version)).instance.version == 1
    assert await retrieved(storage, stored.instance.name) == ct()


async def test_only_what_nothing_names_is_swept_from_the_bucket(
    start: Start, server: S3Server, on_s3: dict[str, Any]
) -> None:
    storage = await start(**on_s3)
    stored = await storage.store_one(ct())
    await storage.store(ct(pixels=bytes(128 * 128 * 2)))
    key = "studies/1.2.3/1.2.3.1/1.2_a.dcm"
    server.client().put_object(on_s3["s3_bucket"], key, BytesIO(b"123"), 3)
    for dry_run in (True, False):
        *_, last = await storage.admin("SweepStorage", dry_run=dry_run)
        assert (last.report.object_count, last.report.orphan_count, last.report.young_count) == (3, 0, 1)
    assert await storage.service.sweeper.remove_orphans(timedelta(0)) == 1
    listed = list(server.client().list_objects(on_s3["s3_bucket"], prefix="studies/", recursive=True))
    assert len(listed) == 2
    assert key not in {item.object_name for item in listed}
    assert await retrieved(storage, stored.instance.name) == ct()
