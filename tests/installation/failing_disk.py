"""A disk that fails as it is told: a library preloaded into a service lets chosen calls on chosen files fail."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest

_SOURCE = Path(__file__).with_suffix(".c")
_COMPILER = shutil.which("cc")

needs_compiler = pytest.mark.skipif(
    _COMPILER is None or os.uname().sysname != "Linux",
    reason="there is no C compiler (`cc`), or no Linux: no call of the system can be made to fail",
)


@dataclass(frozen=True, slots=True)
class FailingDisk:
    """What a service is started with, and what tells it to fail."""

    environment: Mapping[str, str]
    script: Path

    @contextmanager
    def fails(self, call: Literal["sync", "write"], number: int, part_of_path: str) -> Iterator[None]:
        """Let such calls on such files fail with this `errno` for as long as this is entered."""
        told = self.script.with_suffix(".new")
        told.write_text(f"{call} {number} {part_of_path}\n", encoding="ascii")
        told.rename(self.script)
        try:
            yield
        finally:
            self.script.unlink()


def failing_disk(folder: Path) -> FailingDisk:
    """A disk on which nothing fails yet."""
    library, script = folder / "failing_disk.so", folder / "failing"
    compiler = [str(_COMPILER), "-shared", "-fPIC", "-O1", "-o", str(library), str(_SOURCE), "-ldl"]
    subprocess.run(compiler, check=True, capture_output=True, timeout=60)
    return FailingDisk({"LD_PRELOAD": str(library), "FAILING_DISK": str(script)}, script)


EIO, EROFS, ENOSPC = errno.EIO, errno.EROFS, errno.ENOSPC
