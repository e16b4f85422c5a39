"""How an arrival can contradict what is stored under its SOP Instance UID: on the wire, in the index, and in words."""

from __future__ import annotations

from typing import Final

from imaging.storage.v1 import storage_admin_pb2

Contradiction = storage_admin_pb2.QuarantinedInstance.Reason

WORDS: Final = {
    Contradiction.REASON_OTHER_STUDY: "it names another study",
    Contradiction.REASON_OTHER_SERIES: "it names another series",
    Contradiction.REASON_OTHER_PATIENT: "it names another patient",
    Contradiction.REASON_OTHER_CONTENT: "its pixels or main content differ",
    Contradiction.REASON_STORED_IS_DAMAGED: "the one that is kept is damaged, so that they cannot be compared",
}
"""Each after "another instance is stored under this UID:"."""

_BY_WORDS: Final = {words: reason for reason, words in WORDS.items()}


def kept_contradiction(reason: Contradiction.ValueType) -> str:
    """As the index keeps it."""
    return Contradiction.Name(reason)


def contradiction_of(kept: str) -> Contradiction.ValueType:
    """What the index has kept; words of earlier releases are understood."""
    if kept in Contradiction.keys():  # noqa: SIM118 - the enum wrapper is no mapping
        return Contradiction.Value(kept)
    return _BY_WORDS.get(kept, Contradiction.REASON_UNSPECIFIED)
