"""Page tokens of report lists: where to go on, and for which question."""

from __future__ import annotations

import base64
import binascii
import hashlib

from imaging.errors import InvalidArgument


def page_token(sequence: int, study: str) -> str:
    """The token that goes on below a sequence number, for a list of that study (empty: of all)."""
    return base64.urlsafe_b64encode(f"{sequence}.{_kind(study)}".encode()).decode()


def sequence_of(token: str, study: str) -> int:
    """The sequence number that a token goes on below.

    Raises
    ------
    InvalidArgument
        If it is none of ours, or was given for another study.
    """
    try:
        sequence, _, kind = base64.b64decode(token, altchars=b"-_", validate=True).decode("ascii").partition(".")
        if kind == _kind(study) and sequence.isdecimal():
            return min(int(sequence), 2**62)
    except (binascii.Error, UnicodeDecodeError, ValueError):
        pass
    raise InvalidArgument(
        "The page token is not one of an answer to this query",
        where="page_token",
        hint="Ask with the token and the study of the answer before.",
    )


def _kind(study: str) -> str:
    return hashlib.sha256(study.encode()).hexdigest()[:12]
