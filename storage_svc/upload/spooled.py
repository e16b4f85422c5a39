"""One upload that comes in chunks: a file in the spool, checked chunk by chunk, complete before anything reads it."""

from __future__ import annotations

import asyncio
import fcntl
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from secrets import token_hex
from typing import TypeVar

import google_crc32c

from imaging.errors import ChecksumMismatch, LimitExceeded, Unavailable
from imaging.objectstore.os_failure import os_failures
from storage_svc.upload.header import Announced

T = TypeVar("T")
MAX_CHUNK_BYTES = 1024 * 1024


class SpooledUpload:
    """Chunks in, a file out. One caller at a time; file work runs in threads.

    The file is locked while it is open: another process on the same folder neither cuts it short nor writes to it.

    Parameters
    ----------
    persisted_bytes
        What an earlier stream has left in the file and the database has recorded; the rest of the file is dropped.

    Raises
    ------
    Unavailable
        If another process has the file open.
    """

    def __init__(self, path: Path, announced: Announced, persisted_bytes: int = 0) -> None:
        self.path = path
        self.announced = announced
        self.study_hint = ""
        self.is_whole = False
        """Set when it has its own name as a finished file."""

        self._lock = asyncio.Lock()
        with os_failures("receiving an upload", self.path.parent):
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
            try:
                self._make_ours()
                self.persisted_bytes = min(persisted_bytes, os.fstat(self._file).st_size)
                os.ftruncate(self._file, self.persisted_bytes)
            except BaseException:
                self._close()
                raise
        self._written = self.persisted_bytes

    def _make_ours(self) -> None:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(self._file), self.path.stat()):
                return
        except (BlockingIOError, FileNotFoundError):
            pass
        # Held by another process, or finished by it between the opening and the lock.
        raise _elsewhere()

    @property
    def written_bytes(self) -> int:
        """Bytes received from the start on, without a gap."""
        return self._written

    async def write(self, offset: int, content: bytes, crc32c: int | None) -> None:
        """Take a chunk. One that is there already changes nothing.

        Raises
        ------
        ChecksumMismatch
            If it changed on the way, leaves a gap, goes past the declared size, or differs from what is there.
        LimitExceeded
            If it is over 1 MiB.
        StorageFull, Unavailable
            If it cannot be written.
        """
        if len(content) > MAX_CHUNK_BYTES:
            raise LimitExceeded(
                f"A chunk has {len(content)} bytes, more than {MAX_CHUNK_BYTES}",
                where="data.content",
                hint="Send chunks of at most 1 MiB; only an instance that is whole in one message may have 3.5 MiB.",
            )
        check_chunk(content, crc32c, offset)
        async with self._lock:
            self._check_open()
            end = offset + len(content)
            if offset < 0 or offset > self._written or end > self.announced.most_bytes:
                raise ChecksumMismatch(
                    f"A chunk of bytes {offset} to {end} does not fit: {self._written} of"
                    f" {self.announced.most_bytes} bytes are there",
                    hint="Go on at the size that the service has told.",
                )
            await _to_its_end(lambda: self._write(offset, content))

    def _write(self, offset: int, content: bytes) -> None:
        there = min(self._written - offset, len(content))
        with os_failures("receiving an upload", self.path.parent):
            if there and os.pread(self._file, there, offset) != content[:there]:
                raise ChecksumMismatch(
                    f"Other bytes were sent before at offset {offset}", hint="Use a new upload_id for another object."
                )
            rest = memoryview(content)[there:]
            while rest:
                count = os.pwrite(self._file, rest, self._written)
                self._written += count
                rest = rest[count:]

    async def persist(self) -> int:
        """Make what was received durable; its size in bytes."""
        async with self._lock:
            self._check_open()
            written = self._written
            with os_failures("receiving an upload", self.path.parent):
                await _to_its_end(lambda: os.fsync(self._file))
            self.persisted_bytes = written
            return written

    async def finish(self, size_bytes: int) -> Path:
        """The file, whole and closed, under a name of its own: nobody who opens the upload again can touch it.

        Raises
        ------
        ChecksumMismatch
            If bytes are missing.
        """
        async with self._lock:
            self._check_open()
            check_size(self._written, size_bytes)
            try:
                with os_failures("receiving an upload", self.path.parent):
                    await _to_its_end(self._give_own_name)
            finally:
                self._close()
            return self.path

    def _give_own_name(self) -> None:
        self.path = self.path.rename(self.path.with_name(f"whole-{token_hex(8)}"))
        self.is_whole = True

    async def close(self) -> None:
        """Let go of the file; it stays where it is."""
        async with self._lock:
            self._close()

    def _close(self) -> None:
        if self._file >= 0:
            with suppress(OSError):  # a child process that is just being started may hold the file a moment longer
                fcntl.flock(self._file, fcntl.LOCK_UN)
            os.close(self._file)
            self._file = -1

    def _check_open(self) -> None:
        if self._file < 0:
            raise _elsewhere()


def _elsewhere() -> Unavailable:
    return Unavailable(
        "The upload goes on elsewhere",
        hint="Only one stream at a time sends an upload; try again when the other has ended.",
        retry_after_seconds=1.0,
    )


async def _to_its_end(function: Callable[[], T]) -> T:
    """What `function` returns, run in a thread.

    A caller that is cancelled waits for its end all the same: it uses a descriptor that would otherwise be closed under
    it, and its number may be another file's a moment later.
    """
    work = asyncio.ensure_future(asyncio.to_thread(function))
    cancelled: asyncio.CancelledError | None = None
    while not work.done():
        try:
            await asyncio.shield(work)
        except asyncio.CancelledError as error:
            cancelled = error
        except OSError:
            break
    if cancelled is not None:
        if not work.cancelled():
            work.exception()  # seen: nobody else asks for it
        raise cancelled
    return work.result()


def check_chunk(content: bytes, crc32c: int | None, offset: int) -> None:
    """Pass if the bytes have the checksum that came with them.

    Raises
    ------
    ChecksumMismatch
        If they have not.
    """
    if crc32c is not None and google_crc32c.value(content) != crc32c:
        raise ChecksumMismatch(f"The chunk at offset {offset} changed on the way", hint="Send it again.")


def check_size(received: int, declared: int) -> None:
    """Pass if as many bytes came as the header said.

    Raises
    ------
    ChecksumMismatch
        If not.
    """
    if received != declared:
        raise ChecksumMismatch(
            f"{received} bytes were received, the header declares {declared}",
            hint="Declare the size of the object, and send all of it before the finish.",
        )
