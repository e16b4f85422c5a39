"""Completeness: manifests, quiet time, late instances, and results that never start a run."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from opentelemetry import context
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from sqlalchemy import Connection, select, update

from imaging.errors import FailedPrecondition, InvalidArgument, NotFound
from imaging.rpc.tracing import context_of
from imaging.storage.v1 import storage_pb2
from imaging.storage.v1 import storage_service_pb2 as pb
from storage_svc.index import completion, manifest
from storage_svc.schema import CHANGE, STUDY
from tests.storage.storage_under_test import Storage, chunks, ct, origin

COMPLETED = storage_pb2.Change.KIND_STUDY_COMPLETED


async def completed_versions(storage: Storage) -> list[int]:
    query = select(CHANGE.c.manifest_version).where(CHANGE.c.kind == COMPLETED).order_by(CHANGE.c.revision)
    return await storage.service._database.read(lambda c: list(c.execute(query).scalars()))


async def test_the_same_set_has_the_same_version_and_completes_once(storage: Storage) -> None:
    await storage.store(ct(sop="1.2.3.1.1"), ct(sop="1.2.3.1.2"))
    first = await storage.complete("1.2.3")
    assert (first.version, first.instance_count, first.open) == (1, 2, False)
    await storage.store(ct(sop="1.2.3.1.1"))
    assert await storage.complete("1.2.3") == first
    assert await completed_versions(storage) == [1]


async def test_a_late_instance_makes_the_next_version(storage: Storage) -> None:
    await storage.store(ct(sop="1.2.3.1.1"))
    first = await storage.complete("1.2.3")
    await storage.store(ct(sop="1.2.3.1.2"))
    assert (await storage.call("GetStudy", name="studies/1.2.3")).study.manifest.open
    second = await storage.complete("1.2.3")
    assert (second.version, second.instance_count) == (2, 2)
    assert second.digest != first.digest
    assert second.traceparent != first.traceparent


async def test_a_corrected_instance_makes_the_next_version(storage: Storage) -> None:
    await storage.store(ct(PatientName="A"))
    await storage.complete("1.2.3")
    await storage.store(ct(PatientName="B"))
    assert (await storage.complete("1.2.3")).version == 2


async def test_derived_instances_and_their_echoes_never_touch_the_manifest(storage: Storage) -> None:
    await storage.store(ct(sop="1.2.3.1.1"))
    first = await storage.complete("1.2.3")
    await storage.store(ct(series="1.2.3.7", sop="1.2.3.7.1"), origin=origin())
    await storage.store(ct(series="1.2.3.7", sop="1.2.3.7.1"))
    study = (await storage.call("GetStudy", name="studies/1.2.3")).study
    assert (study.instance_count, study.manifest.open) == (2, False)
    assert await storage.complete("1.2.3") == first
    assert await storage.complete("1.2.3", expected_sop_instance_uids=["1.2.3.1.1", "1.2.3.7.1"]) == first
    assert await completed_versions(storage) == [1]


async def test_the_origin_of_a_derived_uid_is_remembered_beyond_its_purge(storage: Storage) -> None:
    await storage.store(ct(sop="1.2.3.1.1"))
    await storage.store(ct(series="1.2.3.7", sop="1.2.3.7.1"), origin=origin())
    await storage.complete("1.2.3")
    await storage.call("DeleteStudy", name="studies/1.2.3", grace_period={"seconds": 0})
    await storage.service.sweeper.purge_deleted()
    echoed = await storage.store_one(ct(series="1.2.3.7", sop="1.2.3.7.1"))
    assert echoed.instance.origin.kind == storage_pb2.Origin.KIND_DERIVED
    assert echoed.instance.origin.run == "runs/1"
    with pytest.raises(FailedPrecondition):
        await storage.complete("1.2.3")
    await storage.store(ct(sop="1.2.3.1.1"))
    assert (await storage.complete("1.2.3")).version == 2, "a version is never given twice"


async def test_what_is_expected_and_missing_is_told(storage: Storage) -> None:
    await storage.store(ct(sop="1.2.3.1.1"))
    with pytest.raises(FailedPrecondition) as caught:
        await storage.complete("1.2.3", expected_sop_instance_uids=["1.2.3.1.1", "1.2.3.1.2"])
    assert caught.value.metadata["missing_sop_instance_uids"] == "1.2.3.1.2"
    with pytest.raises(FailedPrecondition):
        await storage.complete("1.2.3", expected_instance_count=2)
    assert (await storage.complete("1.2.3", expected_instance_count=1)).version == 1
    with pytest.raises(NotFound):
        await storage.complete("1.2.4")


async def test_a_quiet_study_becomes_complete_by_itself(start: Any) -> None:
    storage = await start(quiet_time_seconds=0.2)
    await storage.store(ct())
    (change,) = await storage.changes(count=1, kinds=[COMPLETED])
    assert (change.name, change.manifest_version) == ("studies/1.2.3", 1)
    assert len(change.traceparent) == 55
    study = (await storage.call("GetStudy", name="studies/1.2.3")).study
    assert study.manifest.digest == change.digest
    assert study.manifest.traceparent == change.traceparent


async def test_a_study_that_cannot_be_completed_is_in_no_others_way(
    start: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def complete(connection: Connection, uid: str, expected: manifest.Expectation) -> dict[str, Any]:
        if uid == "1.1":
            raise RuntimeError("a defect")
        return manifest.complete_study(connection, uid, expected)

    monkeypatch.setattr(completion, "complete_study", complete)
    storage = await start(quiet_time_seconds=0.2)
    await storage.store(ct("1.1", "1.1.1", "1.1.1.1"))
    await storage.store(ct("1.2", "1.2.1", "1.2.1.1"))
    assert [change.name for change in await storage.changes(count=1, kinds=[COMPLETED])] == ["studies/1.2"]


async def test_what_comes_while_a_study_is_found_to_have_no_images_makes_it_due_again(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    await storage.store_one(ct(sop="1.2.3.1.1"), origin=origin())
    completing, came = storage.service._completion, asyncio.Event()
    write = completing._changes.write

    async def write_and_receive(function: Callable[[Connection], Any]) -> Any:
        try:
            return await write(function)
        finally:
            monkeypatch.setattr(completing._changes, "write", write)
            await storage.store_one(ct(sop="1.2.3.1.2"))
            came.set()

    monkeypatch.setattr(completing._changes, "write", write_and_receive)
    await storage.service._database.write(lambda connection: connection.execute(update(STUDY).values(quiet_due=1)))
    async with asyncio.timeout(30):
        await came.wait()
        await completing._complete_due()
    assert await storage.service._database.read(lambda c: c.execute(select(STUDY.c.quiet_due)).scalar()) is not None


async def test_the_quiet_time_survives_a_restart(start: Any) -> None:
    storage = await start(quiet_time_seconds=0.5)
    await storage.store(ct())
    await start.stop(storage)
    storage = await start(quiet_time_seconds=3600)
    assert [change.manifest_version for change in await storage.changes(count=1, kinds=[COMPLETED])] == [1]


async def test_an_open_upload_holds_the_quiet_time_and_forbids_completion(start: Any) -> None:
    storage = await start(quiet_time_seconds=0.05)
    finish = asyncio.Event()
    messages = chunks(str(uuid.uuid4()), ct(sop="1.2.3.1.2"))

    async def slow() -> Any:
        for message in messages[:-1]:
            yield message
        await finish.wait()
        yield messages[-1]

    call = storage.stub.StoreInstances(slow())
    holds = storage.service._completion._open_uploads
    while "1.2.3" not in holds:  # noqa: ASYNC110 - the service has no event for it
        await asyncio.sleep(0.01)
    await storage.store(ct(sop="1.2.3.1.1"))
    with pytest.raises(FailedPrecondition):
        await storage.complete("1.2.3")
    await storage.service._completion._complete_due()
    assert await completed_versions(storage) == []
    finish.set()
    assert [answer.WhichOneof("outcome") async for answer in call] == ["stored"]
    (change,) = await storage.changes(count=1, kinds=[COMPLETED])
    assert change.manifest_version == 1
    assert (await storage.call("GetStudy", name="studies/1.2.3")).study.manifest.instance_count == 2


async def test_a_manifest_has_a_trace_of_its_own_linked_to_its_uploads(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(manifest.trace, "get_tracer", provider.get_tracer)
    uploads = [f"00-{number:032x}-{number:016x}-01" for number in (1, 2)]
    for number, traceparent in enumerate(uploads):

        async def requests(content: bytes = ct(sop=f"1.2.3.1.{number + 1}")) -> Any:
            for message in chunks("a", content):
                yield message

        token = context.attach(context_of(traceparent))
        call = storage.stub.StoreInstances(requests())
        assert [answer.WhichOneof("outcome") async for answer in call] == ["stored"]
        context.detach(token)
    found = await storage.complete("1.2.3")
    (span,) = (span for span in exporter.get_finished_spans() if span.name == "manifest")
    assert span.parent is None
    assert sorted(link.context.trace_id for link in span.links) == [1, 2]
    assert found.traceparent.split("-")[1] == f"{span.context.trace_id:032x}"
    (change,) = await storage.changes(count=1, kinds=[COMPLETED])
    assert change.traceparent == found.traceparent
    assert pb.CompleteStudyResponse(manifest=found).manifest.version == 1


async def test_an_expected_uid_that_is_none_is_refused_in_few_words(storage: Storage) -> None:
    await storage.store_one(ct())
    with pytest.raises(InvalidArgument) as caught:
        await storage.complete("1.2.3", expected_sop_instance_uids=["x" * 100_000])
    assert caught.value.where == "expected_sop_instance_uids"
