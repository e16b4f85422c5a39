"""Domain errors as statuses of DIMSE (PS3.4 B.2.3, C.4; PS3.7 C): the third column of the error table.

STOW-RS tells the same numbers as Failure Reason (PS3.18 Table I.2-2).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from gateway_svc.dimse.identifier import UnfitIdentifier
from imaging import errors
from imaging.errors import ImagingError

SUCCESS: Final = 0x0000
PENDING: Final = 0xFF00
PENDING_WITHOUT_SOME_KEYS: Final = 0xFF01
"""Some optional keys were not matched, because they are not supported."""
CANCELLED: Final = 0xFE00
SUB_OPERATIONS_FAILED: Final = 0xB000
"""Sub-operations are complete, one or more of them failed."""
PROCESSING_FAILURE: Final = 0x0110
DUPLICATE_INSTANCE: Final = 0x0111
NO_SUCH_INSTANCE: Final = 0x0112
INVALID_ARGUMENT_VALUE: Final = 0x0115
SOP_CLASS_NOT_SUPPORTED: Final = 0x0122
NOT_AUTHORIZED: Final = 0x0124
NO_SUCH_ACTION: Final = 0x0123
UNRECOGNIZED_OPERATION: Final = 0x0211
MISTYPED_ARGUMENT: Final = 0x0212
OUT_OF_RESOURCES: Final = 0xA700
CANNOT_PERFORM_SUB_OPERATIONS: Final = 0xA702
"""None of them was done."""
MOVE_DESTINATION_UNKNOWN: Final = 0xA801
DATA_SET_MISMATCH: Final = 0xA900
CANNOT_UNDERSTAND: Final = 0xC000

STATUSES: Final[Mapping[type[ImagingError], int]] = {
    errors.InvalidArgument: CANNOT_UNDERSTAND,
    errors.InstanceMismatch: DATA_SET_MISMATCH,
    UnfitIdentifier: DATA_SET_MISMATCH,
    errors.Conflict: DUPLICATE_INSTANCE,
    errors.StorageFull: OUT_OF_RESOURCES,
    errors.Overloaded: OUT_OF_RESOURCES,
    errors.Unavailable: OUT_OF_RESOURCES,
    errors.DeadlineExceeded: OUT_OF_RESOURCES,
    errors.Cancelled: OUT_OF_RESOURCES,
    errors.Unauthenticated: NOT_AUTHORIZED,
    errors.PermissionDenied: NOT_AUTHORIZED,
    errors.DataLoss: CANNOT_UNDERSTAND,
    errors.Internal: PROCESSING_FAILURE,
}
"""The status of an error is that of its nearest class in this table."""


def status_of(error: ImagingError) -> int:
    """The status that tells a peer of an error."""
    for kind in type(error).__mro__:
        if kind in STATUSES:
            return STATUSES[kind]
    return PROCESSING_FAILURE


def comment_of(error: ImagingError) -> str:
    """What an Error Comment (0000,0902) has room for: 64 characters of what went wrong."""
    return error.what[:64]
