"""Many studies in the index of a storage service that has not started yet: rows without their objects."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from datetime import datetime, timedelta
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Table, insert
from sqlalchemy.dialects import sqlite

from imaging.database import DatabaseAccess
from imaging.database.migration import migrate
from imaging.database.opening import open_backend
from storage_svc.ingest.origin import RECEIVED
from storage_svc.schema import SERIES, STUDY, STUDY_LIST, TABLES
from storage_svc.search.list_position import span
from storage_svc.search.study_list import list_entry

FIRST_DAY: Final = datetime(2016, 1, 1)
DAYS: Final = 3650
"""The same ten years for any number of studies: more studies are more a day."""

_BATCH: Final = 10_000
_SYLLABLES: Final = (
    "ba",
    "be",
    "bor",
    "da",
    "del",
    "du",
    "fer",
    "ga",
    "gu",
    "ha",
    "hol",
    "in",
    "jan",
    "ka",
    "ken",
    "la",
    "lem",
    "ma",
    "mer",
    "mul",
    "na",
    "nor",
    "pe",
    "qui",
    "ra",
    "ros",
    "sa",
    "smi",
    "sto",
    "ta",
)
_MODALITIES: Final = [*["CT"] * 30, *["MR"] * 25, *["CR"] * 20, *["US"] * 15, *["MG"] * 6, *["PT"] * 3, "XA"]
_DESCRIPTIONS: Final = ("CT Thorax", "MRI Brain", "Chest PA", "Abdomen", "MRI Knee left", "Mammography", "CT Head")

Row = Mapping[str, Any]


def database_of(folder: Path) -> DatabaseAccess:
    """The database of a storage service on a data folder."""
    return DatabaseAccess(f"sqlite:///{folder.absolute()}/storage/storage.sqlite")


def fill(folder: Path, count: int) -> None:
    """Make the tables of a new data folder, with so many studies of one series each."""
    (folder / "storage").mkdir(parents=True, mode=0o700)
    with closing(open_backend(database_of(folder))) as backend:
        with backend.migrating() as connection:
            migrate(connection, TABLES, where="benchmark")
        rows = _studies(count)
        while batch := list(islice(rows, _BATCH)):
            with backend.writer.connect() as connection, connection.begin():
                for table in (STUDY, SERIES, STUDY_LIST):
                    # From the newest: the text index writes what it holds for each row that goes before the last one.
                    connection.exec_driver_sql(*_inserts(table, [row[table.name] for row in reversed(batch)]))


def _inserts(table: Table, rows: Sequence[Row]) -> tuple[str, list[tuple[Any, ...]]]:
    """As `insert(table)` of these rows, in a third of the time."""
    defaults = {column.name: column.default.arg if column.default else None for column in table.columns}  # type: ignore[attr-defined]
    statement = str(insert(table).values(defaults).compile(dialect=sqlite.dialect()))
    return statement, [tuple(row.get(name, default) for name, default in defaults.items()) for row in rows]


@cache
def surname(number: int) -> str:
    """One of some 27,000 surnames; small numbers are the frequent ones."""
    return "".join(_SYLLABLES[number // len(_SYLLABLES) ** at % len(_SYLLABLES)] for at in range(3)).capitalize()


def some_surname(chance: random.Random) -> str:
    """A surname as often as it would be met: the thousandth is a thousand times rarer than the first."""
    return surname(int(len(_SYLLABLES) ** (3 * chance.random())) - 1)


def _studies(count: int) -> Iterator[Mapping[str, Row]]:
    """In the order in which they came: by date."""
    chance = random.Random(1)
    last: tuple[int, int] = (0, 0)
    place = 0
    for number in range(count):
        taken = FIRST_DAY + timedelta(seconds=int(DAYS * 86_400 * number / count))
        modality = chance.choice(_MODALITIES)
        uid = f"1.2.826.0.1.3680043.10.543.{number}"
        times = {"create_time": number, "update_time": number}
        counts = {"instance_count": 1, "size_bytes": 0}
        study = {
            "study_instance_uid": uid,
            "patient_id": f"{chance.randrange(count):07}",
            "patient_name": f"{some_surname(chance)}^{surname(chance.randrange(500))}",
            "patient_birth_date": f"{chance.randrange(1930, 2016)}{chance.randrange(1, 13):02}01",
            "patient_sex": chance.choice("FM"),
            "study_date": f"{taken:%Y%m%d}",
            "study_time": f"{taken:%H%M%S}",
            "accession_number": f"A{number:08}",
            "study_id": str(chance.randrange(10_000)),
            "study_description": chance.choice(_DESCRIPTIONS),
            "referring_physician_name": f"{some_surname(chance)}^Dr",
        }
        listed = list_entry({"issuer_of_patient_id": "", **study}, [modality])
        at = span(listed["study_date"], listed["study_time"])
        place = place - 1 if at == last else at[1]
        last = at
        yield {
            "study": {**study, "series_count": 1, **counts, **times},
            "series": {
                "study_instance_uid": uid,
                "series_instance_uid": f"{uid}.1",
                "modality": modality,
                **counts,
                "origin_kind": RECEIVED,
                "create_time": number,
            },
            "study_list": {**listed, "study_instance_uid": uid, "position": place},
        }
