"""A running storage service on an S3 server that fails as it is told: a clear answer, and never a false one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from imaging.errors import DataLoss, ImagingError, StorageFull, Unavailable
from imaging.rpc.status import from_status
from tests.faults.index_snapshot import visible
from tests.faults.one_upload import answer_to, read_back
from tests.installation.storage_process import StorageProcess, storage_process
from tests.objectstore.scripted_s3 import BUCKET, ScriptedS3, scripted_s3
from tests.storage.storage_under_test import ct

pytestmark = pytest.mark.integration

SMALL = ct(sop="1.2.3.1.1")
LARGE = ct(sop="1.2.3.1.2", Rows=2200, Columns=2200, pixels=bytes(range(256)) * (2200 * 2200 * 2 // 256) + bytes(128))
REFUSED = {
    "InternalError:500": Unavailable,
    "SlowDown:503": Unavailable,
    "text": Unavailable,
    "drop": Unavailable,
    "wait": Unavailable,
    "damage": Unavailable,
    "AccessDenied:403": Unavailable,
    "InvalidAccessKeyId:403": Unavailable,
    "RequestTimeTooSkewed:403": Unavailable,
    "NoSuchBucket:404": Unavailable,
    "XMinioStorageFull:507": StorageFull,
    "QuotaExceeded:403": StorageFull,
}


@pytest.fixture
def server() -> Iterator[ScriptedS3]:
    with scripted_s3() as running:
        yield running


@pytest.fixture
def storage(server: ScriptedS3, tmp_path: Path) -> Iterator[StorageProcess]:
    for name in ("access", "secret"):
        (tmp_path / name).write_text(name)
        (tmp_path / name).chmod(0o600)
    settings = {
        "s3_endpoint": f"127.0.0.1:{server.server_port}",
        "s3_bucket": BUCKET,
        "s3_access_key_file": tmp_path / "access",
        "s3_secret_key_file": tmp_path / "secret",
        "s3_secure": "false",
        "s3_timeout_seconds": 0.5,
        "quiet_time_seconds": 3600,
    }
    with storage_process(tmp_path / "data", settings=settings) as running:
        yield running


async def test_what_the_server_refuses_is_refused_with_its_reason_and_nothing_is_visible(
    server: ScriptedS3, storage: StorageProcess
) -> None:
    for trouble, kind in REFUSED.items():
        for content in (SMALL, LARGE):
            server.always = dict.fromkeys(("PUT", "POST"), trouble)
            answer = await answer_to(storage, content)
            assert answer.HasField("rejected"), (trouble, answer)
            error = from_status(answer.rejected)
            assert type(error) is kind, (trouble, error)
            assert error.hint, trouble
            found = visible(storage.data_dir)
            assert (found.rows["instance"], found.rows["kept_object"], found.rows["change"]) == (0, 0, 0), trouble
            assert server.objects == {}, trouble
    server.always = {}
    for content in (SMALL, LARGE):
        answer = await answer_to(storage, content)
        assert answer.HasField("stored"), answer
        assert await read_back(storage, answer.stored.instance.name) == content
    assert sorted(server.objects.values(), key=len) == [SMALL, LARGE]


@pytest.mark.parametrize("trouble", ["lose", "drop", "InternalError:500"])
async def test_an_answer_that_is_lost_on_the_way_costs_no_second_object(
    server: ScriptedS3, storage: StorageProcess, trouble: str
) -> None:
    for method in ("PUT", "POST"):
        server.script[method].append(trouble)
    for content in (SMALL, LARGE):
        answer = await answer_to(storage, content)
        assert answer.HasField("stored"), answer
        assert await read_back(storage, answer.stored.instance.name) == content
    assert sorted(server.objects.values(), key=len) == [SMALL, LARGE]


async def test_reading_what_the_server_lost_is_data_loss_and_what_it_cannot_give_now_is_unavailable(
    server: ScriptedS3, storage: StorageProcess
) -> None:
    name = (await answer_to(storage, SMALL)).stored.instance.name
    (key,) = server.objects
    outcomes: list[type[ImagingError]] = []
    for trouble in ("InternalError:500", "wait", "drop", "AccessDenied:403", "cut"):
        server.always = dict.fromkeys(("GET", "HEAD"), trouble)
        with pytest.raises(ImagingError) as raised:
            await read_back(storage, name)
        outcomes.append(type(raised.value))
    server.always = {}
    assert outcomes == [Unavailable] * 5
    assert await read_back(storage, name) == SMALL
    server.buckets[BUCKET][key] = SMALL[:-1] + b"?"
    with pytest.raises(DataLoss):
        await read_back(storage, name)
    del server.buckets[BUCKET][key]
    with pytest.raises(DataLoss):
        await read_back(storage, name)
