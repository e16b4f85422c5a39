"""UIDs: strict validation, and derived UIDs that are the same for the same input."""

from __future__ import annotations

import json
import re
import uuid

from imaging.errors import InvalidDicom

MAX_UID_LENGTH = 64

# re.ASCII is not needed with [0-9]; \Z instead of $ because $ also matches before a line feed.
_VALID = re.compile(r"(?:0|[1-9][0-9]*)(?:\.(?:0|[1-9][0-9]*))*\Z")

_NAMESPACE = uuid.UUID("2a1d1d0b-6d2e-5c4e-9d0e-7a5b0f4c3e21")
"""Never to be changed: every derived UID in every archive follows from it."""


def is_valid_uid(uid: str) -> bool:
    """True if `uid` is at most 64 ASCII digits and dots whose components have no leading zero (PS3.5 9.1)."""
    return 0 < len(uid) <= MAX_UID_LENGTH and _VALID.match(uid) is not None


def validate_uid(uid: str, *, where: str = "", name: str = "UID") -> str:
    """The UID itself, if it is one; nothing that passes can change a path or a URL.

    Raises
    ------
    InvalidDicom
        With the rule that is broken. The value itself is not told: it may be anything.
    """
    if is_valid_uid(uid):
        return uid
    if not uid:
        rule = "it is empty"
    elif len(uid) > MAX_UID_LENGTH:
        rule = f"it has {len(uid)} characters"
    elif any(character not in "0123456789." for character in uid):
        rule = "it has characters other than ASCII digits and dots"
    elif "" in uid.split("."):
        rule = "it has an empty component"
    else:
        rule = "a component has a leading zero"
    raise InvalidDicom(
        f"{name} is not a valid UID: {rule}",
        where=where,
        hint="A UID is up to 64 digits and dots, no component with a leading zero (PS3.5 9.1): correct the sender.",
    )


def derived_uid(*parts: str | int) -> str:
    """A "2.25." UID made of a UUIDv5 (PS3.5 B.2) of the parts: the same parts give the same UID, for ever.

    Parts are kept apart and typed: ("ab", "c"), ("a", "bc") and (1,), ("1",) give different UIDs.
    """
    name = json.dumps(parts, ensure_ascii=True, separators=(",", ":"))
    return f"2.25.{uuid.uuid5(_NAMESPACE, name).int}"
