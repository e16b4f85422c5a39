"""The findings table: one effect of a request, pages without gaps, and what survives a restart."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from analysis_svc.finding_message import finding_name
from analysis_svc.findings import FindingsTable, Result
from imaging.analysis.v1.analysis_service_pb2 import ListFindingsRequest
from imaging.database import DatabaseAccess
from imaging.errors import InvalidArgument, NotFound
from tests.database.databases import Databases

STUDY = "studies/1.2.3"
SERIES = f"{STUDY}/series/1.2.4"


@pytest.fixture
def access(tmp_path: Path, databases: Databases) -> DatabaseAccess:
    return databases.access(tmp_path)


@pytest.fixture
async def table(access: DatabaseAccess) -> AsyncIterator[FindingsTable]:
    table = FindingsTable.open(access)
    yield table
    await table.close()


def _result(request_id: str, count: int = 3, value: float = 0.0) -> Result:
    result = Result(algorithm="test-model 1.0", instances=[f"{SERIES}/instances/1.2.5"])
    for position in range(count):
        result.findings.add(name=finding_name(request_id, position), request_id=request_id, value=value + position)
    result.refusals.add(subject="LAA-950", rule="SHARP_KERNEL", message="because", hint="do so")
    return result


async def _store(table: FindingsTable, request_id: str, *, run: str = "", **more: float) -> Result:
    return await table.store(
        _result(request_id, **more),  # type: ignore[arg-type] # count is whole
        request_id=request_id,
        run=run,
        series=SERIES,
        model_version="1.0",
    )


async def test_a_result_comes_back_after_a_restart(access: DatabaseAccess) -> None:
    table = FindingsTable.open(access)
    stored = await _store(table, "r1")
    await table.close()
    again = FindingsTable.open(access)
    assert await again.result("r1") == stored
    assert await again.result("r2") is None
    assert await again.get(stored.findings[1].name) == stored.findings[1]
    await again.close()


async def test_of_two_results_of_a_request_the_first_is_kept(table: FindingsTable) -> None:
    outcomes = await asyncio.gather(*(_store(table, "r1", value=100 * index) for index in range(5)))
    assert len({outcome.SerializeToString(deterministic=True) for outcome in outcomes}) == 1
    findings, _ = await table.list(ListFindingsRequest())
    assert len(findings) == 3


async def test_pages_give_every_finding_once_and_in_order(table: FindingsTable) -> None:
    for number in range(7):
        await _store(table, f"r{number}", run="runs/a" if number % 2 else "runs/b")
    request = ListFindingsRequest(run="runs/a", page_size=2)
    names: list[str] = []
    for _ in range(20):
        page, request.page_token = await table.list(request)
        names += [finding.name for finding in page]
        if not request.page_token:
            break
    assert names == [finding_name(f"r{number}", position) for number in (1, 3, 5) for position in range(3)]


async def test_filters_hold_together(table: FindingsTable) -> None:
    await _store(table, "r1", run="runs/a")
    await _store(table, "r2", run="runs/b")
    by_request, _ = await table.list(ListFindingsRequest(request_ids=["r2", "r9"]))
    assert {finding.request_id for finding in by_request} == {"r2"}
    assert (await table.list(ListFindingsRequest(run="runs/a", request_ids=["r2"])))[0] == []
    assert len((await table.list(ListFindingsRequest(study=STUDY)))[0]) == 6
    assert (await table.list(ListFindingsRequest(study="studies/9")))[0] == []


async def test_a_foreign_token_or_size_is_refused(table: FindingsTable) -> None:
    await _store(table, "r1")
    _, token = await table.list(ListFindingsRequest(page_size=1))
    assert token
    for request in (
        ListFindingsRequest(page_token="nonsense"),
        ListFindingsRequest(page_token=token, run="runs/a"),
        ListFindingsRequest(page_token="AAAA" * 20),
        ListFindingsRequest(page_size=-1),
        ListFindingsRequest(request_ids=[str(number) for number in range(1001)]),
    ):
        with pytest.raises(InvalidArgument):
            await table.list(request)


async def test_an_unknown_finding_is_not_found(table: FindingsTable) -> None:
    for name in ("findings/nothing", "", "nothing"):
        with pytest.raises(NotFound):
            await table.get(name)
