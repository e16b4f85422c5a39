"""Of what the text index could be asked for, it is asked for what is rare among the newest studies, and for no more."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import insert

from imaging.database.backend import Backend
from storage_svc.schema import STUDY_LIST
from storage_svc.search.rarest import rarest
from tests.database.databases import Databases
from tests.storage.search_index import empty_index

OFTEN, HALF, RARE, NEVER = (f'patient_name_key : "{gram}"' for gram in ("smi", "^an", "^zo", "xyz"))


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backend]:
    """2,000 of the name Smith: half of them Anna, one of a hundred Zoe, the others Bob."""
    with empty_index(Databases(None).access(tmp_path_factory.mktemp("index"))) as backend:
        with backend.writer.connect() as connection, connection.begin():
            given = ["zoe" if number % 100 == 0 else "anna" if number % 2 else "bob" for number in range(2000)]
            studies = [
                {"position": -number, "study_instance_uid": f"1.{number}", "patient_name_key": f"=smith^{name}="}
                for number, name in enumerate(given, 1)
            ]
            connection.execute(insert(STUDY_LIST), studies)
        yield backend


def asked_for(index: Backend, *conditions: str) -> list[str]:
    with index.reader.connect() as connection:
        return rarest(connection, conditions)


def test_the_rarest_is_asked_for_alone_where_another_would_cost_more_than_it_saves(index: Backend) -> None:
    assert asked_for(index, OFTEN, HALF, RARE) == [RARE]
    assert asked_for(index, OFTEN, HALF) == [HALF]
    assert asked_for(index, RARE, NEVER) == [NEVER]


def test_a_condition_that_says_something_else_is_asked_for_besides(index: Backend) -> None:
    newer_half = 'patient_name_key : ("^an" OR "^zo")'
    other_half = 'patient_name_key : ("^bo" OR "^zo")'
    assert asked_for(index, newer_half, other_half, OFTEN) == [other_half, newer_half]


def test_all_is_asked_for_in_a_short_list(index: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("storage_svc.search.rarest._SAMPLE", 2000)
    assert asked_for(index, OFTEN, RARE) == [OFTEN, RARE]
