"""Dates and times of a header as moments on the clock of the scanner (PS3.5 6.2: DA, TM, DT)."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Final

_DATE: Final = re.compile(r"(\d{4})[.]?(\d{2})[.]?(\d{2})")
_TIME: Final = re.compile(r"(\d{2}):?(\d{2}):?(\d{2})(\.\d{1,6})?")
_DATE_TIME: Final = re.compile(r"(\d{8})(\d{6}(?:\.\d{1,6})?)([+-]\d{4})?")


def read_date_and_time(date: str, time: str) -> datetime | None:
    """The moment of a DA and a TM value; None if one is missing, odd or not told to the second."""
    day, clock = _DATE.fullmatch(date.strip()), _TIME.fullmatch(time.strip())
    if day is None or clock is None:
        return None
    try:
        return datetime(
            int(day[1]),
            int(day[2]),
            int(day[3]),
            int(clock[1]),
            int(clock[2]),
            int(clock[3]),
            round(float(clock[4] or 0) * 1e6) % 1_000_000,
        )
    except ValueError:
        return None


def read_date_time(value: str, zone_of_dates: str) -> datetime | None:
    """The moment of a DT value; None if it is missing, odd, or of another zone than the other dates.

    Parameters
    ----------
    zone_of_dates
        TimezoneOffsetFromUTC (0008,0201), which dates and times apart are told in; empty where nobody tells.
    """
    match = _DATE_TIME.fullmatch(value.strip())
    if match is None or (match[3] and match[3] != (zone_of_dates.strip() or match[3])):
        return None
    return read_date_and_time(match[1], match[2])
