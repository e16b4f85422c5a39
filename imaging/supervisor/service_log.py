"""The log file of one service: JSON lines as the service wrote them, rotated by size."""

from __future__ import annotations

import json
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

    def write(self, line: bytes) -> str:
        """Keep a line; the text of the error comes back if it tells one, else an empty string."""
        if self._file is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self.path.open("ab", buffering=0)
        self._file.write(line if line.endswith(b"\n") else line + b"\n")
        if self._file.tell() >= self._max_bytes:
            self._rotate()
        error = error_text(line)
        if error:
            self.last_error = error
        return error

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
    if b'"ERROR"' not in line and b'"CRITICAL"' not in line:
        return ""
    try:
        entry = json.loads(line)
    except ValueError:
        return ""
    if not isinstance(entry, dict) or entry.get("level") not in ("ERROR", "CRITICAL"):
        return ""
    kind = f" [{entry['error']}]" if entry.get("error") else ""
    return f"{entry.get('message', '')}{kind}"
