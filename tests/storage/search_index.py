"""The index of a storage service without the service: studies go in as rows, and are found by keys."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, delete, insert

from imaging.database import DatabaseAccess
from imaging.database.backend import Backend
from imaging.database.migration import migrate
from imaging.database.opening import open_backend
from storage_svc.ingest.origin import RECEIVED
from storage_svc.schema import SERIES, STUDY, STUDY_LIST, TABLES
from storage_svc.search.run import Page, Search, run_search
from storage_svc.search.study_list import update_list

TIMES = {"create_time": 0, "update_time": 0}


@contextmanager
def empty_index(access: DatabaseAccess) -> Iterator[Backend]:
    """The tables, made by the migrations."""
    backend = open_backend(access)
    with backend.migrating() as connection:
        migrate(connection, TABLES, where="test")
    yield backend
    backend.close()


def put(connection: Connection, studies: Sequence[dict[str, Any]]) -> list[str]:
    """Add studies of these columns; `modalities` are those of a series each. Their UIDs: 1.1, 1.2, ..."""
    uids = [f"1.{number}" for number in range(1, len(studies) + 1)]
    for uid, study in zip(uids, studies, strict=True):
        columns = {name: value for name, value in study.items() if name != "modalities"}
        connection.execute(insert(STUDY).values(study_instance_uid=uid, **{"instance_count": 1, **TIMES, **columns}))
        for number, modality in enumerate(study.get("modalities", ())):
            connection.execute(
                insert(SERIES).values(
                    study_instance_uid=uid,
                    series_instance_uid=f"{uid}.{number}",
                    modality=modality,
                    instance_count=1,
                    origin_kind=RECEIVED,
                    create_time=0,
                )
            )
        update_list(connection, [uid])
    return uids


def clear(connection: Connection) -> None:
    """Take everything out again."""
    for table in (STUDY_LIST, SERIES, STUDY):
        connection.execute(delete(table))


def find(backend: Backend, keys: Sequence[tuple[str, str]] = (), **options: Any) -> Page:
    """A page of studies."""
    with backend.reader.connect() as connection, connection.begin():
        return run_search(connection, Search(1, None, tuple(keys), **options))


def found(backend: Backend, keys: Sequence[tuple[str, str]] = (), **options: Any) -> list[str]:
    """UIDs of all studies that match, page by page."""
    uids: list[str] = []
    token = ""
    while True:
        page = find(backend, keys, page_token=token, **options)
        uids += [row["study_instance_uid"] for row in page.rows]
        token = page.next_page_token
        if not token:
            return uids
