"""Metadata of whole series: kept in segments behind the acknowledgement, right before, during and after that."""

from __future__ import annotations

import asyncio
import gzip
import json
import shutil
import zlib
from collections.abc import Iterable, Sequence
from typing import Any

import pytest
from sqlalchemy import delete, func, select

from imaging.client.metadata import Metadata
from imaging.client.storage import StorageClient
from imaging.dicom.json_model import JsonModels
from imaging.errors import DataLoss, NotFound
from imaging.storage.v1 import storage_service_pb2 as pb
from storage_svc.metadata import segment
from storage_svc.metadata.builder import SegmentBuilder
from storage_svc.metadata.segment_rows import SeriesKey, list_segments
from storage_svc.schema import METADATA_SEGMENT
from tests.storage.storage_under_test import Storage, ct, file_bytes

Format = pb.RetrieveMetadataRequest
SERIES = SeriesKey("1.2.3", "1.2.3.1")
NAME = "studies/1.2.3/series/1.2.3.1"


def slices(numbers: Iterable[int], **values: Any) -> list[bytes]:
    return [ct(sop=f"1.2.3.1.{number}", InstanceNumber=number, **values) for number in numbers]


async def metadata(storage: Storage, name: str = NAME, **wanted: Any) -> Metadata:
    return await StorageClient(storage.channel).retrieve_metadata(name, **wanted)


def numbers(found: Metadata) -> list[int]:
    return [model["00200013"]["Value"][0] for model in found.models()]


async def segments(storage: Storage, series: SeriesKey = SERIES) -> list[int]:
    """How many instances each segment of a series holds."""
    listings = await storage.service._database.read(lambda connection: list_segments(connection, series))
    return sorted((len(listing.entries) for listing in listings.values()), reverse=True)


async def kept_segments(storage: Storage) -> int:
    query = select(func.count()).select_from(METADATA_SEGMENT)
    count: int = await storage.service._database.read(lambda connection: connection.execute(query).scalar_one())
    return count


@pytest.fixture(autouse=True)
def by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """Segments are written when a test says so."""
    monkeypatch.setattr(SegmentBuilder, "run", lambda self: asyncio.Event().wait())


@pytest.fixture
def small_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("segment", "pieces", "series_plan"):
        monkeypatch.setattr(f"storage_svc.metadata.{module}.SEGMENT_INSTANCES", 4)


async def test_the_answer_is_the_same_before_and_after_segments_are_written(
    storage: Storage, small_segments: None
) -> None:
    await storage.store(*slices([7, 3, 9, 1, 10, 2, 8, 4, 6, 5]))
    before = await metadata(storage)
    assert await segments(storage) == []
    await storage.service.segments.catch_up()
    assert await segments(storage) == [4, 4, 2]
    after = await metadata(storage)
    assert numbers(before) == list(range(1, 11))
    assert after.json() == before.json()
    assert after.etag == before.etag
    assert not after.warnings


async def test_each_model_is_that_of_its_header(storage: Storage) -> None:
    files = {"CT_small.dcm", "MR_small_bigendian.dcm", "image_dfl.dcm", "test-SR.dcm", "rtplan.dcm", "reportsi.dcm"}
    stored = [await storage.store_one(file_bytes(name)) for name in sorted(files)]
    await storage.service.segments.catch_up()
    for one in stored:
        name = one.instance.name
        (header,) = await storage.stream("RetrieveMetadata", name=name)
        expected = JsonModels().model(header.content, header.transfer_syntax_uid)
        assert (await metadata(storage, name)).json() == b"[" + expected.content + b"]"
        assert (await metadata(storage, name.rpartition("/instances/")[0])).json() == b"[" + expected.content + b"]"
        (message,) = await storage.stream("RetrieveMetadata", name=name, format=Format.FORMAT_DICOM_JSON)
        assert message.content == expected.content


async def test_the_stream_is_one_gzip_member_as_browsers_need_it(storage: Storage, small_segments: None) -> None:
    await storage.store(*slices(range(1, 12)), ct(series="1.2.3.2", sop="1.2.3.2.1"))
    await storage.service.segments.catch_up()
    answer = await metadata(storage, "studies/1.2.3")
    reader = zlib.decompressobj(16 + zlib.MAX_WBITS)
    content = reader.decompress(answer.compressed)
    assert reader.eof
    assert reader.unused_data == b""
    assert content == gzip.decompress(answer.compressed) == answer.json()
    assert len(json.loads(content)) == 12


