"""Keeps the list of live studies: what changes a study's attributes, modalities or life calls `update_list`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from sqlalchemy import Connection, RowMapping, delete, func, select, update
from sqlalchemy.dialects import postgresql, sqlite

from storage_svc.schema import SERIES, STUDY, STUDY_LIST
from storage_svc.search.list_position import span
from storage_svc.search.wildcard import name_key

LONGEST_VALUE: Final = 512
"""Characters of a value that can be searched for. The Standard has at most 64, and 194 for a person name; an entry of
PostgreSQL's indexes has at most 2,700 bytes."""

_uid = STUDY_LIST.c.study_instance_uid
_AS_THEY_ARE = (
    "patient_id",
    "issuer_of_patient_id",
    "patient_birth_date",
    "patient_sex",
    "study_date",
    "study_time",
    "accession_number",
    "study_id",
    "study_description",
)
_INSERT: Final[Mapping[str, Any]] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}
Row = Mapping[str, Any] | RowMapping


def update_list(connection: Connection, study_instance_uids: Iterable[str]) -> None:
    """Bring the list up to what the rows of these studies and of their series are by now."""
    uids = sorted(set(study_instance_uids))
    query = select(STUDY).where(STUDY.c.study_instance_uid.in_(uids), STUDY.c.instance_count > 0)
    live = {row["study_instance_uid"]: row for row in connection.execute(query).mappings()}
    listed = {row[_uid]: row for row in connection.execute(select(STUDY_LIST).where(_uid.in_(uids))).mappings()}
    modalities = _modalities(connection, list(live))
    new: list[Row] = []
    for uid in uids:
        found = listed.get(uid)
        entry = list_entry(live[uid], modalities.get(uid, ())) if uid in live else None
        if entry is not None and found is not None and _stands(found, entry):
            changed = {name: value for name, value in entry.items() if found[name] != value}
            if changed:
                connection.execute(update(STUDY_LIST).where(_uid == uid).values(**changed))
            continue
        if found is not None:
            connection.execute(delete(STUDY_LIST).where(_uid == uid))
        if entry is not None:
            new.append({**entry, "study_instance_uid": uid})
    # Second by second: of two processes, one waits for the other's places, and not the other for its own, too.
    for row in sorted(new, key=lambda row: span(row["study_date"], row["study_time"])):
        _insert(connection, row)


def _modalities(connection: Connection, uids: Sequence[str]) -> dict[str, list[str]]:
    live = SERIES.c.study_instance_uid.in_(uids) & (SERIES.c.instance_count > 0) & (SERIES.c.modality != "")
    query = select(SERIES.c.study_instance_uid, SERIES.c.modality).where(live).distinct().order_by(SERIES.c.modality)
    found: dict[str, list[str]] = {}
    for uid, modality in connection.execute(query):
        found.setdefault(uid, []).append(modality)
    return found


def list_entry(study: Row, modalities: Sequence[str]) -> dict[str, str]:
    """What the list holds of a study's row and the sorted modalities of its series, but for its UID and place."""
    entry = {name: study[name] for name in _AS_THEY_ARE}
    entry["patient_name_key"] = name_key(study["patient_name"])
    entry["referring_physician_name_key"] = name_key(study["referring_physician_name"])
    entry["modalities"] = "\\" + "\\".join(modalities) + "\\" if modalities else ""
    return {name: value[:LONGEST_VALUE] for name, value in entry.items()}


def _stands(found: Row, entry: Row) -> bool:
    """True if the entry's place is still the right one."""
    return (found["study_date"], found["study_time"]) == (entry["study_date"], entry["study_time"])


def _insert(connection: Connection, entry: Row) -> None:
    position = STUDY_LIST.c.position
    first, last = span(entry["study_date"], entry["study_time"])
    newest = connection.execute(select(func.min(position)).where(position.between(first, last))).scalar()
    place = last if newest is None else newest - 1
    insert = _INSERT[connection.dialect.name](STUDY_LIST).on_conflict_do_nothing(index_elements=[position])
    insert = insert.returning(position)
    # Another process may be about to take the same place: it is that one's, once it has committed.
    while connection.execute(insert.values(**entry, position=place)).scalar() is None:
        place -= 1
