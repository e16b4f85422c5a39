"""Streams that keep no rule: each upload gets its own refusal, nothing waits for ever, nothing odd is stored."""

from __future__ import annotations

import asyncio
import uuid

import pytest
from sqlalchemy import select

from imaging.errors import ImagingError, InvalidArgument, LimitExceeded, Overloaded
from imaging.rpc.status import from_status
from imaging.storage.v1 import storage_pb2
from imaging.storage.v1 import storage_service_pb2 as pb
from storage_svc.schema import KEPT_OBJECT
from storage_svc.upload.stream import MAX_OPEN
from tests.storage.storage_under_test import Storage, chunks, ct, origin, whole

Request = pb.StoreInstancesRequest


def refusals(answers: list[pb.StoreInstancesResponse]) -> dict[str, ImagingError]:
    return {answer.upload_id: from_status(answer.rejected) for answer in answers if answer.HasField("rejected")}


async def test_more_uploads_opened_at_once_than_allowed_are_refused_and_the_others_go_on(storage: Storage) -> None:
    contents = {str(number): ct(sop=f"1.2.3.1.{number + 1}") for number in range(MAX_OPEN + 20)}
    headers = [Request(upload_id=id_, header=Request.Header(size_bytes=len(data))) for id_, data in contents.items()]
    rests = [
        Request(upload_id=id_, data=Request.Data(content=data), finish=Request.Finish())
        for id_, data in contents.items()
    ]
    async with asyncio.timeout(30):
        answers = await storage.send([*headers, *rests])
    refused = refusals(answers)
    assert set(refused) == {str(number) for number in range(MAX_OPEN, MAX_OPEN + 20)}
    assert {type(error) for error in refused.values()} == {Overloaded}
    assert {answer.upload_id for answer in answers if answer.HasField("stored")} == set(contents) - set(refused)


async def test_uploads_that_are_opened_and_never_finished_are_each_told_so(storage: Storage) -> None:
    headers = [Request(upload_id=str(number), header=Request.Header(size_bytes=9)) for number in range(1000)]
    async with asyncio.timeout(30):
        answers = await storage.send(headers)
    refused = refusals(answers)
    assert len(answers) == len(refused) == 1000
    assert sum(type(error) is InvalidArgument for error in refused.values()) == MAX_OPEN
    assert not list((storage.folder / "storage" / "objects" / ".spool").iterdir())


async def test_a_resumable_upload_that_ends_without_its_finish_is_told_so_and_goes_on(storage: Storage) -> None:
    content = ct() + b"\xfc\xff\xfc\xffOB\0\0" + (9 << 20).to_bytes(4, "little") + bytes(9 << 20)
    upload_id = str(uuid.uuid4())
    answers = await storage.send(chunks(upload_id, content)[:-1])
    assert "before the upload was finished" in str(refusals(answers)[upload_id])
    answers = await storage.send(chunks(upload_id, content, start=0))
    assert answers[-1].HasField("stored"), answers


@pytest.mark.parametrize("offset", [-100, 100])
async def test_a_whole_instance_starts_at_its_first_byte(storage: Storage, offset: int) -> None:
    content = ct()
    message = whole("a", content, size_bytes=len(content) + offset)
    message.data.offset = offset
    (answer,) = await storage.send([message])
    assert from_status(answer.rejected).where == "data.offset"


async def test_a_chunk_over_one_mebibyte_is_refused_with_the_limit(storage: Storage) -> None:
    answers = await storage.send(chunks("a", bytes(3 << 20), size=(1 << 20) + 1))
    error = refusals(answers)["a"]
    assert isinstance(error, LimitExceeded)
    assert "1048576" in error.text


@pytest.mark.parametrize(
    "header",
    [
        {"origin": storage_pb2.Origin(kind=77)},  # type: ignore[arg-type]  # of a newer contract
        {"origin": origin(run="r" * 10_000)},
        {"origin": origin(stage="s" * 10_000)},
        {"origin": origin(run="runs/1\0")},
        {"study_instance_uid": "1" * 100_000},
        {"sop_instance_uid": "../../x"},
    ],
)
async def test_a_header_with_what_cannot_be_is_refused_in_few_words(
    storage: Storage, header: dict[str, object]
) -> None:
    (answer,) = await storage.store(ct(), **header)
    assert isinstance(from_status(answer.rejected), InvalidArgument)
    assert answer.ByteSize() < 2000


async def test_a_null_character_in_the_source_spoils_nothing_for_those_that_store_at_the_same_time(
    storage: Storage,
) -> None:
    messages = [whole(str(number), ct(sop=f"1.2.3.1.{number}")) for number in range(6)]
    messages[3].header.source = "MODALITY\0\0"
    answers = await storage.send(messages)
    assert [answer.WhichOneof("outcome") for answer in answers] == ["stored"] * 6
    assert await storage.service._database.read(
        lambda connection: set(connection.execute(select(KEPT_OBJECT.c.source)).scalars())
    ) == {"", "MODALITY"}
