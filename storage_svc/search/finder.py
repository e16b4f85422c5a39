"""Finds where the results of a search are, in order: candidates from the list of studies, exact conditions on them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    FromClause,
    Join,
    Select,
    Table,
    func,
    literal,
    literal_column,
    or_,
    select,
    tuple_,
)

from imaging.rpc.page_token import Position
from storage_svc.names import Name
from storage_svc.schema import INSTANCE, NO_NUMBER, SERIES, STUDY_LIST
from storage_svc.search.date_range import date_range
from storage_svc.search.keys import INSTANCE_LEVEL, SERIES_LEVEL, STUDY_LEVEL
from storage_svc.search.list_position import span_of_dates
from storage_svc.search.match import Matching, below, equal, uids_of
from storage_svc.search.ordered_join import OrderedJoin
from storage_svc.search.text_index import WHOLE_LIST, Source, candidates_of

WINDOW: Final = 20_000
"""Studies that are looked at before a narrower source is asked for; takes SQLite about 6 ms."""

_FIRST_STUDIES: Final = 50
"""Studies whose series or instances are looked at first; four times as many each time that the page is not full."""

Condition = ColumnElement[bool]


@dataclass(frozen=True, slots=True)
class Found:
    """A result: where it stands, and the UIDs that name its row."""

    position: Position
    uids: tuple[str, ...]


def _numbered(column: Column[int]) -> ColumnElement[int]:
    # Word for word as in the index of instances, so that it serves the order.
    return func.coalesce(column, literal_column(str(NO_NUMBER)))


@dataclass(frozen=True, slots=True)
class _Level:
    """What the results of a level are, and their order within a study."""

    table: Table
    order: Sequence[ColumnElement[Any]]
    kinds: Sequence[type]
    uids: Sequence[Column[str]]


_LEVELS: Final[Mapping[int, _Level]] = {
    STUDY_LEVEL: _Level(STUDY_LIST, (), (), (STUDY_LIST.c.study_instance_uid,)),
    SERIES_LEVEL: _Level(
        SERIES,
        (_numbered(SERIES.c.series_number), SERIES.c.series_instance_uid),
        (int, str),
        (SERIES.c.study_instance_uid, SERIES.c.series_instance_uid),
    ),
    INSTANCE_LEVEL: _Level(
        INSTANCE,
        (INSTANCE.c.series_instance_uid, _numbered(INSTANCE.c.instance_number), INSTANCE.c.sop_instance_uid),
        (str, int, str),
        (INSTANCE.c.sop_instance_uid,),
    ),
}


_LIVE: Final[Mapping[int, Sequence[Condition]]] = {
    STUDY_LEVEL: (),
    SERIES_LEVEL: (SERIES.c.instance_count > 0,),
    INSTANCE_LEVEL: (INSTANCE.c.purge_time.is_(None),),
}


class Finder:
    """Finds the results of one search."""

    def __init__(self, level: int, parent: Name | None, wanted: Matching, *, oldest_first: bool = False) -> None:
        self._level, self._of = level, _LEVELS[level]
        self._parent = parent
        self._wanted = wanted
        self._has_uids = wanted.has_uid()
        self._oldest_first = oldest_first
        of_a_series = parent is not None and parent.level == SERIES_LEVEL
        self._order, kinds = self._of.order[of_a_series:], self._of.kinds[of_a_series:]
        self.kinds = [*([] if parent else [int]), *kinds]
        """Types of a position: the place of the study, where there are many, and what orders the results in one."""

    def find(self, connection: Connection, after: Position | None, limit: int, skip: int = 0) -> list[Found]:
        """Up to `limit` results after a position, in order, without the first `skip`."""
        if self._parent is not None or self._has_uids:
            return self._read(connection, WHOLE_LIST, limit, *self._after(WHOLE_LIST.place, after), skip=skip)
        candidates = candidates_of(connection, self._wanted.values)
        if self._level > STUDY_LEVEL:
            return self._study_after_study(connection, candidates.narrowest(), after, limit, skip)
        if skip or candidates.narrow is None:
            source = candidates.narrowest()
            return self._read(connection, source, limit, *self._after(source.place, after), skip=skip)
        first = candidates.first
        begin = self._after(first.place, after)
        edge = self._edge(connection, first, WINDOW, *begin)
        if edge is None:
            return self._read(connection, first, limit, *begin)
        found = self._read(connection, first, limit, *begin, ~self._past(first.place, edge))
        if len(found) == limit:
            return found
        source = candidates.narrow()
        return found + self._read(connection, source, limit - len(found), self._past(source.place, edge))

    def _study_after_study(
        self, connection: Connection, source: Source, after: Position | None, limit: int, skip: int
    ) -> list[Found]:
        """Series or instances of some studies, then of more studies: what is sorted at once is never much."""
        found: list[Found] = []
        begin, studies = self._after(source.place, after), _FIRST_STUDIES
        while True:
            # Of where to begin only the study: the rest is about tables that are not counted here.
            edge = self._edge(connection, source, studies, *begin[:1], *self._wanted.at(STUDY_LEVEL))
            part = begin if edge is None else [*begin, ~self._past(source.place, edge)]
            if skip and (skipped := self._count(connection, source, skip, *part)) < skip:
                skip -= skipped
            else:
                found += self._read(connection, source, limit - len(found), *part, skip=skip)
                skip = 0
            if edge is None or len(found) == limit:
                return found
            begin, studies = [self._past(source.place, edge)], min(4 * studies, WINDOW)

    def _edge(self, connection: Connection, source: Source, studies: int, *conditions: Condition) -> int | None:
        """The place of the study after so many of a source; None if it has no more than those."""
        query = source.select(source.place).where(*conditions, *self._dates(source.place)).limit(1).offset(studies)
        return connection.execute(query.order_by(self._directed(source.place))).scalar()

    def count(self, connection: Connection, most: int) -> int:
        """How many results there are, `most` at most."""
        if self._parent is not None or self._has_uids:
            return self._count(connection, WHOLE_LIST, most)
        return self._count(connection, candidates_of(connection, self._wanted.values).narrowest(), most)

    def _count(self, connection: Connection, source: Source, most: int, *conditions: Condition) -> int:
        counted = self._matches(source, literal_column("1")).where(*conditions).limit(most).subquery()
        return int(connection.execute(select(func.count()).select_from(counted)).scalar_one())

    def _read(
        self, connection: Connection, source: Source, limit: int, *conditions: Condition, skip: int = 0
    ) -> list[Found]:
        place = [] if self._parent else [source.place]
        columns = [column.label(f"c{number}") for number, column in enumerate((*place, *self._order, *self._of.uids))]
        query = self._matches(source, *columns).where(*conditions)
        query = query.order_by(*map(self._directed, place), *self._order).limit(limit).offset(skip or None)
        rows = [tuple(row) for row in connection.execute(query)]
        return [Found(row[: len(self.kinds)], row[len(self.kinds) :]) for row in rows]

    def _matches(self, source: Source, *columns: ColumnElement[Any]) -> Select[Any]:
        """These columns of everything in a source that matches."""
        wanted, level = self._wanted, self._level
        conditions = [*wanted.at(STUDY_LEVEL), *below(wanted, level), *_LIVE[level]]
        if level > STUDY_LEVEL:
            conditions += wanted.at(SERIES_LEVEL)
        if level == INSTANCE_LEVEL:
            conditions += wanted.at(INSTANCE_LEVEL)
        if self._parent is None:
            conditions += self._dates(source.place)
        else:
            given = (self._parent.study_instance_uid, self._parent.series_instance_uid)
            uids = uids_of(self._of.table, self._parent.level)
            conditions += [uid == value for uid, value in zip(uids, given, strict=False)]
        return source.select(*columns, tables=self._tables(source)).where(*conditions)

    def _tables(self, source: Source) -> FromClause:
        """What the conditions need, joined from the list down."""
        chain = [SERIES] if self._level == INSTANCE_LEVEL and self._wanted.at(SERIES_LEVEL) else []
        chain += [self._of.table] if self._level > STUDY_LEVEL else []
        tables, above = source.tables, STUDY_LIST
        if self._parent is not None and not self._wanted.at(STUDY_LEVEL):
            tables = above = chain.pop(0)
        # What is named leads to where it is; all else is looked for from one study to the next.
        join = Join if self._parent is not None or self._has_uids else OrderedJoin
        for table in chain:
            level = STUDY_LEVEL if above is STUDY_LIST else SERIES_LEVEL
            tables, above = join(tables, table, equal(uids_of(above, level), uids_of(table, level))), table
        return tables

    def _dates(self, place: ColumnElement[int]) -> list[Condition]:
        """The part of the list with the study dates that are asked for."""
        if "StudyDate" not in self._wanted.values:
            return []
        first, last = span_of_dates(date_range(self._wanted.values["StudyDate"]))
        return [*([] if first is None else [place >= first]), *([] if last is None else [place <= last])]

    def _after(self, place: ColumnElement[int], position: Position | None) -> list[Condition]:
        if position is None:
            return []
        if self._parent is not None:
            return [_beyond(self._order, position)]
        if not self._order:
            return [self._past(place, position[0])]
        return [place >= position[0], or_(place != position[0], _beyond(self._order, position[1:]))]

    def _directed(self, place: ColumnElement[int]) -> ColumnElement[int]:
        return place.desc() if self._oldest_first else place

    def _past(self, place: Any, value: Any) -> Condition:
        past: Condition = place < value if self._oldest_first else place > value
        return past


def _beyond(order: Sequence[ColumnElement[Any]], position: Position) -> Condition:
    return tuple_(*order) > tuple_(*(literal(value) for value in position))
