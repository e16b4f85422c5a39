"""One object on its way into a folder: written aside, synced, renamed into place, or gone again with its error."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from imaging.errors import ImagingError
from imaging.objectstore.os_failure import os_failures
from imaging.objectstore.store import Content, validate_key


class FileAside:
    """Each step does nothing once one has failed; `error` tells of what."""

    def __init__(self, key: str, path: Path) -> None:
        self.key = key
        self.error: ImagingError | None = None
        self._path = path
        self._descriptor = -1
        self._target: Path | None = None
        self._attempt(lambda: validate_key(key))

    @property
    def folder(self) -> Path | None:
        """Where the object stands by now; None before `place`, or after an error."""
        return self._target.parent if self._target is not None and self.error is None else None

    def write(self, content: Content) -> None:
        """Write all of it to the file aside, and have the system begin to bring it to the disk."""
        self._attempt(lambda: self._write(content))

    def sync(self) -> None:
        """Return when the content is on the disk."""
        self._attempt(lambda: os.fsync(self._descriptor))
        self._close()

    def place(self, rename: Callable[[str, Path], Path]) -> None:
        """Give it its place; `rename` returns that."""

        def attempt() -> None:
            self._target = rename(self.key, self._path)

        self._attempt(attempt)

    def enter(self, sync_folder: Callable[[Path], None]) -> None:
        """Return when its entry in the folder is on the disk."""
        folder = self.folder
        if folder is not None:
            self._attempt(lambda: sync_folder(folder))

    def remove_if_failed(self) -> None:
        """Leave nothing behind after an error."""
        if self.error is None:
            return
        self._close()
        with suppress(OSError):
            (self._target or self._path).unlink(missing_ok=True)

    def _write(self, content: Content) -> None:
        self._descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640)
        view = memoryview(content).cast("B")
        written = 0
        while written < len(view):
            written += os.write(self._descriptor, view[written:])
        # Linux answers this by beginning to write the pages back; the sync then finds that done, or under way.
        os.posix_fadvise(self._descriptor, 0, 0, os.POSIX_FADV_DONTNEED)

    def _close(self) -> None:
        """Also after an error: a removed file that is open still takes its room."""
        if self._descriptor < 0:
            return
        descriptor, self._descriptor = self._descriptor, -1
        if self.error is None:
            self._attempt(lambda: os.close(descriptor))
        else:
            with suppress(OSError):
                os.close(descriptor)

    def _attempt(self, step: Callable[[], object]) -> None:
        if self.error is not None:
            return
        try:
            with os_failures("storing an object", self._path.parent.parent):
                step()
        except ImagingError as error:
            self.error = error
