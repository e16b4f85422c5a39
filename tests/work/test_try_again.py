"""Waits double up to the longest, and end a time after the first failure."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from imaging.work.try_again import TryAgain

FIRST = datetime(2026, 1, 1, tzinfo=UTC)
AGAIN = TryAgain(timedelta(seconds=5), timedelta(seconds=20), timedelta(minutes=1))


def test_waits_double_up_to_the_longest() -> None:
    waits = [AGAIN.next_try(attempts, FIRST, FIRST) for attempts in (1, 2, 3, 4, 1000)]
    assert [wait - FIRST for wait in waits if wait] == [timedelta(seconds=s) for s in (5, 10, 20, 20, 20)]


def test_it_is_given_up_when_the_next_try_would_be_too_late() -> None:
    assert AGAIN.next_try(3, FIRST, FIRST + timedelta(seconds=40)) == FIRST + timedelta(minutes=1)
    assert AGAIN.next_try(3, FIRST, FIRST + timedelta(seconds=41)) is None
