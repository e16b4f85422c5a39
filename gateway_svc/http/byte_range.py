"""One byte range of a body (RFC 9110 14): what viewers ask for to see the first bytes of a large image first."""

from __future__ import annotations

import re
from collections.abc import AsyncIterable, AsyncIterator
from dataclasses import dataclass

from gateway_svc.http.exchange import Exchange, Header
from gateway_svc.http.refusals import RangeNotSatisfiable

_RANGE = re.compile(r"\s*bytes\s*=\s*([0-9]{0,18})\s*-\s*([0-9]{0,18})\s*\Z")


@dataclass(frozen=True, slots=True)
class ByteRange:
    """Bytes `start` to `stop` (which is not in it) of `size_bytes`."""

    start: int
    stop: int
    size_bytes: int

    @property
    def header(self) -> Header:
        """Content-Range."""
        return b"content-range", b"bytes %d-%d/%d" % (self.start, self.stop - 1, self.size_bytes)


def asked_range(exchange: Exchange, size_bytes: int, etag: str) -> ByteRange | None:
    """The range that the request asks for; None for the whole: several ranges, another unit, or an old If-Range.

    Raises
    ------
    RangeNotSatisfiable
        If it begins behind the end.
    """
    header = exchange.header(b"range")
    if not header or exchange.method not in ("GET", "HEAD"):
        return None
    condition = exchange.header(b"if-range")
    if condition and condition != etag:
        return None
    match = _RANGE.match(header)
    if match is None or not (match[1] or match[2]):
        return None
    if match[1]:
        start, stop = int(match[1]), min(int(match[2]) + 1 if match[2] else size_bytes, size_bytes)
        if match[2] and int(match[2]) < start:
            return None
    else:
        start, stop = max(0, size_bytes - int(match[2])), size_bytes
    if start >= stop:
        raise RangeNotSatisfiable(
            "The range begins behind the end",
            where="Range",
            hint=f"There are {size_bytes} bytes.",
            metadata={"size_bytes": str(size_bytes)},
        )
    return ByteRange(start, stop, size_bytes)


async def cut(chunks: AsyncIterable[bytes], start: int, stop: int) -> AsyncIterator[bytes]:
    """Bytes `start` to `stop` of a stream; it is read no further than that."""
    position = 0
    async for chunk in chunks:
        if position + len(chunk) > start:
            yield chunk[max(0, start - position) : stop - position]
        position += len(chunk)
        if position >= stop:
            return


def is_unchanged(exchange: Exchange, etag: str) -> bool:
    """True if the client has this version already (If-None-Match), so that 304 is the answer."""
    known = exchange.header(b"if-none-match")
    if not known or not etag:
        return False
    return any(tag.strip() in ("*", etag, f"W/{etag}") for tag in known.split(","))