async def test_a_restarted_service_answers_without_the_objects(start: Any, small_segments: None) -> None:
    storage = await start()
    await storage.store(*slices(range(1, 10)))
    before = await metadata(storage)
    headers = await storage.stream("RetrieveMetadata", name=NAME, many_per_message=True)
    await storage.service.segments.catch_up()
    await start.stop(storage)
    shutil.rmtree(storage.folder / "storage" / "objects" / "studies")
    storage = await start(storage.folder)
    assert (await metadata(storage)).json() == before.json()
    assert await storage.stream("RetrieveMetadata", name=NAME, many_per_message=True) == headers


async def test_what_was_not_written_when_the_service_ended_is_written_by_the_next(start: Any) -> None:
    storage = await start()
    await storage.store(*slices(range(1, 4)))
    await storage.service.segments.catch_up()
    await storage.store(*slices(range(4, 7)))
    await start.stop(storage)
    storage = await start(storage.folder)
    await storage.service.segments.catch_up()
    assert await segments(storage) == [6]
    assert numbers(await metadata(storage)) == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("reason", ["quiet", "many", "read"])
async def test_segments_are_written_in_the_background(start: Any, monkeypatch: pytest.MonkeyPatch, reason: str) -> None:
    monkeypatch.undo()  # of `by_hand`
    monkeypatch.setattr("storage_svc.metadata.builder.QUIET_SECONDS", 0.1 if reason == "quiet" else 3600)
    monkeypatch.setattr("storage_svc.metadata.builder.MANY", 4 if reason == "many" else 1000)
    storage = await start()
    await storage.store(*slices(range(1, 5)))
    if reason == "read":
        assert numbers(await metadata(storage)) == [1, 2, 3, 4]
    async with asyncio.timeout(20):
        while await segments(storage) != [4]:  # noqa: ASYNC110 - another task writes them to the database
            await asyncio.sleep(0.02)


async def test_a_series_that_is_read_before_its_changes_are_noted_is_written_at_once(storage: Storage) -> None:
    await storage.store(*slices(range(1, 5)))
    await metadata(storage)  # hints
    await storage.service.segments._work(all_of_it=False)
    assert await segments(storage) == [4]


async def test_slices_that_arrive_in_stripes_end_in_full_segments_in_order(
    storage: Storage, small_segments: None
) -> None:
    for first in (1, 2, 3):
        await storage.store(*slices(range(first, 31, 3)))
        await storage.service.segments.catch_up()
    assert sum(await segments(storage)) == 30
    assert len(await segments(storage)) <= 9
    assert numbers(await metadata(storage)) == list(range(1, 31))


async def test_slices_that_trickle_in_do_not_end_in_many_small_segments(storage: Storage, small_segments: None) -> None:
    for number in range(1, 10):
        await storage.store(*slices([number]))
        await storage.service.segments.catch_up()
    assert all(count >= 2 for count in (await segments(storage))[:-1])  # all but the last at least half full
    assert sum(await segments(storage)) == 9


async def test_nothing_is_written_again_that_is_right(storage: Storage, small_segments: None) -> None:
    await storage.store(*slices(range(1, 11)))
    await storage.service.segments.catch_up()
    query = select(METADATA_SEGMENT.c.segment_id)

    async def ids() -> set[str]:
        return set(await storage.service._database.read(lambda c: c.execute(query).scalars().all()))

    before = await ids()
    await storage.service.segments.write(SERIES)
    assert await ids() == before
    await storage.store(*slices([11, 12, 13, 14]))
    await storage.service.segments.catch_up()
    assert len(before & await ids()) >= 2


async def test_a_corrected_instance_is_given_at_once_and_the_etag_tells(storage: Storage) -> None:
    await storage.store(*slices([1, 2, 3]))
    await storage.service.segments.catch_up()
    before = await metadata(storage)
    await storage.store(*slices([2], PatientComments="corrected"))
    after = await metadata(storage)
    assert [model.get("00104000") for model in after.models()] == [None, {"vr": "LT", "Value": ["corrected"]}, None]
    assert after.etag != before.etag
    assert await segments(storage) == [3]
    await storage.service.segments.catch_up()
    assert await segments(storage) == [3]
    assert (await metadata(storage)).json() == after.json()


