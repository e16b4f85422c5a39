"""The intake process: what it answers, and what happens when it dies."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import google_crc32c
import pytest

from imaging.errors import ChecksumMismatch, FailedPrecondition, InvalidArgument, InvalidDicom, Unavailable
from imaging.objectstore import FolderObjectStore
from storage_svc.ingest.examine import Examined, Expected
from storage_svc.intake.arena import HEADROOM, Arena, Slot
from storage_svc.intake.intake import Intake
from tests.storage.storage_under_test import ct, file_bytes


class Taking:
    """An intake with its arena and the store that it writes to."""

    def __init__(self, folder: Path) -> None:
        self.store = FolderObjectStore(folder)
        self.arena = Arena(8 << 20)
        self.intake = Intake(self.arena.descriptor, folder)

    async def slot(self, content: bytes, headroom: int = 0) -> Slot:
        slot = await self.arena.take(len(content), headroom=headroom)
        slot.fill(content)
        return slot


@pytest.fixture
async def taking(tmp_path: Path) -> Any:
    made = Taking(tmp_path / "objects")
    await made.intake.start()
    yield made
    await made.intake.close()
    made.arena.close()


async def test_many_are_examined_and_kept_at_once_each_with_its_own_outcome(taking: Taking) -> None:
    contents = [ct(sop=f"1.2.3.1.{number}") for number in range(40)]
    slots = [await taking.slot(content) for content in contents]
    examined = await asyncio.gather(*(taking.intake.examine(slot, Expected()) for slot in slots))
    assert [one.sop_instance_uid for one in examined] == [f"1.2.3.1.{number}" for number in range(40)]
    assert [one.object_crc32c for one in examined] == [google_crc32c.value(content) for content in contents]
    taking.store.put("studies/7/taken", b"x")
    keys = [f"studies/{number % 3}/{number}" for number in range(39)] + ["studies/7/taken"]
    outcomes = await asyncio.gather(
        *(taking.intake.keep(key, slot) for key, slot in zip(keys, slots, strict=True)), return_exceptions=True
    )
    assert outcomes[:39] == [None] * 39
    assert isinstance(outcomes[39], FailedPrecondition)
    assert [taking.store.read(key) for key in keys] == [*contents[:39], b"x"]


async def test_refusals_come_with_their_fields(taking: Taking) -> None:
    slot = await taking.slot(ct())
    with pytest.raises(ChecksumMismatch):
        await taking.intake.examine(slot, Expected(object_crc32c=1))
    with pytest.raises(InvalidArgument) as other:
        await taking.intake.examine(slot, Expected(sop_instance_uid="1.9"))
    assert other.value.metadata == {"expected": "1.9", "found": "1.2.3.1.1"}
    with pytest.raises(InvalidDicom) as odd:
        await taking.intake.examine(await taking.slot(ct()[:-1000]), Expected())
    assert "(7FE0,0010), byte " in odd.value.where
    assert odd.value.hint


async def test_a_bare_data_set_gets_its_file_meta_in_the_headroom(taking: Taking) -> None:
    whole = file_bytes("CT_small.dcm")
    bare = whole[whole.index(b"\x08\x00\x05\x00CS") :]
    slot = await taking.slot(bare, HEADROOM)
    examined = await taking.intake.examine(slot, Expected(headerless_transfer_syntax_uid="1.2.840.10008.1.2.1"))
    moved = slot.moved(slot.start - examined.prefix_bytes, slot.size_bytes + examined.prefix_bytes)
    assert bytes(moved.view[128:132]) == b"DICM"
    assert bytes(moved.view[examined.data_set_offset :]) == bare
    assert examined.object_crc32c == google_crc32c.value(bytes(moved.view))


async def test_what_a_dying_process_had_is_unanswered_and_another_takes_its_place(taking: Taking) -> None:
    slot = await taking.slot(ct())
    await taking.intake.examine(slot, Expected())
    process = taking.intake._process
    assert process is not None
    os.kill(process.pid, signal.SIGSTOP)
    asked = asyncio.create_task(taking.intake.examine(slot, Expected()))
    await asyncio.sleep(0)
    os.kill(process.pid, signal.SIGKILL)
    with pytest.raises(Unavailable, match="send the instance again"):
        await asked
    examined = await _examined_soon(taking, slot)
    assert examined.sop_instance_uid == "1.2.3.1.1"
    assert taking.intake._process is not process


async def test_a_process_that_cannot_be_started_now_is_started_later(
    taking: Taking, monkeypatch: pytest.MonkeyPatch
) -> None:
    slot = await taking.slot(ct())
    process, popen, refusals = taking.intake._process, subprocess.Popen, [errno.EMFILE, errno.ENOMEM, errno.EAGAIN]
    assert process is not None

    def start(*command: Any, **options: Any) -> subprocess.Popen[bytes]:
        if refusals:
            raise OSError(refusals.pop(), "not now")
        return popen(*command, **options)

    monkeypatch.setattr(subprocess, "Popen", start)
    monkeypatch.setattr("storage_svc.intake.intake.RESTART_SECONDS", 0.01)
    process.kill()
    assert (await _examined_soon(taking, slot)).sop_instance_uid == "1.2.3.1.1"
    assert refusals == []


async def _examined_soon(taking: Taking, slot: Slot) -> Examined:
    async with asyncio.timeout(30):
        while True:
            try:
                return await taking.intake.examine(slot, Expected())
            except Unavailable:
                await asyncio.sleep(0.05)
