"""Where a study stands in the list: one whole number made of its date and time, smallest for the newest.

A page is then a range of one key, and an index that gives its hits in the order of that key gives the newest first. In
one second there is room for 2^24 studies; the one that came last stands before those that came earlier. Studies without
a date stand at the end.
"""

from __future__ import annotations

from typing import Final

from storage_svc.search.date_range import Range

_BITS_BELOW_A_SECOND: Final = 24
_SECONDS_A_DAY: Final = 86_401  # with a leap second
_FIRST_DAY: Final = 372
"""Of year 1; the numbers below it are for studies without a date."""


def span(study_date: str, study_time: str) -> tuple[int, int]:
    """First and last position for studies of a second.

    Parameters
    ----------
    study_date
        YYYYMMDD; empty if it is not known.
    study_time
        HH, HHMM, HHMMSS or HHMMSS.FFFFFF; empty is taken as midnight.
    """
    if not study_date:
        return -(_FIRST_DAY * _SECONDS_A_DAY << _BITS_BELOW_A_SECOND), -1
    hour, minute, second = (int(study_time[at : at + 2] or 0) for at in (0, 2, 4))
    number = _day(study_date) * _SECONDS_A_DAY + hour * 3600 + minute * 60 + second
    return -((number + 1) << _BITS_BELOW_A_SECOND), -(number << _BITS_BELOW_A_SECOND) - 1


def span_of_dates(dates: Range) -> tuple[int | None, int | None]:
    """First and last position of the days from `low` to `high`; None where that end is open."""
    first = -((_day(dates.high) + 1) * _SECONDS_A_DAY << _BITS_BELOW_A_SECOND) if dates.high else None
    last = -(_day(dates.low) * _SECONDS_A_DAY << _BITS_BELOW_A_SECOND) - 1 if dates.low else None
    return first, last


def _day(date: str) -> int:
    """A number that grows with the day, for any eight digits: those that are no day count as the nearest one."""
    year, month, day = int(date[:4]), int(date[4:6]), int(date[6:8])
    if not 1 <= month <= 12:
        month, day = (1, 1) if month < 1 else (12, 31)
    return (year * 12 + month - 1) * 31 + min(max(day, 1), 31) - 1
