"""Protocol data units of the DICOM upper layer (PS3.8 9.3): their types, their longest length, short ones as bytes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from struct import Struct
from typing import Final

HEADER: Final = Struct(">BxI")
"""Type, and length of what follows."""

PDV_HEADER: Final = Struct(">IBB")
"""Length of what follows it and of the two bytes after: presentation context id, message control header."""

IS_COMMAND: Final = 0x01
IS_LAST: Final = 0x02
"""Bits of a message control header (PS3.8 E.2)."""

DEFAULT_MAX_LENGTH: Final = 131072
"""Longest P-DATA-TF that we say we take: the most that DCMTK and others send."""


class PduType(IntEnum):
    """The seven types."""

    ASSOCIATE_RQ = 1
    ASSOCIATE_AC = 2
    ASSOCIATE_RJ = 3
    P_DATA_TF = 4
    RELEASE_RQ = 5
    RELEASE_RP = 6
    ABORT = 7


MAX_LENGTHS: Final[Mapping[int, int]] = {
    # 128 presentation contexts of 40 transfer syntaxes and a user information of 64 KiB.
    PduType.ASSOCIATE_RQ: 512 * 1024,
    PduType.ASSOCIATE_AC: 512 * 1024,
    PduType.ASSOCIATE_RJ: 4,
    # Senders exist that go a little over what they were told; nothing of it is held back, so that is harmless.
    PduType.P_DATA_TF: 1024 * 1024,
    PduType.RELEASE_RQ: 4,
    PduType.RELEASE_RP: 4,
    PduType.ABORT: 4,
}
"""A PDU that declares more is refused at its header, before anything of it is read."""


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why an association is rejected (PS3.8 9.3.4)."""

    result: int
    """1 permanent, 2 transient."""

    source: int
    """1 user, 2 provider (ACSE), 3 provider (presentation)."""

    reason: int

    def pdu(self) -> bytes:
        """As A-ASSOCIATE-RJ."""
        return HEADER.pack(PduType.ASSOCIATE_RJ, 4) + bytes((0, self.result, self.source, self.reason))


NO_REASON: Final = Rejection(1, 1, 1)
UNKNOWN_APPLICATION_CONTEXT: Final = Rejection(1, 1, 2)
UNKNOWN_CALLING_AE: Final = Rejection(1, 1, 3)
UNKNOWN_CALLED_AE: Final = Rejection(1, 1, 7)
TEMPORARY_CONGESTION: Final = Rejection(2, 3, 1)
LOCAL_LIMIT_EXCEEDED: Final = Rejection(2, 3, 2)
UNKNOWN_PROTOCOL_VERSION: Final = Rejection(1, 2, 2)

RELEASE_RQ_PDU: Final = HEADER.pack(PduType.RELEASE_RQ, 4) + bytes(4)
RELEASE_RP_PDU: Final = HEADER.pack(PduType.RELEASE_RP, 4) + bytes(4)


class AbortReason(IntEnum):
    """Why a provider aborts (PS3.8 9.3.8)."""

    NOT_SPECIFIED = 0
    UNRECOGNIZED_PDU = 1
    UNEXPECTED_PDU = 2
    UNRECOGNIZED_PARAMETER = 4
    UNEXPECTED_PARAMETER = 5
    INVALID_PARAMETER = 6


def abort_pdu(reason: AbortReason | None) -> bytes:
    """A-ABORT of the provider for a reason, or of the user, who has none."""
    source = 0 if reason is None else 2
    return HEADER.pack(PduType.ABORT, 4) + bytes((0, 0, source, reason or 0))


class InvalidPdu(Exception):
    """A PDU that does not follow PS3.8; the text names the place, never the content."""

    def __init__(self, what: str, reason: AbortReason = AbortReason.INVALID_PARAMETER) -> None:
        super().__init__(what)
        self.reason = reason
