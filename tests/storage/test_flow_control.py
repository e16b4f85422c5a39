"""Batches, budgets and turns: what keeps many streams fast and bounded."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imaging.errors import ImagingError, Overloaded, StorageFull, Unavailable
from storage_svc.index.batching import Batcher
from storage_svc.ingest.uid_turns import UidTurns
from storage_svc.intake.arena import HEADROOM, Arena
from storage_svc.upload.open_uploads import OpenUploads
from storage_svc.upload.spool import is_resumable, study_hint


async def test_requests_that_come_while_a_batch_runs_share_the_next_one() -> None:
    batches: list[int] = []
    go_on = asyncio.Event()

    async def run(items: Sequence[int]) -> list[int | Exception]:
        batches.append(len(items))
        if len(batches) == 1:
            await go_on.wait()
        return [ValueError("odd") if item % 2 else item * 10 for item in items]

    batcher: Batcher[int, int] = Batcher(run)
    first = asyncio.create_task(batcher.submit(0))
    while not batches:  # noqa: ASYNC110 - the batcher has no event for it
        await asyncio.sleep(0)
    others = [asyncio.create_task(batcher.submit(number)) for number in range(1, 9)]
    await asyncio.sleep(0)
    others[3].cancel()
    go_on.set()
    results = await asyncio.gather(first, *others, return_exceptions=True)
    assert batches == [1, 8]
    assert [result for result in results if isinstance(result, int)] == [0, 20, 60, 80]
    assert sum(isinstance(result, ValueError) for result in results) == 4


@pytest.mark.parametrize("error", [Unavailable("away"), StorageFull("full"), Overloaded("busy")])
async def test_a_batch_that_cannot_run_now_fails_all_of_its_callers_and_the_next_one_runs(error: ImagingError) -> None:
    batches: list[int] = []

    async def run(items: Sequence[int]) -> list[int | Exception]:
        batches.append(len(items))
        if 0 in items:
            raise error
        return list(items)

    batcher: Batcher[int, int] = Batcher(run)
    results = await asyncio.gather(*map(batcher.submit, range(8)), return_exceptions=True)
    assert results == [error] * 8
    assert await batcher.submit(2) == 2
    assert batches == [8, 1]


@pytest.mark.parametrize("spoiling", range(7))
async def test_one_that_spoils_a_batch_fails_alone(spoiling: int) -> None:
    async def run(items: Sequence[int]) -> list[int | Exception]:
        if spoiling in items:
            raise ValueError("out of bounds")
        return list(items)

    batcher: Batcher[int, int] = Batcher(run)
    results = await asyncio.gather(*map(batcher.submit, range(7)), return_exceptions=True)
    assert isinstance(results.pop(spoiling), ValueError)
    assert results == [number for number in range(7) if number != spoiling]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 3000), max_size=30))
def test_slots_never_overlap_and_the_arena_comes_back_whole(sizes: list[int]) -> None:
    async def scenario() -> None:
        arena = Arena(4096)

        async def use(number: int, size: int) -> None:
            slot = await arena.take(size)
            slot.fill(bytes([number]) * size)
            await asyncio.sleep(0)
            assert slot.view == bytes([number]) * size
            assert arena.in_use <= arena.size_bytes
            arena.give_back(slot)

        await asyncio.gather(*(use(number, size) for number, size in enumerate(sizes)))
        assert arena.in_use == 0
        arena.give_back(await arena.take(4096))
        arena.close()

    asyncio.run(scenario())


async def test_a_cancelled_wait_for_the_arena_takes_nothing() -> None:
    arena = Arena(4096)
    held = await arena.take(4096)
    waiting = asyncio.create_task(arena.take(2048))
    behind = asyncio.create_task(arena.take(2048))
    await asyncio.sleep(0)
    waiting.cancel()
    arena.give_back(held)
    await behind
    assert arena.in_use == 2048
    with pytest.raises(asyncio.CancelledError):
        await waiting
    arena.close()


async def test_a_slot_that_is_granted_and_cancelled_in_the_same_turn_comes_back() -> None:
    arena = Arena(4096)
    held = await arena.take(4096)
    waiting = asyncio.create_task(arena.take(64))
    await asyncio.sleep(0)
    arena.give_back(held)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert arena.in_use == 0
    arena.close()


async def test_what_is_put_before_a_bare_data_set_lies_in_its_headroom() -> None:
    arena = Arena(1 << 16)
    slot = await arena.take(100, headroom=HEADROOM)
    slot.fill(b"d" * 100)
    moved = slot.moved(slot.start - 10, 110)
    moved.fill(b"prefix" + b"-" * 4 + b"d" * 100)
    assert slot.view == b"d" * 100
    with pytest.raises(ValueError, match="larger than the arena"):
        await arena.take(1 << 17)
    arena.give_back(slot)
    arena.close()


async def test_turns_are_taken_one_after_the_other_for_each_uid() -> None:
    turns, inside = UidTurns(), 0

    async def enter() -> None:
        nonlocal inside
        async with turns.turn("1.2"):
            inside += 1
            assert inside == 1
            await asyncio.sleep(0)
            inside -= 1

    await asyncio.gather(*(enter() for _ in range(10)))
    assert turns._locks == {}


def test_a_study_is_held_by_its_open_uploads() -> None:
    uploads = OpenUploads()
    with uploads.hold("1.2"):
        assert "1.2" in uploads
    assert "1.2" not in uploads
    uploads.enter("1.2")
    with uploads.hold("1.2"):
        pass
    assert "1.2" in uploads
    uploads.leave("1.2")
    assert "1.2" not in uploads


@pytest.mark.parametrize(
    ("upload_id", "size", "expected"),
    [
        ("5f0c1c5e-8a31-4f0e-9a53-3f7a0e6f8b11", 9 << 20, True),
        ("5F0C1C5E-8A31-4F0E-9A53-3F7A0E6F8B11", 9 << 20, True),
        ("5f0c1c5e-8a31-4f0e-9a53-3f7a0e6f8b11", 8 << 20, False),
        ("1", 9 << 20, False),
    ],
)
def test_large_uploads_under_a_uuid_can_be_resumed(upload_id: str, size: int, expected: bool) -> None:
    assert is_resumable(upload_id, size) is expected


@given(st.binary(max_size=200))
def test_a_study_hint_is_a_uid_or_nothing(content: bytes) -> None:
    assert study_hint(content) == ""


def test_a_study_hint_is_seen_in_both_encodings() -> None:
    explicit = b"\x20\x00\x0d\x00UI\x06\x001.2.3\x00"
    implicit = b"\x20\x00\x0d\x00\x06\x00\x00\x001.2.3\x00"
    assert study_hint(b"x" * 50 + explicit) == study_hint(implicit) == "1.2.3"
