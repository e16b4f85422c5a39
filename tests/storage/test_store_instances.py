"""StoreInstances: one outcome an upload, whatever it is; nothing half-stored is ever visible."""

from __future__ import annotations

import asyncio
import resource
import uuid
from collections.abc import AsyncIterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydicom.data import get_testdata_files
from sqlalchemy import select

from imaging.errors import DeadlineExceeded, ImagingError, InvalidArgument, NotFound
from imaging.rpc.status import domain_errors, from_status
from imaging.storage.v1 import storage_pb2
from imaging.storage.v1 import storage_service_pb2 as pb
from storage_svc.schema import REJECTION, UPLOAD
from tests.database.databases import Databases
from tests.storage.storage_under_test import Storage, chunks, ct, encoded, origin, whole

STORED = storage_pb2.STORE_OUTCOME_STORED


def rejected(answer: pb.StoreInstancesResponse) -> ImagingError:
    assert answer.WhichOneof("outcome") == "rejected", answer
    return from_status(answer.rejected)


def large(megabytes: int = 12, sop: str = "1.2.3.1.9") -> bytes:
    data_set = pydicom.dcmread(BytesIO(ct(sop=sop)))
    rows = megabytes * 8
    data_set.Rows, data_set.Columns = rows, 65535
    data_set.PixelData = bytes(range(256)) * (rows * 65535 * 2 // 256) + bytes(rows * 65535 * 2 % 256)
    return encoded(data_set)


def wheel_files() -> list[bytes]:
    files = [Path(name) for name in get_testdata_files() if "DICOMDIR" not in name]
    return [file.read_bytes() for file in files if file.is_file() and file.stat().st_size < 3_500_000]


async def test_an_instance_is_stored_and_comes_back_bit_exact(storage: Storage) -> None:
    content = ct()
    stored = await storage.store_one(content)
    assert stored.outcome == STORED
    assert stored.instance.name == "studies/1.2.3/series/1.2.3.1/instances/1.2.3.1.1"
    (message,) = await storage.stream("RetrieveInstances", name=stored.instance.name)
    assert message.data.content == content
    assert message.finish.object_crc32c == stored.instance.object_crc32c


async def test_every_file_of_the_pydicom_wheel_is_stored_bit_exact_or_rejected_with_a_reason(storage: Storage) -> None:
    contents = wheel_files()
    answers = await storage.store(*contents)
    kept = 0
    for content, answer in zip(contents, answers, strict=True):
        if answer.HasField("stored"):
            stored = answer.stored
            (message,) = await storage.stream("RetrieveInstances", name=stored.instance.name)
            if message.header.instance.version == 1 and stored.outcome == STORED:
                assert message.data.content == content
                kept += 1
        else:
            error = rejected(answer)
            assert error.reason != "INTERNAL"
            assert error.text
    assert kept > 60


async def test_the_stream_goes_on_after_a_rejected_upload(storage: Storage) -> None:
    answers = await storage.store(b"", ct(sop="1.2.3.1.1"), b"\0" * 200, ct(sop="1.2.3.1.2")[:-50], ct(sop="1.2.3.1.3"))
    assert [answer.WhichOneof("outcome") for answer in answers] == [
        "rejected",
        "stored",
        "rejected",
        "rejected",
        "stored",
    ]
    assert [rejected(answers[i]).reason for i in (0, 2, 3)] == ["NOT_DICOM", "NOT_DICOM", "TRUNCATED_DICOM"]
    study = (await storage.call("GetStudy", name="studies/1.2.3")).study
    assert study.instance_count == 2


async def test_a_file_cut_anywhere_is_rejected_and_invisible(storage: Storage) -> None:
    content = ct()
    cuts = [content[: len(content) * n // 24] for n in range(24)]
    assert all(rejected(answer).reason for answer in await storage.store(*cuts))
    with pytest.raises(NotFound):
        await storage.call("GetStudy", name="studies/1.2.3")
    assert not list((storage.folder / "storage" / "objects").rglob("*.dcm"))


async def test_a_rejection_leaves_an_audit_row_without_content(storage: Storage) -> None:
    await storage.store(ct()[:500], source="STATION-1")
    rows = await storage.service._database.read(lambda c: c.execute(select(REJECTION)).mappings().all())
    assert [(row["reason"], row["source"], row["size_bytes"]) for row in rows] == [
        ("TRUNCATED_DICOM", "STATION-1", 500)
    ]


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        ({"object_crc32c": 1}, "CHECKSUM_MISMATCH"),
        ({"size_bytes": 5}, "CHECKSUM_MISMATCH"),
        ({"size_bytes": 2**33}, "LIMIT_EXCEEDED"),
        ({"size_bytes": -1}, "INVALID_ARGUMENT"),
        ({"study_instance_uid": "1.2.4"}, "INSTANCE_MISMATCH"),
        ({"sop_instance_uid": "1.2.4"}, "INSTANCE_MISMATCH"),
        ({"sop_class_uid": "1.2.840.10008.5.1.4.1.1.4"}, "INSTANCE_MISMATCH"),
        ({"origin": storage_pb2.Origin(kind=storage_pb2.Origin.KIND_DERIVED)}, "INVALID_ARGUMENT"),
    ],
)
async def test_what_differs_from_its_header_is_rejected(storage: Storage, header: dict[str, Any], reason: str) -> None:
    (answer,) = await storage.store(ct(), **header)
    assert rejected(answer).reason == reason


async def test_a_chunk_with_a_wrong_checksum_is_rejected(storage: Storage) -> None:
    message = whole("a", ct())
    message.data.crc32c = 1
    (answer,) = await storage.send([message])
    assert rejected(answer).reason == "CHECKSUM_MISMATCH"


@pytest.mark.parametrize("upload_id", ["", "x" * 129])
async def test_an_upload_without_a_usable_id_is_rejected(storage: Storage, upload_id: str) -> None:
    (answer,) = await storage.send([whole(upload_id, ct())])
    assert isinstance(rejected(answer), InvalidArgument)


async def test_data_without_a_header_is_rejected(storage: Storage) -> None:
    answers = await storage.send([*chunks("a", ct())[1:], whole("b", ct())])
    assert rejected(next(answer for answer in answers if answer.upload_id == "a"))
    assert next(answer for answer in answers if answer.upload_id == "b").HasField("stored")


@pytest.mark.parametrize("size", [1000, 1 << 20])
async def test_chunks_of_interleaved_uploads_find_their_own(storage: Storage, size: int) -> None:
    one, other = ct(sop="1.2.3.1.1"), ct(sop="1.2.3.1.2")
    mixed = [
        message
        for pair in zip(chunks("a", one, size=size), chunks("b", other, size=size), strict=True)
        for message in pair
    ]
    answers = await storage.send(mixed)
    assert {answer.stored.instance.sop_instance_uid for answer in answers} == {"1.2.3.1.1", "1.2.3.1.2"}


async def test_a_gap_between_chunks_is_rejected(storage: Storage) -> None:
    messages = chunks("a", ct(), size=10_000)
    del messages[2]
    (answer,) = await storage.send(messages)
    assert rejected(answer).reason == "CHECKSUM_MISMATCH"


async def test_a_replayed_chunk_is_no_harm_and_other_bytes_at_its_place_are_refused(storage: Storage) -> None:
    messages = chunks("a", ct(), size=10_000)
    messages.insert(3, messages[2])
    (answer,) = await storage.send(messages)
    assert answer.HasField("stored")
    messages = chunks("b", ct(sop="1.2.3.1.2"), size=10_000)
    forged = pb.StoreInstancesRequest.FromString(messages[2].SerializeToString())
    forged.data.content = bytes(len(forged.data.content))
    forged.data.ClearField("crc32c")
    messages.insert(3, forged)
    (answer,) = await storage.send(messages)
    assert rejected(answer).reason == "CHECKSUM_MISMATCH"


async def test_the_finish_may_tell_the_size_that_the_header_does_not_know(storage: Storage) -> None:
    content = ct()
    messages = chunks("a", content, size=10_000, size_bytes=0, size_follows=True)
    messages[-1].finish.size_bytes = len(content)
    (answer,) = await storage.send(messages)
    assert answer.stored.instance.size_bytes == len(content)
    messages = chunks("b", ct(sop="1.2.3.1.2"), size=10_000, size_bytes=0, size_follows=True)
    messages[-1].finish.size_bytes = len(content) - 2
    (answer,) = await storage.send(messages)
    assert rejected(answer).reason == "CHECKSUM_MISMATCH"
    (answer,) = await storage.send([whole("c", ct(sop="1.2.3.1.3"), size_follows=True)])
    assert rejected(answer).reason == "INVALID_ARGUMENT"


async def test_an_instance_as_announced_is_stored(storage: Storage) -> None:
    header = {
        "study_instance_uid": "1.2.3",
        "sop_instance_uid": "1.2.3.1.1",
        "sop_class_uid": "1.2.840.10008.5.1.4.1.1.2",
    }
    assert (await storage.store_one(ct(), **header)).outcome == STORED


async def test_an_upload_without_its_finish_is_not_stored(storage: Storage) -> None:
    (answer,) = await storage.send(chunks("a", ct())[:-1])
    assert "ended before" in str(rejected(answer))
    with pytest.raises(NotFound):
        await storage.call("GetStudy", name="studies/1.2.3")
    assert not list((storage.folder / "storage" / "objects" / ".spool").iterdir())


@pytest.mark.parametrize("cut", [0, 1, 3, 7, 12])
async def test_resume_continues_at_what_came_wherever_the_stream_broke(
    storage: Storage, monkeypatch: pytest.MonkeyPatch, cut: int
) -> None:
    monkeypatch.setattr("storage_svc.upload.stream.PERSIST_BYTES", 3 << 20)
    content, upload_id = large(12), str(uuid.uuid4())
    first = await storage.send(chunks(upload_id, content)[: cut + 1])
    assert first[0].ready.persisted_size_bytes == 0
    persisted = max([0, *(answer.progress.persisted_size_bytes for answer in first)])
    assert persisted == cut // 3 * (3 << 20)
    again = await storage.send(chunks(upload_id, content, start=cut << 20))
    assert again[0].ready.persisted_size_bytes == cut << 20
    assert again[-1].stored.outcome == STORED
    messages = await storage.stream("RetrieveInstances", name=again[-1].stored.instance.name)
    assert b"".join(message.data.content for message in messages) == content
    assert not list((storage.folder / "storage" / "objects" / ".spool").iterdir())


async def test_a_resumable_upload_survives_a_restart(start: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("storage_svc.upload.stream.PERSIST_BYTES", 4 << 20)
    storage = await start()
    content, upload_id = large(12), str(uuid.uuid4())
    await storage.send(chunks(upload_id, content)[:7])
    await start.stop(storage)
    storage = await start()
    ready, *_, last = await storage.send(chunks(upload_id, content, start=4 << 20))
    assert ready.ready.persisted_size_bytes == 6 << 20  # two chunks come again, and change nothing
    assert last.stored.outcome == STORED
    assert await storage.service._database.read(lambda c: c.execute(select(UPLOAD)).all()) == []


async def test_another_size_under_a_known_upload_id_is_refused(storage: Storage) -> None:
    upload_id = str(uuid.uuid4())
    await storage.send(chunks(upload_id, large(12))[:3])
    (answer,) = await storage.send(chunks(upload_id, large(13)))
    assert rejected(answer).reason == "FAILED_PRECONDITION"


async def test_a_sender_that_comes_back_takes_its_upload_over(storage: Storage) -> None:
    content, upload_id = large(12), str(uuid.uuid4())
    go_on = asyncio.Event()

    async def stuck() -> AsyncIterator[pb.StoreInstancesRequest]:
        for message in chunks(upload_id, content)[:5]:
            yield message
        await go_on.wait()

    old = storage.stub.StoreInstances(stuck())
    assert (await old.read()).ready.persisted_size_bytes == 0
    *_, last = await storage.send(chunks(upload_id, content))
    assert last.stored.outcome == STORED
    go_on.set()
    old.cancel()


async def test_an_upload_that_is_sent_again_while_it_is_being_stored_cannot_touch_what_is_stored(
    storage: Storage,
) -> None:
    content, upload_id = large(12), str(uuid.uuid4())
    forged = content[:-1] + bytes([content[-1] ^ 1])
    outcomes = await asyncio.gather(
        *(storage.send(chunks(upload_id, forged if n == 2 else content)) for n in range(5)), return_exceptions=True
    )
    answers = [answer for outcome in outcomes if isinstance(outcome, list) for answer in outcome]
    stored = [answer for answer in answers if answer.HasField("stored")]
    assert stored
    messages = await storage.stream("RetrieveInstances", name=stored[0].stored.instance.name)
    assert b"".join(message.data.content for message in messages) in (content, forged)


async def test_a_stream_on_which_nothing_comes_is_ended_and_its_spool_is_freed(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("storage_svc.upload.stream.IDLE_SECONDS", 0.1)
    call = storage.stub.StoreInstances()
    await call.write(chunks("a", ct())[0])
    with pytest.raises(DeadlineExceeded), domain_errors():
        await call.read()
    assert not any((storage.folder / "storage" / "objects" / ".spool").iterdir())


async def test_a_bare_data_set_is_kept_as_part_10_when_its_syntax_is_told(storage: Storage) -> None:
    content = ct()
    start = content.index(b"\x08\x00\x05\x00", 132)
    bare = content[start:]
    (answer,) = await storage.store(bare)
    assert rejected(answer).reason == "NOT_DICOM"
    syntax = pydicom.dcmread(BytesIO(content)).file_meta.TransferSyntaxUID
    stored = await storage.store_one(bare, headerless_transfer_syntax_uid=syntax)
    (message,) = await storage.stream("RetrieveInstances", name=stored.instance.name)
    assert message.data.content.endswith(bare)
    assert message.data.content[128:132] == b"DICM"
    assert (await storage.store_one(content)).outcome == storage_pb2.STORE_OUTCOME_ALREADY_STORED
    (spooled,) = await storage.send(chunks("x", bare, headerless_transfer_syntax_uid=syntax))
    assert spooled.stored.outcome == storage_pb2.STORE_OUTCOME_ALREADY_STORED


async def test_more_uploads_than_fit_into_the_budget_all_get_through(start: Any) -> None:
    storage = await start(bytes_in_flight=8 << 20)
    contents = [ct(sop=f"1.2.3.1.{n + 1}", PatientComments="x" * 60_000) for n in range(150)]
    answers = await storage.store(*contents)
    assert all(answer.stored.outcome == STORED for answer in answers)
    assert (await storage.call("GetStudy", name="studies/1.2.3")).study.instance_count == 150


async def test_sixteen_writers_of_one_study_make_one_study_and_lose_nothing(storage: Storage) -> None:
    async def write(number: int) -> list[pb.StoreInstancesResponse]:
        return await storage.store(*(ct(series=f"1.2.3.{k % 4 + 1}", sop=f"1.2.3.{k}.{number}") for k in range(1, 7)))

    answers = [answer for part in await asyncio.gather(*map(write, range(1, 17))) for answer in part]
    assert all(answer.stored.outcome == STORED for answer in answers)
    studies = (await storage.call("SearchStudies")).studies
    assert [(study.instance_count, study.series_count) for study in studies] == [(96, 4)]
    assert studies[0].size_bytes == sum(answer.stored.instance.size_bytes for answer in answers)
    changes = await storage.changes(count=96)
    assert [change.revision for change in changes] == list(range(1, 97))


async def test_many_writers_of_one_uid_store_it_once(storage: Storage) -> None:
    content = ct()
    answers = [answer for part in await asyncio.gather(*(storage.store(content) for _ in range(16))) for answer in part]
    outcomes = sorted(answer.stored.outcome for answer in answers)
    assert outcomes == [STORED] + [storage_pb2.STORE_OUTCOME_ALREADY_STORED] * 15
    assert len(list((storage.folder / "storage" / "objects" / "studies").rglob("*.dcm"))) == 1


async def test_a_sender_that_goes_away_leaves_no_open_study_behind(storage: Storage) -> None:
    call = storage.stub.StoreInstances()
    await call.write(chunks("a", ct())[0])
    await call.write(chunks("a", ct())[1])
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call.read()
    await storage.store(ct(sop="1.2.3.1.2"))
    for _ in range(100):
        if "1.2.3" not in storage.service._completion._open_uploads:
            break
        await asyncio.sleep(0.02)
    assert (await storage.complete("1.2.3")).version == 1


async def test_an_older_attempt_of_a_stage_can_store_nothing_more(storage: Storage) -> None:
    await storage.store_one(ct(sop="1.2.3.1.1"), origin=origin(attempt=1))
    await storage.store_one(ct(sop="1.2.3.1.2"), origin=origin(attempt=2))
    (answer,) = await storage.store(ct(sop="1.2.3.1.3"), origin=origin(attempt=1))
    assert rejected(answer).reason == "STALE_ATTEMPT"
    (answer,) = await storage.store(ct(sop="1.2.3.1.1"), origin=origin(attempt=1))
    assert rejected(answer).reason == "STALE_ATTEMPT"
    assert (await storage.store_one(ct(sop="1.2.3.1.4"), origin=origin(stage="other", attempt=1))).outcome == STORED


async def test_a_full_disk_rejects_as_storage_full_and_records_nothing(storage: Storage) -> None:
    process = storage.service._intake._process
    assert process is not None
    unlimited = resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
    (answer,) = await storage.store(ct())
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, unlimited)
    assert rejected(answer).reason == "STORAGE_FULL"
    with pytest.raises(NotFound):
        await storage.call("GetStudy", name="studies/1.2.3")
    assert (await storage.store_one(ct())).outcome == STORED


async def test_a_full_database_rejects_as_storage_full_and_leaves_no_object_to_fill_the_disk(
    storage: Storage, databases: Databases
) -> None:
    write = storage.service._database.write
    await write(lambda connection: databases.take_room(connection, "kept_object"))
    answers = await storage.store(*(ct(sop=f"1.2.3.1.{number}", PatientComments="x" * 10_000) for number in range(64)))
    full = [answer for answer in answers if answer.HasField("rejected")]
    assert full
    assert {rejected(answer).reason for answer in full} == {"STORAGE_FULL"}
    objects = list((storage.folder / "storage" / "objects" / "studies").rglob("*.dcm"))
    assert len(objects) == len(answers) - len(full)
    await write(lambda connection: databases.give_room(connection, "kept_object"))
    assert (await storage.store_one(ct(sop="1.2.3.1.100"))).outcome == STORED


async def test_the_deliberate_bug_acknowledges_before_anything_is_durable(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IMAGING_TEST_BUG", "acknowledge-before-commit")
    monkeypatch.setattr("storage_svc.ingest.ingest._BUG_DELAY_SECONDS", 2.0)
    assert (await storage.store_one(ct())).outcome == STORED
    with pytest.raises(NotFound):
        await storage.call("GetStudy", name="studies/1.2.3")


async def test_a_file_with_hostile_texts_is_stored_and_its_preamble_is_flagged(storage: Storage) -> None:
    content = bytearray(ct(PatientName="<script>{{7*7}}\x1b[31m%s%n", InstanceNumber="7"))
    content[:2] = b"MZ"
    stored = await storage.store_one(bytes(content))
    assert any("PREAMBLE" in warning for warning in stored.instance.warnings)
