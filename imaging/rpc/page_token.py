"""Pages of every list and search: their size, and tokens that seal where a page ended with what was asked."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Sequence
from typing import Any

from imaging.errors import InvalidArgument

Position = Sequence[str | int]
DEFAULT_PAGE_SIZE = 100
MAX_PAGE_SIZE = 1000


def page_size(asked: int) -> int:
    """How many results a page has.

    Raises
    ------
    InvalidArgument
        If a negative number was asked for.
    """
    if asked < 0:
        raise InvalidArgument("The page size is negative", where="page_size", hint="Leave it out for 100.")
    return min(asked or DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE)


def query_digest(*asked: Any) -> str:
    """Names a query by all that filters it (plain values that JSON can hold), without telling what was asked for."""
    text = json.dumps(asked, ensure_ascii=True)
    return hashlib.sha256(text.encode("ascii")).hexdigest()[:16]


def encode_token(position: Position, digest: str) -> str:
    """The token of the page that begins after `position`, the sort values of the last result."""
    payload = json.dumps([digest, *position], ensure_ascii=True, separators=(",", ":")).encode("ascii")
    seal = hashlib.sha256(payload).digest()[:4]
    return base64.urlsafe_b64encode(seal + payload).decode("ascii").rstrip("=")


def decode_token(token: str, digest: str, kinds: Sequence[type]) -> list[str | int] | None:
    """The position in a token; None for the first page.

    Parameters
    ----------
    kinds
        Types of the sort values.

    Raises
    ------
    InvalidArgument
        If it is not a token of ours, or one of another query.
    """
    if not token:
        return None
    try:
        raw = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
        payload = json.loads(raw[4:])
    except (ValueError, binascii.Error, RecursionError):
        raise _refused("it is not one of ours") from None
    if hashlib.sha256(raw[4:]).digest()[:4] != raw[:4] or not isinstance(payload, list) or not payload:
        raise _refused("it is not one of ours")
    if payload[0] != digest:
        raise _refused("it belongs to another query")
    position = payload[1:]
    if [type(value) for value in position] != list(kinds) or not all(map(_is_storable, position)):
        raise _refused("it is not one of ours")
    return position


def _is_storable(value: str | int) -> bool:
    """False for what no database takes: such a token was made by hand."""
    if isinstance(value, int):
        return -(2**63) <= value < 2**63
    return value.isprintable() or not any(ord(sign) == 0 or 0xD800 <= ord(sign) <= 0xDFFF for sign in value)


def _refused(why: str) -> InvalidArgument:
    return InvalidArgument(
        f"The page token cannot be used: {why}",
        where="page_token",
        hint="Pass the token of the last answer with the same filters, or none for the first page.",
    )
