"""A search's keys as exact conditions (PS3.4 C.2.2.2): those of its own level and above, and of what lies below."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from sqlalchemy import ColumnElement, Table, and_, exists, select, tuple_

from imaging.errors import InvalidArgument
from storage_svc.schema import INSTANCE, SERIES, STUDY_LIST
from storage_svc.search.date_range import date_range, malformed, moments_within, time_range
from storage_svc.search.keys import INSTANCE_LEVEL, KEYS, PAIRS, SERIES_LEVEL, STUDY_LEVEL
from storage_svc.search.wildcard import is_pattern, is_universal

MAX_VALUE_LENGTH: Final = 8192
"""Characters of one key: a list of some hundred UIDs."""

MAX_PATTERNS: Final = 100
"""Values with wildcards in all keys; some thousand keep a database busy for half a minute."""

MAX_VALUES: Final = 10_000
"""Values in all keys; a statement of PostgreSQL takes 65,535."""

T = TypeVar("T")
Condition = ColumnElement[bool]


@dataclass(frozen=True, slots=True)
class Matching:
    """The keys of one search that restrict it."""

    conditions: Mapping[int, Sequence[Condition]]
    """By the level of their attributes."""

    values: Mapping[str, str]
    """By keyword, for what narrows a search before these conditions decide. Of a keyword given twice, the last."""

    def at(self, level: int) -> list[Condition]:
        """The conditions of one level."""
        return list(self.conditions.get(level, ()))

    def has_uid(self, below: int = 0) -> bool:
        """True if unique UIDs of levels below one are asked for: an index leads to them, and to what they belong to."""
        return any(KEYS[keyword].is_uid and KEYS[keyword].level > below for keyword in self.values)


def matching(keys: Sequence[tuple[str, str]], *, separate_date_and_time: bool = False) -> Matching:
    """The conditions of keywords and their values. Date and time of a pair match together, as moments.

    Parameters
    ----------
    separate_date_and_time
        Match each by itself, as C-FIND does without extended negotiation (PS3.4 C.2.2.2.5).

    Raises
    ------
    InvalidArgument
        If a keyword is not known, or a value malformed.
    """
    wanted = [(keyword, value) for keyword, value in keys if not is_universal(_checked(keyword, value))]
    _check_amount(wanted)
    values = dict(wanted)
    conditions: dict[int, list[Condition]] = {}
    together = set[str]()
    if not separate_date_and_time and len(values) == len(wanted):
        for date, (time, date_column, time_column) in PAIRS.items():
            if date in values and time in values:
                together |= {date, time}
                dates, times = _made(date, values[date], date_range), _made(time, values[time], time_range)
                both = moments_within(date_column, time_column, dates, times)
                conditions.setdefault(KEYS[date].level, []).append(both)
    for keyword, value in wanted:
        if keyword not in together:
            made = _made(keyword, value, KEYS[keyword].condition)
            conditions.setdefault(KEYS[keyword].level, []).append(made)
    return Matching(conditions, values)


def below(found: Matching, level: int) -> list[Condition]:
    """What a study or series must contain so that the keys of lower levels match: all of them in the same place."""
    series = found.at(SERIES_LEVEL) if level < SERIES_LEVEL else []
    instances = found.at(INSTANCE_LEVEL) if level < INSTANCE_LEVEL else []
    if not series and not instances:
        return []
    table = INSTANCE if instances else SERIES
    inner, outer = uids_of(table, level), uids_of(STUDY_LIST if level == STUDY_LEVEL else SERIES, level)
    live = INSTANCE.c.purge_time.is_(None) if instances else SERIES.c.instance_count > 0
    query = select(*inner).where(*series, *instances, live)
    if series and instances:
        query = query.join(SERIES, equal(uids_of(INSTANCE, SERIES_LEVEL), uids_of(SERIES, SERIES_LEVEL)))
    if found.has_uid(below=level):
        return [tuple_(*outer).in_(query)]
    return [exists(query.where(equal(inner, outer)).correlate(outer[0].table))]


def uids_of(table: Table, level: int) -> list[Any]:
    """The columns with the UIDs of the study, and at level 2 of the series, that a table's row belongs to."""
    return [table.c[name] for name in ("study_instance_uid", "series_instance_uid")[:level]]


def equal(some: Sequence[Any], others: Sequence[Any]) -> Condition:
    """Each of some columns has the value of the one beside it."""
    return and_(*(one == other for one, other in zip(some, others, strict=True)))


def _check_amount(wanted: Sequence[tuple[str, str]]) -> None:
    """Pass if all keys together are not more than a database can take, and answer in reasonable time."""
    values = patterns = 0
    for keyword, value in wanted:
        listed = value.split("\\")
        values += len(listed)
        patterns += sum(map(is_pattern, listed))
        if patterns > MAX_PATTERNS:
            raise _placed(malformed(f"the keys list more than {MAX_PATTERNS} values with wildcards"), keyword)
        if values > MAX_VALUES:
            raise _placed(malformed(f"the keys list more than {MAX_VALUES} values"), keyword)


def _checked(keyword: str, value: str) -> str:
    if keyword not in KEYS:
        raise InvalidArgument(
            "The keyword cannot be matched",
            where=f"keys: {keyword[:64]!r}",
            hint=f"Known are {', '.join(sorted(KEYS))}.",
        )
    if len(value) > MAX_VALUE_LENGTH:
        raise InvalidArgument(
            f"A key has more than {MAX_VALUE_LENGTH} characters", where=f"keys: {keyword}", hint="Ask in parts."
        )
    if "\0" in value:  # would end a pattern, which then matches everything
        raise _placed(malformed("it holds a null character"), keyword)
    return value


def _made(keyword: str, value: str, make: Callable[[str], T]) -> T:
    try:
        return make(value)
    except InvalidArgument as error:
        raise _placed(error, keyword) from None


def _placed(error: InvalidArgument, keyword: str) -> InvalidArgument:
    error.where = f"keys: {keyword}"
    error.args = (error.text,)
    return error
