"""A spooled upload whose stream ends while a thread works on its file."""

from __future__ import annotations

import asyncio
import os
import threading
from pathlib import Path

import pytest

from storage_svc.upload.header import Announced
from storage_svc.upload.spooled import SpooledUpload

CONTENT = b"x" * 1000


@pytest.mark.parametrize("call", ["write", "persist", "finish"])
async def test_a_file_is_never_closed_under_a_thread_that_uses_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    upload = SpooledUpload(tmp_path / "part", Announced(size_bytes=len(CONTENT)))
    if call != "write":
        await upload.write(0, CONTENT, None)
    at_work, go_on = threading.Event(), threading.Event()

    def slowly(function: object) -> object:
        def run(*arguments: object) -> object:
            at_work.set()
            assert go_on.wait(20)
            return function(*arguments)  # type: ignore[operator]

        return run

    monkeypatch.setattr(os, "pwrite", slowly(os.pwrite))
    monkeypatch.setattr(os, "fsync", slowly(os.fsync))
    monkeypatch.setattr(Path, "rename", slowly(Path.rename))
    calls = {
        "write": lambda: upload.write(0, CONTENT, None),
        "persist": upload.persist,
        "finish": lambda: upload.finish(len(CONTENT)),
    }
    running = asyncio.create_task(calls[call]())
    assert await asyncio.to_thread(at_work.wait, 20)
    running.cancel()
    closing = asyncio.create_task(upload.close())
    for _ in range(10):
        await asyncio.sleep(0)
        running.cancel()  # once more, while it waits
    assert not running.done()
    assert not closing.done()
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await running
    await closing
    assert upload.path.read_bytes() == CONTENT
    assert upload.is_whole == (call == "finish")
