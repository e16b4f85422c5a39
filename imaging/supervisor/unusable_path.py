"""What the operating system refuses while a service starts, as an error that says how to cure it."""

from __future__ import annotations

import errno
from typing import Final

from imaging.errors import ImagingError, SettingsInvalid, StorageFull

_FULL: Final = {errno.ENOSPC, errno.EDQUOT}
_HINTS: Final = {
    errno.EACCES: "Give it to the user that the service runs as, or name another place (data_dir, --data).",
    errno.EPERM: "Give it to the user that the service runs as, or name another place (data_dir, --data).",
    errno.EROFS: "It is mounted read-only: mount it for writing, or name another place (data_dir, --data).",
    errno.ENOTDIR: "A part of the path is a file: name another place (data_dir, --data).",
    errno.ENOENT: "A part of the path cannot be made: name another place (data_dir, --data).",
    errno.EIO: "The disk fails: look at the kernel's log, then at its hardware.",
}


def unusable_path(error: OSError) -> ImagingError | None:
    """The error for a file or folder that cannot be used; None if it is not about one."""
    if error.filename is None or error.errno is None:
        return None
    where = str(error.filename)
    if error.errno in _FULL:
        return StorageFull("The volume is full", where=where, hint="Free space or enlarge it, then start again.")
    hint = _HINTS.get(error.errno)
    if hint is None:
        return None
    return SettingsInvalid(f"It cannot be used ({error.strerror})", where=where, hint=hint)