async def test_not_modified_is_said_exactly_while_nothing_changes(storage: Storage) -> None:
    await storage.store(*slices([1, 2]))
    first = await metadata(storage)
    await storage.service.segments.catch_up()
    await storage.store(*slices([2]))  # stored already
    again = await metadata(storage, if_none_match=first.etag)
    assert (again.not_modified, again.etag, again.compressed) == (True, first.etag, b"")
    assert not (await metadata(storage, "studies/1.2.3", if_none_match=first.etag)).warnings
    await storage.store(*slices([3]))
    changed = await metadata(storage, if_none_match=first.etag)
    assert not changed.not_modified
    assert numbers(changed) == [1, 2, 3]
    headers = await storage.stream("RetrieveMetadata", name=NAME)
    assert headers[0].etag not in ("", changed.etag)
    (message,) = await storage.stream("RetrieveMetadata", name=NAME, if_none_match=headers[0].etag)
    assert message == pb.RetrieveMetadataResponse(etag=headers[0].etag, not_modified=True)


async def test_a_deleted_study_is_not_found_and_comes_back_with_its_etag(storage: Storage) -> None:
    await storage.store(*slices([1, 2]))
    await storage.service.segments.catch_up()
    before = await metadata(storage)
    await storage.call("DeleteStudy", name="studies/1.2.3")
    with pytest.raises(NotFound):
        await metadata(storage)
    await storage.call("RestoreStudy", name="studies/1.2.3")
    assert await metadata(storage, if_none_match=before.etag) == Metadata(before.etag, b"", {}, True)
    assert (await metadata(storage)).json() == before.json()


async def test_a_purge_removes_segments_and_a_writer_that_is_late_leaves_none(storage: Storage) -> None:
    await storage.store(*slices([1, 2]), ct(study="1.9", series="1.9.1", sop="1.9.1.1"))
    await storage.service.segments.catch_up()
    assert await kept_segments(storage) == 2
    writer = storage.service.segments
    old = await storage.service._database.read(lambda connection: list_segments(connection, SERIES))
    pieces = [segment.Piece("1.2.3.1.1", "content", b"{}", b"", "1.2.840.10008.1.2", ())]
    await storage.call("DeleteStudy", name="studies/1.2.3", grace_period={"seconds": 0})
    await storage.service.sweeper.purge_deleted()
    assert await kept_segments(storage) == 1
    await writer._add(SERIES, [segment.packed(pieces)], set(), old)
    await writer.catch_up()
    assert await kept_segments(storage) == 1


async def test_the_instance_that_was_stored_again_over_damage_keeps_its_metadata(storage: Storage) -> None:
    (content,) = slices([1])
    await storage.store(content, *slices([2]))
    await storage.service.segments.catch_up()
    before = await metadata(storage)
    for path in (storage.folder / "storage" / "objects" / "studies").rglob("*.dcm"):
        if b"1.2.3.1.1" in path.read_bytes():
            path.unlink()
            break
    await storage.store(content)
    assert await metadata(storage, if_none_match=before.etag) == Metadata(before.etag, b"", {}, True)
    assert (await metadata(storage)).json() == before.json()


async def test_an_object_that_is_gone_before_its_segment_is_written_is_data_loss_for_its_series_alone(
    storage: Storage,
) -> None:
    await storage.store(*slices([1, 2]), ct(series="1.2.3.2", sop="1.2.3.2.1"))
    for path in (storage.folder / "storage" / "objects" / "studies" / "1.2.3" / "1.2.3.1").rglob("*.dcm"):
        path.unlink()
    await storage.service.segments.catch_up()
    with pytest.raises(DataLoss):
        await metadata(storage)
    assert len((await metadata(storage, "studies/1.2.3/series/1.2.3.2")).models()) == 1
    assert await segments(storage, SeriesKey("1.2.3", "1.2.3.2")) == [1]


async def test_odd_values_are_told_with_the_instance_and_fail_nothing(storage: Storage) -> None:
    good = ct(sop="1.2.3.1.1", InstanceNumber=1, SliceThickness="5.0")
    odd = ct(sop="1.2.3.1.2", InstanceNumber=2, SliceThickness="5.0").replace(b"DS\x04\x005.0 ", b"DS\x04\x00oops")
    await storage.store(good, odd)
    for _ in range(2):
        answer = await metadata(storage)
        assert answer.warnings == {f"{NAME}/instances/1.2.3.1.2": ("VALUE_LEFT_OUT (0018,0050)",)}
        assert ["00180050" in model for model in answer.models()] == [True, False]
        messages = await storage.stream("RetrieveMetadata", name=NAME, format=Format.FORMAT_DICOM_JSON)
        told = [[text for text in message.instance.warnings if text.startswith("VALUE_")] for message in messages]
        assert told == [[], ["VALUE_LEFT_OUT (0018,0050)"]]
        await storage.service.segments.catch_up()


