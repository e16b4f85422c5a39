"""Times go into tables and back exactly."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

from hypothesis import given
from hypothesis import strategies as st

from imaging.database import clock


@given(st.datetimes(timezones=st.just(UTC)))
def test_a_time_comes_back_exactly(moment: datetime) -> None:
    assert clock.from_microseconds(clock.to_microseconds(moment)) == moment


def test_zones_are_taken_for_what_they_are_and_the_wire_has_the_same_time() -> None:
    moment = datetime(2026, 1, 1, 1, 2, 3, 456789, timezone(timedelta(hours=1)))
    kept = clock.to_microseconds(moment)
    assert clock.from_microseconds(kept) == moment
    assert clock.timestamp(kept).ToDatetime(UTC) == moment
