"""The list of studies: places that order as date and time do, and rows and trigrams that follow every change."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Connection, MetaData, event, insert, select

from imaging.database import Tables
from imaging.database.backend import Backend
from imaging.database.migration import migrate
from imaging.database.opening import open_backend
from storage_svc.schema import METADATA, STUDY, STUDY_LIST, TABLES
from storage_svc.search.date_range import Range
from storage_svc.search.list_position import span, span_of_dates
from storage_svc.search.study_list import LONGEST_VALUE, update_list
from tests.database.databases import Databases
from tests.storage.search_index import TIMES, empty_index, found, put
from tests.storage.storage_under_test import Storage, ct

dates = st.dates().map(lambda date: date.strftime("%Y%m%d").zfill(8)) | st.just("")
times = st.tuples(st.integers(0, 23), st.integers(0, 59), st.integers(0, 60)).map(
    lambda hms: "{:02}{:02}{:02}".format(*hms)
)
moments = st.tuples(dates, times)


@given(moments, moments)
def test_a_newer_study_stands_before_an_older_one(one: tuple[str, str], other: tuple[str, str]) -> None:
    newer, older = max(one, other), min(one, other)
    if not one[0] and not other[0]:
        newer = older  # without a date, the time says nothing
    first, last = span(*newer), span(*older)
    assert -(2**63) < first[0] <= first[1] < 0
    assert first == last if newer == older else first[1] < last[0]


@given(moments.filter(lambda moment: bool(moment[0])), st.text("0123456789", min_size=8, max_size=8))
def test_the_days_that_are_asked_for_hold_all_places_of_theirs(moment: tuple[str, str], end: str) -> None:
    """The ends are any eight digits: those of a search need not be days."""
    first, last = span(*moment)
    if moment[0] >= end:
        _, bound = span_of_dates(Range(end, ""))
        assert bound is not None
        assert last <= bound
    if moment[0] <= end:
        bound, _ = span_of_dates(Range("", end))
        assert bound is not None
        assert bound <= first


@pytest.fixture
def index(tmp_path: Path, databases: Databases) -> Iterator[Backend]:
    with empty_index(databases.access(tmp_path)) as backend:
        yield backend


def entries(connection: Connection) -> list[dict[str, Any]]:
    return [dict(row) for row in connection.execute(select(STUDY_LIST).order_by(STUDY_LIST.c.position)).mappings()]


def check(connection: Connection) -> list[dict[str, Any]]:
    """The list, after a look whether it is as one made anew, and whether the trigrams are those of its rows."""
    before = entries(connection)
    update_list(connection, connection.execute(select(STUDY.c.study_instance_uid)).scalars().all())
    assert entries(connection) == before
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("INSERT INTO study_text (study_text, rank) VALUES ('integrity-check', 1)")
    return before


async def test_the_list_follows_every_change_of_a_study(storage: Storage) -> None:
    async def listed() -> list[tuple[str, str, str]]:
        rows = await storage.service._database.write(check)
        return [(row["study_instance_uid"], row["patient_name_key"], row["modalities"]) for row in rows]

    first = ct("1.1", "1.1.1", "1.1.1.1", PatientName="Anna", StudyDate="20260101")
    await storage.store(first, ct("1.2", "1.2.1", "1.2.1.1", PatientName="Berta", StudyDate="20260102"))
    assert await listed() == [("1.2", "=berta=", "\\CT\\"), ("1.1", "=anna=", "\\CT\\")]
    await storage.store(ct("1.1", "1.1.2", "1.1.2.1", PatientName="Anna", StudyDate="20260101", Modality="MR"))
    assert await listed() == [("1.2", "=berta=", "\\CT\\"), ("1.1", "=anna=", "\\CT\\MR\\")]
    corrected = ct("1.1", "1.1.1", "1.1.1.1", PatientName="Hanna", StudyDate="20260103")
    await storage.store(corrected)
    assert await listed() == [("1.1", "=hanna=", "\\CT\\MR\\"), ("1.2", "=berta=", "\\CT\\")]
    await storage.call("DeleteStudy", name="studies/1.1")
    assert await listed() == [("1.2", "=berta=", "\\CT\\")]
    await storage.call("RestoreStudy", name="studies/1.1")
    assert await listed() == [("1.1", "=hanna=", "\\CT\\MR\\"), ("1.2", "=berta=", "\\CT\\")]
    await storage.call("DeleteStudy", name="studies/1.1")
    await storage.store(corrected)
    assert await listed() == [("1.1", "=hanna=", "\\CT\\"), ("1.2", "=berta=", "\\CT\\")]
    await storage.call("DeleteStudy", name="studies/1.2", grace_period={"seconds": 0})
    await storage.service.sweeper.purge_deleted()
    assert await listed() == [("1.1", "=hanna=", "\\CT\\")]


async def test_more_instances_of_a_known_series_do_not_touch_the_list(storage: Storage) -> None:
    await storage.store(ct(sop="1.2.3.1.1"))
    written: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        written.append(statement)

    writer = storage.service._database._backend.writer
    event.listen(writer, "before_cursor_execute", note)
    await storage.store(*(ct(sop=f"1.2.3.1.{number}") for number in range(2, 12)))
    event.remove(writer, "before_cursor_execute", note)
    assert written
    assert not [statement for statement in written if "study_list" in statement or "study_text" in statement]


def test_studies_of_one_second_stand_in_the_order_in_which_they_came(index: Backend) -> None:
    with index.writer.connect() as connection, connection.begin():
        put(connection, [{"study_date": "20260101", "study_time": "101500"}] * 4)
        check(connection)
    assert found(index, page_size=1) == ["1.4", "1.3", "1.2", "1.1"]


def test_a_value_that_no_standard_allows_is_searched_by_its_beginning(index: Backend) -> None:
    with index.writer.connect() as connection, connection.begin():
        put(connection, [{"patient_id": "\U0001f600" * 60_000, "patient_name": "x" * 60_000}])
        check(connection)
    assert found(index, [("PatientID", "\U0001f600" * 40 + "*")]) == ["1.1"]
    assert found(index, [("PatientName", "x" * LONGEST_VALUE + "*")]) == []
    assert found(index, [("PatientName", "x" * (LONGEST_VALUE - 2) + "*")]) == []


def test_two_processes_that_list_studies_of_one_second_both_succeed(throw_away_postgres: Any, tmp_path: Path) -> None:
    access = Databases(throw_away_postgres).access(tmp_path)
    other = open_backend(access)
    with empty_index(access) as one, closing(other):

        def add(backend: Backend, process: int) -> None:
            for number in range(20):
                with backend.writer.connect() as connection, connection.begin():
                    uid = f"1.{process}.{number}"
                    values = {"study_date": "20260101", "instance_count": 1, **TIMES}
                    connection.execute(insert(STUDY).values(study_instance_uid=uid, **values))
                    update_list(connection, [uid])

        with ThreadPoolExecutor(2) as pool:
            list(pool.map(add, (one, other), (1, 2)))
        assert len(found(one)) == 40


def test_studies_from_before_there_was_a_list_are_listed_as_new_ones_are(tmp_path: Path, databases: Databases) -> None:
    before = tmp_path / "before"
    before.mkdir()
    for number in ("0001", "0002", "0003", "0004"):
        shutil.copy(next(TABLES.migrations.glob(f"{number}_*.py")), before)
    backend = open_backend(databases.access(tmp_path))
    with backend.migrating() as connection:
        migrate(connection, Tables(METADATA, before), where="test")
        fill_without_a_list(connection)
        migrate(connection, TABLES, where="test")
    with backend.writer.connect() as connection, connection.begin():
        migrated = check(connection)
        assert [row["study_instance_uid"] for row in migrated] == ["1.4", "1.1", "1.3", "1.2", "1.6", "1.5"]
        assert [row["modalities"] for row in migrated[:2]] == ["\\CT\\MR\\", ""]
        connection.execute(STUDY_LIST.delete())
        for row in reversed(migrated):
            update_list(connection, [row["study_instance_uid"]])
        assert entries(connection) == migrated
    assert found(backend, [("PatientName", "*LLER*")]) == ["1.4"]
    backend.close()


def fill_without_a_list(connection: Connection) -> None:
    """Studies as they were kept before; 1.7 is deleted."""
    before = MetaData()
    before.reflect(connection, only=["study", "series"])

    def add(table: str, **values: Any) -> None:
        needed = {column.name: column.type for column in before.tables[table].columns if not column.nullable}
        unknown = {
            name: "" if issubclass(kind.python_type, str) else kind.python_type() for name, kind in needed.items()
        }
        connection.execute(insert(before.tables[table]).values({**unknown, **values}))

    studies = [
        ("1.1", "20260101", "101500.5", 99),
        ("1.2", "20260101", "10", 1),
        ("1.3", "20260101", "101500", 2),
        ("1.4", "20260102", "", 3),
        ("1.5", "", "1015", 4),
        ("1.6", "", "", 5),
        ("1.7", "20260101", "", 6),
    ]
    for uid, date, time, created in studies:
        name = {"patient_name": "Müller^Anna", "patient_name_key": "=müller^anna="} if uid == "1.4" else {}
        times = {"study_date": date, "study_time": time, "create_time": created}
        add("study", study_instance_uid=uid, instance_count=int(uid != "1.7"), **times, **name)
    for number, (modality, count) in enumerate([("MR", 1), ("CT", 1), ("CT", 1), ("US", 0), ("", 1)]):
        uids = {"study_instance_uid": "1.4", "series_instance_uid": f"1.4.{number}"}
        add("series", **uids, modality=modality, instance_count=count)
