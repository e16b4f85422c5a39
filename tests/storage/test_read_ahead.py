"""Pieces come in order, whether they are fetched in threads or given at once; what waits is bounded."""

from __future__ import annotations

import threading
from collections.abc import AsyncGenerator, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imaging.errors import DataLoss
from storage_svc.retrieve.read_ahead import read_ahead


@pytest.fixture(scope="module")
def executor() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as threads:
        yield threads


async def numbers(count: int) -> AsyncGenerator[int]:
    for number in range(count):
        yield number


@given(waiting=st.sets(st.integers(0, 19)))
async def test_what_is_given_at_once_overtakes_nothing(executor: ThreadPoolExecutor, waiting: set[int]) -> None:
    fetched: list[int] = []

    def fetch(number: int) -> int:
        fetched.append(number)
        return number

    def at_once(number: int) -> int | None:
        return None if number in waiting else number

    given = [
        number
        async for number in read_ahead(numbers(20), fetch, executor=executor, size_bytes=lambda _: 1, at_once=at_once)
    ]
    assert given == list(range(20))
    assert waiting <= set(fetched)


async def test_no_more_is_fetched_than_may_be_ahead(executor: ThreadPoolExecutor) -> None:
    begun: list[int] = []
    lock = threading.Lock()

    def fetch(number: int) -> int:
        with lock:
            begun.append(number)
        return number

    pieces = read_ahead(numbers(100), fetch, executor=executor, size_bytes=lambda _: 1, ahead=4)
    for taken in range(1, 20):
        await anext(pieces)
        assert len(begun) <= taken + 4
    await pieces.aclose()


async def test_the_first_failure_comes_in_its_turn(executor: ThreadPoolExecutor) -> None:
    def fetch(number: int) -> int:
        if number >= 3:
            raise DataLoss(f"object {number}")
        return number

    given: list[int] = []
    with pytest.raises(DataLoss, match="object 3"):
        async for number in read_ahead(numbers(10), fetch, executor=executor, size_bytes=lambda _: 1):
            given.append(number)  # noqa: PERF401 - what came before the failure is kept
    assert given == [0, 1, 2]
