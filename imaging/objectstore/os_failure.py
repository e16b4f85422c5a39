"""Failures of the operating system's file calls -> domain errors: no room, or not answering."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from imaging.errors import StorageFull, Unavailable

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


@contextmanager
def os_failures(doing: str) -> Iterator[None]:
    """Turns an OSError raised inside into StorageFull or Unavailable.

    Raises
    ------
    StorageFull
        No space, no inode or no quota left, or the file is larger than the process may write.
    Unavailable
        Anything else, a failed fsync above all.
    """
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise StorageFull(
                f"The disk has no room left while {doing}",
                hint="Free disk space or inodes, or enlarge the quota, then send again: nothing was recorded.",
            ) from error
        name = errno.errorcode.get(error.errno or 0, "unknown")
        raise Unavailable(
            f"The file system failed while {doing} ({name})",
            hint="Check the disk and the service's log, then send again: nothing was recorded.",
        ) from error
