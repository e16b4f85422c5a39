"""Ranges of dates and times (PS3.4 C.2.2.2.5): each by itself, or both together as moments."""

from __future__ import annotations

import re
from dataclasses import dataclass

from sqlalchemy import ColumnElement, and_, or_

from imaging.errors import InvalidArgument

_DATE = re.compile(r"[0-9]{8}\Z")
_TIME = re.compile(r"[0-9]{2}(?:[0-9]{2}(?:[0-9]{2}(?:\.[0-9]{1,6})?)?)?\Z")
_LAST_TIME = "235959.999999"

Condition = ColumnElement[bool]


@dataclass(frozen=True, slots=True)
class Range:
    """Both ends belong to it; an empty one is open."""

    low: str
    high: str


def date_range(value: str) -> Range:
    """`YYYYMMDD`, or `from-to` with one end open.

    Raises
    ------
    InvalidArgument
        If it is neither.
    """
    return _range(value, _DATE, "date YYYYMMDD")


def time_range(value: str) -> Range:
    """`HH`, `HHMM`, `HHMMSS` or `HHMMSS.FFFFFF`, or a range of them; a short last time is filled up to its end."""
    found = _range(value, _TIME, "time HHMMSS.FFFFFF")
    return Range(found.low, found.high and found.high + _LAST_TIME[len(found.high) :])


def within(column: ColumnElement[str], found: Range) -> Condition:
    """The column's value lies in the range. A row without a value never does."""
    # Stored times have at least HH; comparing texts orders them as long as the bounds are filled up.
    conditions = [column != ""]
    if found.low:
        conditions.append(column >= found.low)
    if found.high:
        conditions.append(column <= found.high)
    return and_(*conditions)


def moments_within(date: ColumnElement[str], time: ColumnElement[str], dates: Range, times: Range) -> Condition:
    """Date and time together lie between the first date's first time and the last date's last time.

    A time whose date end is open says nothing. A row without a time matches where any time of its date would.
    """
    if not times.low and not times.high:
        return within(date, dates)
    conditions = [date != ""]
    if dates.low:
        after = and_(date == dates.low, time != "", time >= times.low) if times.low else date == dates.low
        conditions.append(or_(date > dates.low, after))
    if dates.high:
        before = and_(date == dates.high, time != "", time <= times.high) if times.high else date == dates.high
        conditions.append(or_(date < dates.high, before))
    return and_(*conditions)


def malformed(why: str) -> InvalidArgument:
    """The error for a value that is no form of a key. The value is not told: it may name a patient."""
    return InvalidArgument(f"The value of a key is malformed: {why}", hint="See PS3.4 C.2.2.2 for the forms of a key.")


def _range(value: str, pattern: re.Pattern[str], what: str) -> Range:
    low, dash, high = (part.strip() for part in value.partition("-"))
    if not dash:
        high = low
    for end in (low, high):
        if (end or not dash) and not pattern.match(end):
            raise malformed(f"it is not a {what}, nor a range of two with a hyphen between")
    if not low and not high:
        raise malformed("both ends of the range are open")
    return Range(low, high)
