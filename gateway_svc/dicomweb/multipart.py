"""multipart/related (RFC 2387) as DICOMweb sends it: boundaries that no content can know before."""

from __future__ import annotations

import hashlib
import secrets
from typing import Final

_KEY: Final = secrets.token_bytes(16)
"""Of this process: whoever stores an object cannot tell the boundary that it will be sent with."""


def boundary_of(*identity: str) -> str:
    """The boundary of a body: the same for the same content while this process lives, so that ranges of it fit."""
    text = "\0".join(identity).encode("utf-8", "replace")
    return hashlib.blake2s(text, key=_KEY, digest_size=16).hexdigest()


def new_boundary() -> str:
    """A boundary of its own."""
    return secrets.token_hex(16)


def content_type(boundary: str, part_type: str) -> bytes:
    """The Content-Type of the whole body."""
    return f'multipart/related; type="{part_type}"; boundary={boundary}'.encode("ascii")


def part_start(
    boundary: str, part_type: str, *, first: bool, size_bytes: int | None = None, location: str = ""
) -> bytes:
    """What stands before the content of a part; `location` is its own URL."""
    length = "" if size_bytes is None else f"Content-Length: {size_bytes}\r\n"
    place = f"Content-Location: {location}\r\n" if location else ""
    before = "" if first else "\r\n"
    return f"{before}--{boundary}\r\nContent-Type: {part_type}\r\n{length}{place}\r\n".encode("latin-1")


def end(boundary: str) -> bytes:
    """What stands after the last part."""
    return f"\r\n--{boundary}--\r\n".encode("ascii")
