"""Files and folders to storage: found, looked at, sent, each with its own result."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from imaging.client.conversion import FILE_STATUS
from imaging.client.file_search import FoundFile, find_files
from imaging.client.results import FileResult, StoreProgress, StoreSummary
from imaging.client.storage import StorageClient
from imaging.client.upload import StoreResult, Upload
from imaging.errors import InvalidArgument

OnProgress = Callable[[StoreProgress], None]


def paths_of(given: str | Path | Iterable[str | Path]) -> list[Path]:
    """What somebody gave as one or several paths.

    Raises
    ------
    InvalidArgument
        If one is empty: `Path("")` is the working folder, so that an unset variable of a script would send all of it.
    """
    paths = [given] if isinstance(given, str | Path) else list(given)
    if "" in paths:
        raise InvalidArgument("A path is empty", where="paths", hint="Write . for the working folder.")
    return [Path(path) for path in paths]


async def store_files(
    storage: StorageClient,
    paths: Sequence[Path],
    *,
    source: str = "",
    headerless_transfer_syntax_uid: str = "",
    progress: OnProgress | None = None,
) -> StoreSummary:
    """Store every DICOM file at or below the paths.

    A file that is not DICOM, or that storage rejects, is a result with its reason; the rest goes on.

    Raises
    ------
    Unavailable
        If storage does not answer for longer than the client's patience.
    """
    began = time.monotonic()
    headerless = bool(headerless_transfer_syntax_uid)
    found = await asyncio.to_thread(lambda: list(find_files(paths, headerless=headerless)))
    tally = _Tally(found, progress)
    to_send: list[FoundFile] = []
    for file in found:
        if file.refusal is not None:
            tally.add(file.refusal)
        else:
            to_send.append(file)
    uploads = (Upload(str(number), file.path, headerless_transfer_syntax_uid) for number, file in enumerate(to_send))
    async for result in storage.store(uploads, source=source, on_sent=tally.send):
        tally.forget(result.upload_id)
        tally.add(_file_result(to_send[int(result.upload_id)], result))
    order = {file.path: place for place, file in enumerate(found)}
    files = sorted(tally.results, key=lambda file: order[file.path])
    return StoreSummary(tuple(files), time.monotonic() - began)


def _file_result(file: FoundFile, result: StoreResult) -> FileResult:
    if result.error is not None or result.instance is None:
        return FileResult(file.path, "rejected", file.size_bytes, error=result.error)
    status = FILE_STATUS.get(result.outcome, "stored")
    return FileResult(file.path, status, file.size_bytes, instance=result.instance.name)


class _Tally:
    def __init__(self, found: Sequence[FoundFile], progress: OnProgress | None) -> None:
        self.results: list[FileResult] = []
        self._files_total = len(found)
        self._bytes_total = sum(file.size_bytes for file in found)
        self._bytes_done = 0
        self._bytes_sent: dict[str, int] = {}
        self._progress = progress

    def send(self, upload_id: str, sent_bytes: int) -> None:
        """So much of a large file is sent."""
        self._bytes_sent[upload_id] = sent_bytes
        self._tell(None)

    def forget(self, upload_id: str) -> None:
        """The file has its result: all of it counts from now on."""
        self._bytes_sent.pop(upload_id, None)

    def add(self, result: FileResult) -> None:
        """A file has its result."""
        self.results.append(result)
        self._bytes_done += result.size_bytes
        self._tell(result)

    def _tell(self, newest: FileResult | None) -> None:
        if self._progress is not None:
            done = self._bytes_done + sum(self._bytes_sent.values())
            self._progress(StoreProgress(len(self.results), self._files_total, done, self._bytes_total, newest))
