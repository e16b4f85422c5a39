"""One HTTP request and its answer, over plain ASGI: little Python a request, bodies as streams both ways."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Mapping, MutableMapping, Sequence
from typing import Any, Final
from urllib.parse import parse_qsl

from gateway_svc.http.refusals import RequestTimeout
from imaging.errors import InvalidArgument

Header = tuple[bytes, bytes]
Message = MutableMapping[str, Any]

READ_SECONDS: Final = 60.0
"""A sender that gives nothing for so long is told so."""

WRITE_SECONDS: Final = 120.0
"""A reader that takes nothing for so long is given up."""

MAX_PARAMETERS: Final = 200

LINGER_BYTES: Final = 1 << 20
"""Of a body that nobody wants, so much is read off, so that the answer is not lost on its way."""


class ClientGone(Exception):
    """The client has closed the connection, or takes no more."""


class Exchange:
    """A request; exactly one of the `send` methods is called for it.

    Parameters
    ----------
    scope, receive, send
        As ASGI 3 gives them.
    """

    def __init__(
        self,
        scope: MutableMapping[str, Any],
        receive: Callable[[], Awaitable[Message]],
        send: Callable[[Message], Awaitable[None]],
    ) -> None:
        self.scope = scope
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.route = "unknown"
        """Template of the path, for traces and metrics."""

        self.status = 0
        """Of the answer; 0 before it is begun."""

        self.extra_headers: list[Header] = []
        """Added to any answer."""

        headers: dict[bytes, bytes] = {}
        for name, value in scope["headers"]:
            headers[name] = headers[name] + b", " + value if name in headers else value
        self._headers = headers
        self._receive = receive
        self._send = send
        self._body_ended = False

    def header(self, name: bytes) -> str:
        """A request header, all of that name joined by commas; empty without."""
        return self._headers.get(name, b"").decode("latin-1")

    @property
    def query(self) -> list[tuple[str, str]]:
        """The parameters of the query, decoded, in order.

        Raises
        ------
        InvalidArgument
            If they are too many or no UTF-8.
        """
        try:
            return parse_qsl(
                self.scope["query_string"].decode("ascii"),
                keep_blank_values=True,
                max_num_fields=MAX_PARAMETERS,
                errors="strict",
            )
        except ValueError:
            raise InvalidArgument(
                f"The query cannot be read: over {MAX_PARAMETERS} parameters, or not UTF-8",
                where="query",
                hint="Percent-encode UTF-8.",
            ) from None

    @property
    def base_url(self) -> str:
        """`https://host` under which the client reaches us; a proxy tells by X-Forwarded-Proto that it does TLS."""
        forwarded = self.header(b"x-forwarded-proto")
        scheme = "https" if (forwarded or self.scope["scheme"]) == "https" else "http"
        host, port = self.header(b"host") or "localhost", self.scope["server"][1]
        # Some clients leave our port out of the header; a proxy has a port of its own.
        if not forwarded and not host.rpartition("]")[2].count(":") and port not in (None, 80, 443):
            host = f"{host}:{port}"
        return f"{scheme}://{host}"

    async def body(self) -> AsyncIterator[bytes]:
        """The parts of the request's body as they come; only once.

        Raises
        ------
        RequestTimeout
            If nothing comes for `READ_SECONDS`.
        ClientGone
            If the connection is closed before its end.
        """
        while not self._body_ended:
            try:
                async with asyncio.timeout(READ_SECONDS):
                    message = await self._receive()
            except TimeoutError:
                raise RequestTimeout(
                    f"Nothing of the body came for {READ_SECONDS:.0f} s", where="body", hint="Send it again."
                ) from None
            if message["type"] == "http.disconnect":
                raise ClientGone
            self._body_ended = not message.get("more_body", False)
            if message.get("body"):
                yield message["body"]

    async def small_body(self, most_bytes: int) -> bytes:
        """The whole body.

        Raises
        ------
        InvalidArgument
            If it is larger than `most_bytes`.
        """
        parts, size = [], 0
        async for part in self.body():
            size += len(part)
            if size > most_bytes:
                raise InvalidArgument(f"The body has more than {most_bytes} bytes", where="body", hint="Send less.")
            parts.append(part)
        return b"".join(parts)

    async def send(self, status: int, headers: Sequence[Header] = (), body: bytes = b"") -> None:
        """Answer with a body that is there."""
        length = [] if status in (204, 304) else [(b"content-length", b"%d" % len(body))]
        await self._begin(status, [*headers, *length])
        await self._send({"type": "http.response.body", "body": body})

    async def send_stream(self, status: int, headers: Sequence[Header], chunks: AsyncIterable[bytes]) -> None:
        """Answer with a body that is made while it is sent; an error in the middle breaks the connection off.

        Raises
        ------
        ClientGone
            If the client is gone, or takes nothing for `WRITE_SECONDS`.
        """
        await self._begin(status, headers)
        gone = asyncio.create_task(self._gone())
        try:
            async for chunk in chunks:
                if gone.done():
                    raise ClientGone
                async with asyncio.timeout(WRITE_SECONDS):
                    await self._send({"type": "http.response.body", "body": chunk, "more_body": True})
        except TimeoutError:
            raise ClientGone from None
        finally:
            gone.cancel()
            await asyncio.gather(gone, return_exceptions=True)
        await self._send({"type": "http.response.body"})

    async def gone(self) -> None:
        """Wait until the client has closed the connection, for answers that wait themselves."""
        await self._gone()

    async def _gone(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            self._body_ended = True

    async def _begin(self, status: int, headers: Sequence[Header]) -> None:
        self.status = status
        closing: list[Header] = []
        if self.method not in ("GET", "HEAD") and not self._body_ended and not await self._read_off():
            closing = [(b"connection", b"close")]
        await self._send(
            {"type": "http.response.start", "status": status, "headers": [*headers, *self.extra_headers, *closing]}
        )

    async def _read_off(self) -> bool:
        """True if what is left of the body was little, and is read."""
        left = LINGER_BYTES
        if int(self._headers.get(b"content-length", b"0") or 0) > left:
            return False
        try:
            async with asyncio.timeout(1):
                async for part in self.body():
                    left -= len(part)
                    if left < 0:
                        return False
        except (TimeoutError, RequestTimeout, ClientGone):
            return False
        return True


def headers_of(values: Mapping[str, str]) -> list[Header]:
    """Headers as ASGI takes them; what is no Latin-1 is replaced."""
    return [(name.encode("ascii"), value.encode("latin-1", "replace")) for name, value in values.items()]
