"""A service on small disks of its own: mounts that only it sees, that are filled, emptied and made read-only."""

from __future__ import annotations

import os
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from tests.installation.storage_process import StorageProcess

_MOUNTS = """
for each; do
    shift; test "$each" = -- && break
    mkdir -p "${each%%:*}" && mount -t tmpfs -o "${each#*:}" small "${each%%:*}" || exit 1
done
exec "$@"
"""


@cache
def can_mount() -> bool:
    """Whether this user may mount a file system in a name space of its own."""
    mount = ["unshare", "-m", "mount", "-t", "tmpfs", "small", "/mnt"]
    try:
        return subprocess.run(mount, capture_output=True, timeout=10, check=False).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


needs_mounts = pytest.mark.skipif(
    not can_mount(), reason="file systems can be mounted by root on Linux alone, so that no real small disk is tried"
)


def on_small_disks(*disks: tuple[Path, str]) -> list[str]:
    """What starts a program with a tmpfs at each path; the mounts end with the program.

    Parameters
    ----------
    disks
        Path and options (`size=16m,nr_inodes=100`), outer ones first.
    """
    mounts = [f"{path}:{options}" for path, options in disks]
    return ["unshare", "-m", "--propagation", "private", "sh", "-c", _MOUNTS, "sh", *mounts, "--"]


@dataclass(frozen=True, slots=True)
class SmallDisk:
    """One of the disks of a running service, as that sees it."""

    storage: StorageProcess
    path: Path

    def seen(self, path: Path) -> Path:
        """A path of the service, for this process."""
        return Path(f"/proc/{self.storage.pid}/root{path}")

    def fill(self, *, leave_bytes: int = 0) -> None:
        """Take all of its room but so many bytes; the service may be writing meanwhile."""
        with (self.seen(self.path) / "filler").open("wb") as file:
            for _ in range(1000):
                room = os.statvfs(self.seen(self.path))
                more = room.f_bavail * room.f_frsize - leave_bytes
                if more <= 0:
                    return
                with suppress(OSError):  # less is left by now
                    os.posix_fallocate(file.fileno(), file.seek(0, os.SEEK_END), more)
        raise AssertionError("the disk does not get full")

    def take_inodes(self) -> None:
        """Leave no file to be made."""
        for number in range(os.statvfs(self.seen(self.path)).f_ffree):
            (self.seen(self.path) / f"filler-{number}").touch()

    def free(self) -> None:
        """Give back what was taken."""
        for filler in self.seen(self.path).glob("filler*"):
            filler.unlink()

    def remount(self, options: str) -> None:
        """Mount it anew: `ro`, `rw`."""
        self.within("mount", "-o", f"remount,{options}", str(self.path))

    def within(self, *command: str) -> str:
        """What a command says that sees the disks as the service does."""
        entering = ["nsenter", "-t", str(self.storage.pid), "-m", f"--wdns={Path.cwd()}", *command]
        return subprocess.run(entering, check=True, capture_output=True, text=True, timeout=30).stdout