@pytest.mark.parametrize("form", [Format.FORMAT_HEADER_BYTES, Format.FORMAT_DICOM_JSON])
async def test_many_per_message_gives_the_same_as_one_per_message(
    storage: Storage, small_segments: None, form: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    await storage.store(*slices(range(1, 10)))
    for _ in range(2):
        single = await storage.stream("RetrieveMetadata", name=NAME, format=form)
        many = await storage.stream("RetrieveMetadata", name=NAME, format=form, many_per_message=True)
        assert len(many) < len(single) == 9
        found = [each for message in many for each in message.instances]
        assert [(each.instance, each.content, each.transfer_syntax_uid) for each in found] == [
            (message.instance, message.content, message.transfer_syntax_uid) for message in single
        ]
        assert many[0].etag == single[0].etag != ""
        await storage.service.segments.catch_up()
    monkeypatch.setattr("storage_svc.metadata.retrieve._MANY_BYTES", 3000)
    assert len(await storage.stream("RetrieveMetadata", name=NAME, format=form, many_per_message=True)) >= 5


@pytest.mark.parametrize("written", [False, True])
async def test_only_the_instances_asked_for_are_given(storage: Storage, small_segments: None, written: bool) -> None:
    await storage.store(*slices(range(1, 10)))
    if written:
        await storage.service.segments.catch_up()
    wanted = ["1.2.3.1.8", "1.2.3.1.2", "1.2.3.1.3"]
    assert numbers(await metadata(storage, sop_instance_uids=wanted)) == [2, 3, 8]
    with pytest.raises(NotFound):
        await metadata(storage, sop_instance_uids=["1.2.3.1.8", "1.2.3.1.99"])


async def test_a_study_is_given_series_by_series(storage: Storage, small_segments: None) -> None:
    others = [ct(series="1.2.3.2", sop=f"1.2.3.2.{number}", InstanceNumber=100 + number) for number in range(1, 7)]
    await storage.store(*others, *slices(range(1, 7)))
    expected = [*range(1, 7), *range(101, 107)]
    assert numbers(await metadata(storage, "studies/1.2.3")) == expected
    await storage.service.segments.catch_up()
    assert numbers(await metadata(storage, "studies/1.2.3")) == expected


async def test_segments_that_are_lost_are_made_on_demand_and_written_again(
    storage: Storage, small_segments: None
) -> None:
    await storage.store(*slices(range(1, 10)))
    await storage.service.segments.catch_up()
    before = await metadata(storage)
    await storage.service._database.write(lambda connection: connection.execute(delete(METADATA_SEGMENT)))
    assert (await metadata(storage)).json() == before.json()
    await storage.service.segments.catch_up()
    assert sum(await segments(storage)) == 9


async def test_segments_of_an_older_writer_are_not_used_and_go(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    await storage.store(*slices([1, 2]))
    await storage.service.segments.catch_up()
    before = await metadata(storage)
    monkeypatch.setattr("storage_svc.metadata.segment_rows.MODEL_VERSION", 2)
    monkeypatch.setattr("storage_svc.metadata.retrieve.MODEL_VERSION", 2)
    assert await segments(storage) == []
    assert (await metadata(storage, if_none_match=before.etag)).json() == before.json()
    await storage.service.segments.catch_up()
    assert await kept_segments(storage) == 1
    assert await segments(storage) == [2]


async def test_a_long_header_is_kept_as_model_and_read_as_bytes(storage: Storage) -> None:
    long = "x" * (segment.KEPT_HEADER_BYTES + 1)
    await storage.store(*slices([1, 2], TextValue=long))
    await storage.service.segments.catch_up()
    query = select(METADATA_SEGMENT.c.headers)
    (headers,) = await storage.service._database.read(lambda c: c.execute(query).scalars().all())
    assert zlib.decompress(headers) == b""
    found: Sequence[Any] = await storage.stream("RetrieveMetadata", name=NAME, many_per_message=True)
    assert [long.encode() in each.content for message in found for each in message.instances] == [True, True]
    assert [model["0040A160"]["Value"] for model in (await metadata(storage)).models()] == [[long], [long]]
