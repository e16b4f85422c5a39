"""Finding studies, series and instances: keys, order and pages (PS3.4 C.2.2.2)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, Table, and_, func, or_, select

from imaging.errors import InvalidArgument
from imaging.rpc.page_token import Position, decode_token, encode_token, query_digest
from storage_svc.names import Name
from storage_svc.schema import INSTANCE, SERIES, STUDY
from storage_svc.search_keys import condition

NO_NUMBER = 2**40
"""Sorts series and instances without a number last."""

MAX_SKIP = 1_000_000
"""Whoever goes on so far has page tokens."""

MAX_KEYS = 64
"""Of one search: more than there are keywords."""

Row = Mapping[str, Any]
_DESCENDING, _ASCENDING = True, False
Sort = tuple[ColumnElement[Any], bool]


@dataclass(frozen=True, slots=True)
class Search:
    """One search at a level: 1 studies, 2 series, 3 instances."""

    level: int
    parent: Name | None
    keys: tuple[tuple[str, str], ...]
    page_size: int
    page_token: str
    skip: int = 0


@dataclass(frozen=True, slots=True)
class Page:
    """Rows, and the token of the next page; empty on the last."""

    rows: Sequence[Row]
    next_page_token: str


def run_search(connection: Connection, search: Search) -> Page:
    """One page of results.

    Raises
    ------
    InvalidArgument
        For an unknown keyword, a malformed value or token.
    """
    if len(search.keys) > MAX_KEYS:
        raise InvalidArgument(f"There are more than {MAX_KEYS} keys", where="keys", hint="Ask for less at once.")
    if not 0 <= search.skip <= MAX_SKIP:
        raise InvalidArgument(
            f"skip is {search.skip}", where="skip", hint=f"0 to {MAX_SKIP} are taken; go on by page tokens."
        )
    table, sorts = _TABLES[search.level], _SORTS[search.level]
    digest = query_digest(search.level, str(search.parent or ""), sorted(search.keys))
    query = _joined(table, search).where(_live(search.level), *_within(search.parent, table))
    for keyword, value in search.keys:
        query = query.where(condition(keyword, value, search.level))
    position = decode_token(search.page_token, digest, _KINDS[search.level])
    if position is not None:
        query = query.where(_after(sorts, position))
    order = [column.desc() if descending else column.asc() for column, descending in sorts]
    query = query.order_by(*order).limit(search.page_size + 1).offset(search.skip or None)
    rows = [dict(row) for row in connection.execute(query).mappings()]
    if len(rows) <= search.page_size:
        return Page(rows, "")
    rows.pop()
    return Page(rows, encode_token(_position(search.level, rows[-1]), digest))


def modalities(connection: Connection, study_instance_uids: Sequence[str]) -> dict[str, list[str]]:
    """Modalities in Study (0008,0061) of each study, sorted."""
    query = (
        select(SERIES.c.study_instance_uid, SERIES.c.modality)
        .where(SERIES.c.study_instance_uid.in_(study_instance_uids), SERIES.c.instance_count > 0)
        .distinct()
        .order_by(SERIES.c.modality)
    )
    found: dict[str, list[str]] = {uid: [] for uid in study_instance_uids}
    for uid, modality in connection.execute(query):
        if modality:
            found[uid].append(modality)
    return found


def live_study(connection: Connection, name: Name) -> Row:
    """The row of a study that is there.

    Raises
    ------
    NotFound
        If it is not, or is deleted.
    """
    query = select(STUDY).where(STUDY.c.study_instance_uid == name.study_instance_uid, STUDY.c.instance_count > 0)
    return _one(connection, query, name)


def live_series(connection: Connection, name: Name) -> Row:
    """The row of a series that is there; raises as `live_study`."""
    query = select(SERIES).where(
        SERIES.c.study_instance_uid == name.study_instance_uid,
        SERIES.c.series_instance_uid == name.series_instance_uid,
        SERIES.c.instance_count > 0,
    )
    return _one(connection, query, name)


def live_instance(connection: Connection, name: Name) -> Row:
    """The row of an instance that is there; raises as `live_study`."""
    query = select(INSTANCE).where(
        INSTANCE.c.sop_instance_uid == name.sop_instance_uid,
        INSTANCE.c.study_instance_uid == name.study_instance_uid,
        INSTANCE.c.series_instance_uid == name.series_instance_uid,
        INSTANCE.c.purge_time.is_(None),
    )
    return _one(connection, query, name)


def _one(connection: Connection, query: Select[Any], name: Name) -> Row:
    row = connection.execute(query).mappings().first()
    if row is None:
        raise name.not_found()
    return dict(row)


_TABLES: Mapping[int, Table] = {1: STUDY, 2: SERIES, 3: INSTANCE}
_SORTS: Mapping[int, Sequence[Sort]] = {
    1: [(STUDY.c.study_date, _DESCENDING), (STUDY.c.study_instance_uid, _ASCENDING)],
    2: [
        (SERIES.c.study_instance_uid, _ASCENDING),
        (func.coalesce(SERIES.c.series_number, NO_NUMBER), _ASCENDING),
        (SERIES.c.series_instance_uid, _ASCENDING),
    ],
    3: [
        (INSTANCE.c.study_instance_uid, _ASCENDING),
        (INSTANCE.c.series_instance_uid, _ASCENDING),
        (func.coalesce(INSTANCE.c.instance_number, NO_NUMBER), _ASCENDING),
        (INSTANCE.c.sop_instance_uid, _ASCENDING),
    ],
}
_KINDS: Mapping[int, Sequence[type]] = {1: (str, str), 2: (str, int, str), 3: (str, str, int, str)}


def _position(level: int, row: Row) -> Position:
    if level == 1:
        return row["study_date"], row["study_instance_uid"]
    if level == 2:
        number = NO_NUMBER if row["series_number"] is None else row["series_number"]
        return row["study_instance_uid"], number, row["series_instance_uid"]
    number = NO_NUMBER if row["instance_number"] is None else row["instance_number"]
    return row["study_instance_uid"], row["series_instance_uid"], number, row["sop_instance_uid"]


def _after(sorts: Sequence[Sort], position: Position) -> ColumnElement[bool]:
    """What comes after a position in the sort order, column by column."""
    branches: list[ColumnElement[bool]] = []
    equal: list[ColumnElement[bool]] = []
    for (column, descending), value in zip(sorts, position, strict=True):
        branches.append(and_(*equal, column < value if descending else column > value))
        equal.append(column == value)
    return or_(*branches)


def _joined(table: Table, search: Search) -> Select[Any]:
    query = select(table)
    if search.level == 1 or not search.keys:
        return query
    source: Any = table
    if search.level == 3:
        own = (SERIES.c.study_instance_uid == INSTANCE.c.study_instance_uid) & (
            SERIES.c.series_instance_uid == INSTANCE.c.series_instance_uid
        )
        source = source.join(SERIES, own)
    return query.select_from(source.join(STUDY, STUDY.c.study_instance_uid == table.c.study_instance_uid))


def _live(level: int) -> ColumnElement[bool]:
    if level == 1:
        return STUDY.c.instance_count > 0
    if level == 2:
        return SERIES.c.instance_count > 0
    return INSTANCE.c.purge_time.is_(None)


def _within(parent: Name | None, table: Table) -> list[ColumnElement[bool]]:
    if parent is None:
        return []
    within = [table.c.study_instance_uid == parent.study_instance_uid]
    if parent.series_instance_uid:
        within.append(table.c.series_instance_uid == parent.series_instance_uid)
    return within
