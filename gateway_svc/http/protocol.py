"""uvicorn's connection with limits on what comes before a request is known: header bytes, number, and time."""

from __future__ import annotations

import asyncio
import json
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

MAX_HEAD_BYTES: Final = 32 * 1024
"""Request line and header together."""

MAX_HEADERS: Final = 128

HEAD_SECONDS: Final = 20.0
"""From the opening of a connection, or the first byte of a further request, to the end of its header."""


class LimitedProtocol(HttpToolsProtocol):
    """Turns away a head that is too large (431) and closes a connection on which it does not come."""

    _head_bytes = 0
    _refused = False
    _patience: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Give the first request its time."""
        super().connection_made(transport)
        self._patience = self.loop.call_later(HEAD_SECONDS, transport.close)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the time."""
        self._end_patience()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        """Give a further request its time."""
        super().on_message_begin()
        self._head_bytes = 0
        if self._patience is None:
            self._patience = self.loop.call_later(HEAD_SECONDS, self.transport.close)

    def on_url(self, url: bytes) -> None:
        """Count the request line."""
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Count a header."""
        self._count(len(name) + len(value) + 4)
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The request is known."""
        self._end_patience()
        super().on_headers_complete()

    def send_400_response(self, msg: str) -> None:
        """Tell why the head was refused, and close."""
        if self.transport.is_closing():
            return
        status = 431 if self._refused else 400
        what = (
            f"The request has more than {MAX_HEADERS} headers or {MAX_HEAD_BYTES} bytes of them"
            if self._refused
            else "This is not an HTTP request"
        )
        content = json.dumps({"status": status, "what": what, "where": "request head"}).encode()
        self.transport.write(
            STATUS_LINE[status]
            + b"content-type: application/problem+json\r\nx-content-type-options: nosniff\r\nconnection: close\r\n"
            + b"content-length: %d\r\n\r\n" % len(content)
            + content
        )
        self.transport.close()

    def _count(self, size: int) -> None:
        self._head_bytes += size
        if self._head_bytes > MAX_HEAD_BYTES or len(self.headers) >= MAX_HEADERS:
            self._refused = True
            raise ValueError("the head is too large")  # the parser stops, and `send_400_response` answers

    def _end_patience(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    # What uvicorn says of a request it cannot parse quotes nothing, and is no error of ours.
    def data_received(self, data: bytes) -> Any:
        """Feed the parser, unless the connection is being closed."""
        if not self.transport.is_closing():
            super().data_received(data)
