"""Numbers, dates and identifiers as a reader expects to see them."""

from __future__ import annotations

import math
import re
from datetime import UTC, date, datetime


def number_text(value: float) -> str:
    """The number with three to four digits that matter, no exponent between 1e-4 and 1e9, groups of thousands apart.

    Whole numbers stay whole; the exact number stands in the structured report and in the JSON document.
    """
    if math.isnan(value):
        return "not a number"
    if math.isinf(value):
        return "+∞" if value > 0 else "−∞"
    size = abs(value)
    if value == 0:
        return "0"
    if not 1e-4 <= size < 1e9:
        return f"{value:.3e}".replace("-", "−")
    if size >= 1000 or float(value).is_integer():
        text = f"{value:,.0f}"
    elif size >= 1:
        text = f"{value:.{1 if size >= 100 else 2}f}"
    else:
        text = f"{value:.{2 - math.floor(math.log10(size))}f}".rstrip("0").rstrip(".")
    # U+2009 is missing in some fonts of viewers; the no-break space is everywhere.
    return text.replace("-", "−").replace(",", "\u00a0")


def date_text(value: str) -> str:
    """A DA value, YYYYMMDD, as `2030-01-31`; what is no date is given back as it is."""
    match = re.fullmatch(r"(\d{4})\.?(\d{2})\.?(\d{2})", value.strip())
    return "-".join(match.groups()) if match else value


def time_text(value: str) -> str:
    """A TM value as `12:34`; what is no time is given back as it is."""
    match = re.fullmatch(r"(\d{2}):?(\d{2}).*", value.strip())
    return f"{match[1]}:{match[2]}" if match else value


def moment_text(moment: datetime) -> str:
    """A moment as `2030-01-31 12:34 UTC`."""
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")


def person_text(name: str) -> str:
    """A PN value, `Doe^Jane`, as `Jane Doe`."""
    family, _, given = name.partition("=")[0].partition("^")
    return " ".join(part for part in (given.replace("^", " ").strip(), family) if part)


def age_text(birth_date: str, study_date: str) -> str:
    """The age in whole years on the day of the study, such as `54 y`; empty where the dates do not tell."""
    try:
        born = date.fromisoformat(date_text(birth_date))
        seen = date.fromisoformat(date_text(study_date))
    except ValueError:
        return ""
    years = seen.year - born.year - ((seen.month, seen.day) < (born.month, born.day))
    return f"{years} y" if 0 <= years < 150 else ""
