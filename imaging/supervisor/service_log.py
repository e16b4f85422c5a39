"""The log file of one service: JSON lines as the service wrote them, rotated by size."""

from __future__ import annotations

import errno
import json
import os
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

MAX_BYTES = 10 * 1024 * 1024
KEPT = 3
"""Older files: `<service>.log.1` is the newest of them."""


class ServiceLog:
    """Writes lines, keeps the file short, and remembers the last error."""

    def __init__(self, path: Path, max_bytes: int = MAX_BYTES) -> None:
        self.path = path
        self.last_error = ""
        self._max_bytes = max_bytes
        self._file: BinaryIO | None = None
        self._lost = 0
        self._is_torn = False

    def write(self, line: bytes) -> str:
        """Keep a line; the text of the error comes back if it tells one, else an empty string.

        A line for which the disk has no room is lost, and counted in the log once there is room again: a full disk must
        not end the service whose log it is.
        """
        try:
            self._append(line if line.endswith(b"\n") else line + b"\n")
        except OSError:
            self._lost += 1
            self._close_quietly()
        error = error_text(line)
        if error:
            self.last_error = error
        return error

    def _append(self, line: bytes) -> None:
        if self._file is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self.path.open("ab", buffering=0)
        if self._lost:
            text = f"{self._lost} lines before this one could not be written"
            note = {"level": "WARNING", "service": self.path.stem, "message": text}
            line = json.dumps(note).encode() + b"\n" + line
        if self._is_torn:
            line = b"\n" + line
        written = self._file.write(line)
        if written != len(line):
            self._is_torn = bool(written) or self._is_torn
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._lost, self._is_torn = 0, False
        if self._file.tell() >= self._max_bytes:
            self._rotate()

    def _close_quietly(self) -> None:
        with suppress(OSError):
            self.close()
        self._file = None

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _rotate(self) -> None:
        self.close()
        for number in range(KEPT, 0, -1):
            older = self.path.with_name(f"{self.path.name}.{number}")
            newer = self.path.with_name(f"{self.path.name}.{number - 1}") if number > 1 else self.path
            if newer.exists():
                newer.replace(older)


def error_text(line: bytes) -> str:
    """The message of a log line of level ERROR or above; empty for every other line."""
    if not any(level in line for level in (b'"ERROR"', b'"CRITICAL"', b'"error"', b'"fatal"')):
        return ""
    try:
        entry = json.loads(line)
    except ValueError:
        return ""
    if not isinstance(entry, dict) or str(entry.get("level")).upper() not in ("ERROR", "CRITICAL", "FATAL"):
        return ""
    kind = f" [{entry['error']}]" if entry.get("error") else ""
    return f"{entry.get('message', '')}{kind}"
