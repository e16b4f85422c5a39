"""Destinations: which there are, whether one answers, sending with its progress as it goes, and what has failed."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Final, cast

from google.protobuf.message import Message

from gateway_svc.dicomweb.representation import one_number
from gateway_svc.http.exchange import Exchange
from gateway_svc.web_api.api import Route
from gateway_svc.web_api.json_answer import HEADERS, json_body, send_json, to_json
from imaging.errors import ImagingError, InvalidArgument
from imaging.gateway.v1 import gateway_service_pb2 as pb
from imaging.rpc.status import to_status
from imaging.stage.v1 import stage_pb2

if TYPE_CHECKING:
    from gateway_svc.servicer import GatewayServicer

MOST_NAMES: Final = 1000

_FROM_INSIDE: Final = cast("Any", None)
"""Instead of a gRPC context: the gateway calls its own contract without a wire."""


class DestinationPages:
    """Answers requests for destinations."""

    def __init__(self, gateway: GatewayServicer) -> None:
        self._gateway = gateway

    def routes(self) -> list[Route]:
        """Their paths."""
        return [
            Route("/destinations", {"GET": self._list}),
            Route("/destinations/{destination}:echo", {"POST": self._echo}),
            Route("/destinations/{destination}:send", {"POST": self._send}),
            Route("/failedSends", {"GET": self._list_failed}),
            Route("/failedSends/{failed}:retry", {"POST": self._retry}),
            Route("/failedSends/{failed}:drop", {"POST": self._drop}),
        ]

    async def _list(self, exchange: Exchange) -> None:
        await send_json(
            exchange, to_json(await self._gateway.ListDestinations(pb.ListDestinationsRequest(), _FROM_INSIDE))
        )

    async def _echo(self, exchange: Exchange, destination: str) -> None:
        request = pb.EchoDestinationRequest(name=f"destinations/{destination}")
        await send_json(exchange, to_json(await self._gateway.EchoDestination(request, _FROM_INSIDE)))

    async def _send(self, exchange: Exchange, destination: str) -> None:
        """`names` and `requestId` in the body; a line of JSON for each step, the last one with `result` or `error`."""
        body = await json_body(exchange)
        names, request_id = body.get("names"), body.get("requestId")
        if not (_are_texts(names) and _are_texts([request_id]) and request_id):
            raise InvalidArgument(
                "What is to be sent is not told", where="body", hint="Give names (studies/…) and a requestId."
            )
        request = pb.SendInstancesRequest(
            context=stage_pb2.StageContext(request_id=request_id),
            destination=f"destinations/{destination}",
            names=names,
        )
        async with aclosing(_generator(self._gateway.SendInstances(request, _FROM_INSIDE))) as updates:
            first = await anext(updates)  # what is refused at once has a status of its own
            await exchange.send_stream(
                200, [(b"content-type", b"application/x-ndjson"), *HEADERS[1:]], _lines(first, updates)
            )

    async def _list_failed(self, exchange: Exchange) -> None:
        query = dict(exchange.query)
        request = pb.ListFailedSendsRequest(
            destination=query.get("destination", ""),
            page_size=one_number(query.get("limit", "100"), least=1, most=1000, where="limit"),
            page_token=query.get("pageToken", ""),
        )
        await send_json(exchange, to_json(await self._gateway.ListFailedSends(request, _FROM_INSIDE)))

    async def _retry(self, exchange: Exchange, failed: str) -> None:
        request = pb.RetryFailedSendRequest(name=f"failedSends/{failed}")
        await send_json(exchange, to_json(await self._gateway.RetryFailedSend(request, _FROM_INSIDE)))

    async def _drop(self, exchange: Exchange, failed: str) -> None:
        request = pb.DropFailedSendRequest(name=f"failedSends/{failed}")
        await send_json(exchange, to_json(await self._gateway.DropFailedSend(request, _FROM_INSIDE)))


def _generator(updates: AsyncIterator[Message]) -> AsyncGenerator[Message]:
    return cast("AsyncGenerator[Message]", updates)  # the contract promises no more than an iterator


async def _lines(first: Message, updates: AsyncIterator[Message]) -> AsyncIterator[bytes]:
    try:
        yield _line(first)
        async for update in updates:
            yield _line(update)
    except ImagingError as error:
        yield _line(to_status(error), within="error")


def _are_texts(found: Any) -> bool:
    return isinstance(found, list) and 0 < len(found) <= MOST_NAMES and all(isinstance(item, str) for item in found)


def _line(message: Message, within: str = "") -> bytes:
    content = to_json(message)
    return json.dumps({within: content} if within else content, ensure_ascii=False).encode("utf-8", "replace") + b"\n"
