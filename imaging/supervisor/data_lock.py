"""One installation a data folder."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from imaging.errors import FailedPrecondition, InvalidArgument


class DataLock:
    """Holds a data folder while it is open; the kernel lets go of it when the process dies."""

    def __init__(self, data_dir: Path) -> None:
        self._path = data_dir / ".lock"
        self._fd = -1

    def acquire(self) -> None:
        """Take the folder, which is made if it is not there.

        Raises
        ------
        FailedPrecondition
            If another process holds it; its process id is told.
        InvalidArgument
            If the folder cannot be written to.
        """
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise InvalidArgument(
                f"The data folder cannot be written to: {error.strerror}",
                where=str(self._path.parent),
                hint="Choose another with --data DIR.",
            ) from None
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = os.read(fd, 32).decode("ascii", "replace").strip()
            os.close(fd)
            raise FailedPrecondition(
                f"Another `imaging up` (process {holder or 'unknown'}) works on this data folder",
                where=str(self._path.parent),
                hint="Stop it, or choose another folder with --data DIR.",
            ) from None
        os.ftruncate(fd, 0)
        os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
        self._fd = fd

    def release(self) -> None:
        """Let go of the folder. Does nothing when it is not held."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
