"""multipart/related as it comes in (RFC 2046 5.1, RFC 2387): part by part, each a stream of its own."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from typing import Final

from gateway_svc.http.refusals import BrokenBody

MAX_PART_HEAD_BYTES: Final = 16 * 1024
MAX_PREAMBLE_BYTES: Final = 64 * 1024
"""Before the first part; some senders write a line there."""

_MAX_BOUNDARY: Final = 256
"""Characters; the Standard allows 70."""


class Part:
    """One part: iterate its content once, to its end, before the next part is asked for."""

    def __init__(self, content_type: str, content: AsyncGenerator[bytes]) -> None:
        self.content_type = content_type
        self.content = content


class MultipartReader:
    """Reads the parts of a body.

    Parameters
    ----------
    body
        The bytes as they come.
    boundary
        Of the Content-Type.
    """

    def __init__(self, body: AsyncIterator[bytes], boundary: str) -> None:
        if not 0 < len(boundary) <= _MAX_BOUNDARY or not boundary.isascii():
            raise BrokenBody(
                "The multipart body has no boundary, or one that cannot be",
                where="Content-Type",
                hint='Send multipart/related; type="application/dicom"; boundary=….',
            )
        self._body = body
        self._line = b"--" + boundary.encode("ascii")
        self._buffer = bytearray()
        self._at_end = False

    async def parts(self) -> AsyncGenerator[Part]:
        """The parts in order. What of a part was not read is read off before the next.

        Raises
        ------
        BrokenBody
            If the body is no multipart body with this boundary, or ends too early.
        """
        await self._skip_preamble()
        while not await self._is_last():
            content_type = await self._head()
            content = self._content()
            yield Part(content_type, content)
            async for _ in content:
                pass

    async def _skip_preamble(self) -> None:
        while (position := self._start_of_first()) < 0:
            if len(self._buffer) > MAX_PREAMBLE_BYTES or not await self._more():
                raise BrokenBody(
                    "The body does not begin with the boundary of its Content-Type",
                    where="body",
                    hint="Begin each part with `--boundary`, and write the same boundary into the header.",
                )
        del self._buffer[: position + len(self._line)]

    def _start_of_first(self) -> int:
        if self._buffer.startswith(self._line):
            return 0
        found = self._buffer.find(b"\n" + self._line)
        return found + 1 if found >= 0 else -1

    async def _is_last(self) -> bool:
        """After a boundary: True for the closing one, False at the first line of a part's head."""
        while len(self._buffer) < 2 and await self._more():
            pass
        if self._buffer.startswith(b"--"):
            return True
        line = await self._take_line()
        if line.strip(b" \t"):
            raise BrokenBody("Something stands behind a boundary", where="body", hint="End the line after it.")
        return False

    async def _head(self) -> str:
        content_type, size = "", 0
        while line := await self._take_line():
            size += len(line)
            if size > MAX_PART_HEAD_BYTES:
                raise BrokenBody("The head of a part is too long", where="body", hint="Send fewer part headers.")
            name, _, value = line.partition(b":")
            if name.strip().lower() == b"content-type":
                content_type = value.strip().decode("latin-1")
        return content_type

    async def _take_line(self) -> bytes:
        while (end := self._buffer.find(b"\n")) < 0:
            if len(self._buffer) > MAX_PART_HEAD_BYTES:
                raise BrokenBody("The head of a part is too long", where="body", hint="Send fewer part headers.")
            if not await self._more():
                raise BrokenBody("The body ends in the head of a part", where="body", hint="Send it again, whole.")
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        return line.removesuffix(b"\r")

    async def _content(self) -> AsyncGenerator[bytes]:
        """The content up to the next boundary, which is taken off."""
        delimiter = b"\r\n" + self._line
        if self._buffer.startswith(self._line):  # an empty part: the line break before belongs to its head
            del self._buffer[: len(self._line)]
            return
        while True:
            found = self._buffer.find(delimiter)
            if found >= 0:
                content = bytes(self._buffer[:found])
                del self._buffer[: found + len(delimiter)]
                if content:
                    yield content
                return
            ready = len(self._buffer) - len(delimiter) + 1
            if ready > 0:
                content = bytes(self._buffer[:ready])
                del self._buffer[:ready]
                yield content
            if not await self._more():
                raise BrokenBody(
                    "The body ends in the middle of a part",
                    where="body",
                    hint="Send it again; its last line is `--boundary--`.",
                )

    async def _more(self) -> bool:
        if not self._at_end:
            chunk = await anext(self._body, None)
            if chunk is not None:
                self._buffer += chunk
                return True
            self._at_end = True
        return False
