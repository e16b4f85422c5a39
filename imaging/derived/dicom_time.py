"""The request's time as DICOM dates and times."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone

from imaging.errors import InvalidArgument

_OFFSET = re.compile(r"([+-])(\d{2})(\d{2})")


def utc(moment: datetime) -> datetime:
    """The same moment in UTC.

    Raises
    ------
    InvalidArgument
        If the moment has no time zone: then nobody could tell which moment it is.
    """
    if moment.tzinfo is None:
        raise InvalidArgument(
            "The effective time has no time zone",
            where="effective_time",
            hint="Give it in UTC, such as datetime(2030, 1, 31, 12, tzinfo=UTC).",
        )
    return moment.astimezone(UTC)


def offset_zone(timezone_offset_from_utc: str | None) -> timezone:
    """The zone that TimezoneOffsetFromUTC (0008,0201), such as `-0500`, names; UTC if it is absent or unreadable."""
    match = _OFFSET.fullmatch((timezone_offset_from_utc or "").strip())
    if match is None:
        return UTC
    minutes = int(match[2]) * 60 + int(match[3])
    if minutes > 14 * 60:
        return UTC
    return timezone(timedelta(minutes=-minutes if match[1] == "-" else minutes))


def da_value(moment: datetime, zone: timezone = UTC) -> str:
    """A date, YYYYMMDD, in the given zone (PS3.5 6.2, DA)."""
    return utc(moment).astimezone(zone).strftime("%Y%m%d")


def tm_value(moment: datetime, zone: timezone = UTC) -> str:
    """A time of day, HHMMSS with a fraction only where there is one, in the given zone (PS3.5 6.2, TM)."""
    local = utc(moment).astimezone(zone)
    return local.strftime("%H%M%S.%f" if local.microsecond else "%H%M%S")


def dt_value(moment: datetime) -> str:
    """Date, time and offset `+0000` in one value (PS3.5 6.2, DT)."""
    moment = utc(moment)
    return moment.strftime("%Y%m%d%H%M%S.%f" if moment.microsecond else "%Y%m%d%H%M%S") + "+0000"
