"""What the exit code of every command means. Stable: scripts rely on it."""

from __future__ import annotations

from enum import IntEnum

from imaging import errors
from imaging.errors import ImagingError


class ExitCode(IntEnum):
    """The exit codes of `imaging`."""

    OK = 0
    SOME_FAILED = 1
    """The command went through, but some items were rejected, failed or are not healthy; each was named."""

    USAGE = 2
    """A wrong argument, setting or input."""

    UNAVAILABLE = 3
    """A service, or what it needs, does not answer."""

    NOT_FOUND = 4
    REFUSED = 5
    """The state of the resource does not allow it: a conflict, a lock, a missing precondition."""

    NO_ROOM = 6
    """The disk, the quota or the service is full."""

    NOT_ALLOWED = 7
    DATA_LOSS = 8
    """Stored bytes no longer match their digest."""

    TIMEOUT = 9
    DEFECT = 70
    """A defect of ours."""

    INTERRUPTED = 130
    """Ctrl-C."""


_BY_CLASS: dict[type[ImagingError], ExitCode] = {
    errors.InvalidArgument: ExitCode.USAGE,
    errors.Unavailable: ExitCode.UNAVAILABLE,
    errors.NotFound: ExitCode.NOT_FOUND,
    errors.RevisionTooOld: ExitCode.NOT_FOUND,
    errors.Conflict: ExitCode.REFUSED,
    errors.FailedPrecondition: ExitCode.REFUSED,
    errors.Cancelled: ExitCode.REFUSED,
    errors.StorageFull: ExitCode.NO_ROOM,
    errors.Overloaded: ExitCode.NO_ROOM,
    errors.Unauthenticated: ExitCode.NOT_ALLOWED,
    errors.PermissionDenied: ExitCode.NOT_ALLOWED,
    errors.DataLoss: ExitCode.DATA_LOSS,
    errors.DeadlineExceeded: ExitCode.TIMEOUT,
}


def exit_code_of(error: ImagingError) -> ExitCode:
    """The exit code for an error: that of its nearest class in the table."""
    return next((_BY_CLASS[kind] for kind in type(error).__mro__ if kind in _BY_CLASS), ExitCode.DEFECT)
