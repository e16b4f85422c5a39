"""No search looks at all studies for want of an index: what SQLite and PostgreSQL plan for the keys of a study list."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, insert

from imaging.database.backend import Backend
from storage_svc.names import Name
from storage_svc.schema import STUDY, STUDY_LIST
from storage_svc.search import finder
from storage_svc.search.run import Search, run_search
from tests.database.databases import Databases
from tests.database.postgresql_server import PostgresServer
from tests.storage.search_index import clear, empty_index, put

WALK = "study_list"
"""Along the list, newest first, which ends when the page is full."""

DAYS = "study_list USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)"
BY_UID = "study_list USING COVERING INDEX sqlite_autoindex_study_list_1 (study_instance_uid=?)"
TEXT = "study_text VIRTUAL TABLE INDEX"

STUDIES: list[tuple[dict[str, str], str]] = [
    ({}, WALK),
    ({"PatientName": "*smi*"}, TEXT),
    ({"PatientName": "smi*"}, TEXT),
    ({"PatientName": "smith^john"}, TEXT),
    ({"PatientID": "*123*"}, TEXT),
    ({"PatientID": "123"}, "study_list USING INDEX study_list_by_patient (patient_id=?"),
    ({"PatientID": "123", "PatientName": "smi*"}, TEXT),
    ({"AccessionNumber": "*123*"}, TEXT),
    ({"AccessionNumber": "123"}, "study_list USING INDEX study_list_by_accession (accession_number=?"),
    ({"StudyDescription": "*chest*"}, TEXT),
    ({"ReferringPhysicianName": "*smi*"}, TEXT),
    ({"ModalitiesInStudy": "CT"}, TEXT),
    ({"ModalitiesInStudy": "CT\\MR"}, TEXT),
    ({"StudyDate": "20260101-20260131"}, DAYS),
    ({"StudyDate": "20260101", "StudyTime": "10-11"}, DAYS),
    ({"StudyDate": "20260101-", "PatientName": "*smi*", "ModalitiesInStudy": "CT", "PatientID": "*1*"}, TEXT),
    (
        {"PatientBirthDate": "19700101"},
        "study_list USING INDEX study_list_by_birth_date (patient_birth_date=?",
    ),
    ({"StudyInstanceUID": "1.1"}, BY_UID),
    ({"StudyID": "77"}, TEXT),
    ({"PatientSex": "O"}, TEXT),
    ({"SeriesInstanceUID": "1.1.0"}, BY_UID),
    ({"SOPInstanceUID": "1.1.0.1"}, BY_UID),
]


@pytest.fixture
def sqlite(tmp_path: Path) -> Iterator[Backend]:
    with empty_index(Databases(None).access(tmp_path)) as backend:
        yield backend


@contextmanager
def statements(backend: Backend) -> Iterator[list[tuple[str, Any]]]:
    """What is asked of the database inside."""
    asked: list[tuple[str, Any]] = []

    def note(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        asked.append((statement, parameters))

    event.listen(backend.reader, "before_cursor_execute", note)
    yield asked
    event.remove(backend.reader, "before_cursor_execute", note)


def plans(backend: Backend, search: Search) -> list[list[str]]:
    """The plan of each statement that finds results, in SQLite."""
    with backend.reader.connect() as connection, connection.begin():
        with statements(backend) as asked:
            run_search(connection, search)
        return [
            [row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)]
            for statement, parameters in asked
            if " AS c0" in statement
        ]


@pytest.mark.parametrize(("keys", "expected"), STUDIES)
def test_studies_are_found_by_an_index_in_the_order_of_the_list(
    sqlite: Backend, keys: dict[str, str], expected: str
) -> None:
    for token in ("", token_after_the_first(sqlite, keys)):
        for plan in plans(sqlite, Search(1, keys=tuple(keys.items()), page_token=token)):
            first = plan[0].removeprefix("SCAN ").removeprefix("SEARCH ")
            assert first.startswith(expected), plan
            assert not any(line.startswith("SCAN") for line in plan[1:]), plan
            assert expected == BY_UID or not any("TEMP B-TREE" in line for line in plan), plan


def token_after_the_first(backend: Backend, keys: dict[str, str]) -> str:
    """The token of the second page, of studies that all match."""
    date = {"study_date": "20260101", "study_time": "1015", "patient_birth_date": "19700101", "patient_sex": "O"}
    texts = {"patient_id": "123", "accession_number": "123", "study_id": "77", "study_description": "chest"}
    names = {"patient_name": "Smith^John", "referring_physician_name": "Smith^Jane"}
    with backend.writer.connect() as connection, connection.begin():
        clear(connection)
        put(connection, [{**date, **texts, **names, "modalities": ["CT", "MR"]}] * 3)
    if any(keyword.endswith("UID") for keyword in keys):
        return ""
    with backend.reader.connect() as connection, connection.begin():
        token = run_search(connection, Search(1, keys=tuple(keys.items()), page_size=1)).next_page_token
    assert token
    return token


A_STUDY, A_SERIES = Name("1.1"), Name("1.1", "1.1.0")
OF_SERIES = "series USING INDEX sqlite_autoindex_series_1 (study_instance_uid=?)"
OF_INSTANCES = "instance USING INDEX instance_by_place (study_instance_uid=?"

LOWER: list[tuple[Search, Sequence[str]]] = [
    (Search(2, A_STUDY), [OF_SERIES]),
    (Search(2, A_STUDY, keys=(("Modality", "CT"),)), [OF_SERIES]),
    (Search(3, A_STUDY), [OF_INSTANCES]),
    (Search(3, A_SERIES), [OF_INSTANCES]),
    (Search(3, A_STUDY, keys=(("PatientID", "x"),)), [BY_UID.replace("COVERING ", ""), OF_INSTANCES]),
    (Search(2), [WALK, OF_SERIES]),
    (Search(3), [WALK, OF_INSTANCES]),
    (Search(2, keys=(("PatientName", "*abc*"), ("Modality", "CT"))), [TEXT, "study_list USING INTEGER", OF_SERIES]),
    (Search(2, keys=(("PatientID", "123"),)), ["study_list USING INDEX study_list_by_patient", OF_SERIES]),
    (Search(3, keys=(("Modality", "CT"),)), [WALK, OF_SERIES, OF_INSTANCES]),
    (Search(2, keys=(("SeriesInstanceUID", "1"),)), ["series USING INDEX series_by_uid", BY_UID]),
    (Search(3, keys=(("SOPInstanceUID", "1"),)), ["instance USING INDEX sqlite_autoindex_instance_1", BY_UID]),
]


@pytest.mark.parametrize(("search", "expected"), LOWER)
def test_series_and_instances_are_found_from_their_study_or_by_their_uid(
    sqlite: Backend, search: Search, expected: Sequence[str]
) -> None:
    for plan in plans(sqlite, search):
        tables = [line.removeprefix("SCAN ").removeprefix("SEARCH ") for line in plan if line.startswith("S")]
        assert all(map(str.startswith, tables, expected)), plan
        assert len(tables) == len(expected), plan


async def test_postgresql_finds_what_is_rare_by_its_trigrams(
    throw_away_postgres: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finder, "WINDOW", 100)
    with empty_index(Databases(throw_away_postgres).access(tmp_path)) as backend:
        with backend.writer.connect() as connection, connection.begin():
            studies = [
                {"position": -number, "study_instance_uid": f"1.{number}", "patient_name_key": f"=smith^{number:05}="}
                for number in range(20_000, 0, -1)
            ]
            connection.execute(insert(STUDY_LIST), studies)
            connection.execute(insert(STUDY).values(study_instance_uid="1.12345", create_time=0, update_time=0))
        with backend.writer.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql("VACUUM ANALYZE study_list")
        with backend.reader.connect() as connection, connection.begin():
            with statements(backend) as asked:
                run_search(connection, Search(1, keys=(("PatientName", "*^12345*"),)))
            *_, (statement, parameters) = [one for one in asked if " AS c0" in one[0]]
            plan = [row[0] for row in connection.exec_driver_sql(f"EXPLAIN {statement}", parameters)]
        assert any("Bitmap Index Scan on study_text" in line for line in plan), plan
        assert not any("Seq Scan" in line for line in plan), plan
