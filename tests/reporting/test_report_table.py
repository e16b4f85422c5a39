"""Versions are taken once, reports are kept once, lists are paged."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from imaging.database import DatabaseAccess
from imaging.errors import InvalidArgument, NotFound
from imaging.reporting.v1 import reporting_pb2, reporting_service_pb2
from reporting_svc.report_table import DocumentContent, ReportTable, Reservation, Result
from tests.database.databases import Databases

STUDY = "studies/1.2.3"


@pytest.fixture
def access(tmp_path: Path, databases: Databases) -> DatabaseAccess:
    return databases.access(tmp_path)


async def _finish(table: ReportTable, place: Reservation, request_id: str, study: str = STUDY) -> Result:
    content = f"SR of {request_id}".encode()
    document = reporting_pb2.Document(
        format=reporting_pb2.DOCUMENT_FORMAT_SR, number=1, size_bytes=len(content), instance=f"{study}/sr/{request_id}"
    )
    report = reporting_pb2.Report(
        name=place.name, request_id=request_id, study=study, version=place.version, documents=[document]
    )
    return await table.finish(report, [DocumentContent(document, content)], [document.instance])


async def test_versions_grow_and_each_report_names_the_finished_one_before(access: DatabaseAccess) -> None:
    table = ReportTable.open(access)
    first = await table.reserve("r1", "runs/1", STUDY)
    assert (first.version, first.predecessor) == (1, None)
    await _finish(table, first, "r1")
    never_finished = await table.reserve("r2", "runs/2", STUDY)
    assert never_finished.version == 2
    third = await table.reserve("r3", "runs/3", STUDY)
    assert third.version == 3
    assert third.predecessor is not None
    assert (third.predecessor.version, third.predecessor.sr_instance) == (1, f"{STUDY}/sr/r1")
    assert (await table.reserve("r4", "runs/4", "studies/9")).version == 1
    await table.close()


async def test_a_reservation_is_the_same_for_every_attempt_and_after_a_restart(access: DatabaseAccess) -> None:
    table = ReportTable.open(access)
    places = await asyncio.gather(*(table.reserve("r1", "runs/1", STUDY) for _ in range(8)))
    others = await asyncio.gather(*(table.reserve(f"other {n}", "runs/1", STUDY) for n in range(8)))
    assert len(set(places)) == 1
    assert sorted(place.version for place in (*others, places[0])) == list(range(1, 10))
    await table.close()
    table = ReportTable.open(access)
    assert await table.reserve("r1", "runs/1", STUDY) == places[0]
    await table.close()


async def test_the_first_finished_report_of_a_request_stays(access: DatabaseAccess) -> None:
    table = ReportTable.open(access)
    place = await table.reserve("r1", "runs/1", STUDY)
    assert await table.result("r1") is None
    with pytest.raises(NotFound):
        await table.get(place.name)
    first = await _finish(table, place, "r1")
    second = await _finish(table, place, "r1")
    assert second == first == await table.result("r1")
    found = await table.document(place.name, reporting_pb2.DOCUMENT_FORMAT_SR, 0)
    assert found.content == b"SR of r1"
    with pytest.raises(NotFound, match="no such document"):
        await table.document(place.name, reporting_pb2.DOCUMENT_FORMAT_PDF, 1)
    with pytest.raises(NotFound, match="no such report"):
        await table.document("reports/none", reporting_pb2.DOCUMENT_FORMAT_SR, 1)
    await table.close()


async def test_lists_are_paged_newest_first_and_tokens_are_checked(access: DatabaseAccess) -> None:
    table = ReportTable.open(access)
    for number in range(5):
        study = STUDY if number % 2 == 0 else "studies/9"
        place = await table.reserve(f"r{number}", "runs/1", study)
        await _finish(table, place, f"r{number}", study)
    request = reporting_service_pb2.ListReportsRequest(page_size=2)
    seen: list[str] = []
    while True:
        page, token = await table.list(request)
        seen += [report.request_id for report in page]
        if not token:
            break
        request.page_token = token
    assert seen == ["r4", "r3", "r2", "r1", "r0"]
    page, _ = await table.list(reporting_service_pb2.ListReportsRequest(study=STUDY))
    assert [report.request_id for report in page] == ["r4", "r2", "r0"]
    for token in ("x", "!!", request.page_token):
        with pytest.raises(InvalidArgument):
            await table.list(reporting_service_pb2.ListReportsRequest(study=STUDY, page_token=token))
    with pytest.raises(InvalidArgument):
        await table.list(reporting_service_pb2.ListReportsRequest(page_size=-1))
    await table.close()
