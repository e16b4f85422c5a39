"""`ObjectStore`: what every back end does. All methods block; call them in threads."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

from imaging.errors import InvalidArgument

Content = bytes | bytearray | memoryview

_KEY = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,199}(?:/[A-Za-z0-9_-][A-Za-z0-9._-]{0,199})*\Z")
MAX_KEY_LENGTH = 900
"""Characters; S3 takes 1024 bytes."""


@dataclass(frozen=True, slots=True)
class ObjectStat:
    """What is known of an object without reading it: key, size in bytes, time of its last change (UTC)."""

    key: str
    size_bytes: int
    modify_time: datetime


class ObjectStore(Protocol):
    """Keeps objects. A key is written once and never again, so nothing can replace an object under a reader."""

    @property
    def spool(self) -> Path:
        """A local folder for objects that arrive in parts; `adopt` from here costs no copy where that is possible."""
        ...

    def put(self, key: str, content: Content) -> None:
        """Keep `content` under a new key. When this returns, it survives a power cut; when it raises, it is not there.

        Raises
        ------
        StorageFull
            If there is no room.
        Unavailable
            If the store does not confirm; nothing may be assumed to be kept.
        FailedPrecondition
            If the key is taken.
        """
        ...

    def adopt(self, key: str, path: Path) -> None:
        """Keep a local file under a new key, as `put`; the file is gone afterwards."""
        ...

    def read(self, key: str, offset: int = 0, length: int | None = None) -> bytes:
        """The bytes [offset, offset + length) of an object; to its end without `length`.

        Raises
        ------
        DataLoss
            If the object is not there, or ends before.
        """
        ...

    def read_at_once(self, key: str, into: memoryview) -> bool:
        """Fill `into` with the first bytes of an object if they are in memory and that takes no waiting.

        May be called in an event loop. False, with anything in `into`, where only `read` can give the bytes, or tell
        why it cannot.
        """
        ...

    def stat(self, key: str) -> ObjectStat | None:
        """What is known of an object; None if there is none."""
        ...

    def delete(self, key: str) -> None:
        """Forget an object; nothing happens if there is none."""
        ...

    def list(self, prefix: str = "") -> Iterator[ObjectStat]:
        """All objects whose key starts with `prefix` (a whole number of path components), in no particular order."""
        ...


def validate_key(key: str) -> str:
    """The key, if it is one: path components of letters, digits, `.`, `_` and `-` that do not start with a dot.

    Raises
    ------
    InvalidArgument
        If it could name a file outside, a hidden one, or is too long.
    """
    if len(key) <= MAX_KEY_LENGTH and _KEY.match(key):
        return key
    raise InvalidArgument(
        "The object key is not valid", hint="Use letters, digits, '.', '_', '-' and '/'; no component starts with '.'."
    )
