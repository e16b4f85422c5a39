"""The test files that the pydicom wheel carries."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from pydicom.data import get_charset_files, get_testdata_files


@cache
def wheel_files() -> tuple[Path, ...]:
    """All of them, whatever they hold, sorted by path."""
    names = [*get_testdata_files(), *get_charset_files()]
    return tuple(sorted({Path(name) for name in names if Path(name).is_file()}))


def wheel_file(name: str) -> bytes:
    """The bytes of the file of that name."""
    return next(path for path in wheel_files() if path.name == name).read_bytes()
