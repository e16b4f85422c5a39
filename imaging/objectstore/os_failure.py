"""Failures of the operating system's file calls -> domain errors: no room, no descriptors, or not answering."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from imaging.errors import Overloaded, StorageFull, Unavailable

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_NO_DESCRIPTORS = frozenset({errno.EMFILE, errno.ENFILE})


@contextmanager
def os_failures(doing: str, where: Path) -> Iterator[None]:
    """Turns an OSError raised inside into a domain error.

    Parameters
    ----------
    where
        The folder whose disk it is about.

    Raises
    ------
    StorageFull
        No space, no inode or no quota left, or the file is larger than the process may write.
    Overloaded
        The process, or the machine, has too many files open.
    Unavailable
        Anything else, a failed fsync above all.
    """
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise StorageFull(
                f"The disk has no room left while {doing}",
                where=str(where),
                hint="Free disk space or inodes, or enlarge the quota, then send again: nothing was recorded.",
            ) from error
        if error.errno in _NO_DESCRIPTORS:
            raise Overloaded(
                f"No further file can be opened while {doing}",
                where=str(where),
                hint="Raise the limit of open files of the service (`ulimit -n`, LimitNOFILE=), or send less at once.",
            ) from error
        name = errno.errorcode.get(error.errno or 0, "unknown")
        raise Unavailable(
            f"The file system failed while {doing} ({name})",
            where=str(where),
            hint="Check the disk and the service's log, then send again: nothing was recorded.",
        ) from error
