"""Destinations: list them, ask whether they answer, send to them."""

from __future__ import annotations

import uuid
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Literal

import grpc

from imaging.errors import ImagingError, Unavailable
from imaging.gateway.v1 import gateway_pb2, gateway_service_pb2_grpc
from imaging.gateway.v1 import gateway_service_pb2 as pb
from imaging.rpc.status import domain_errors, from_status
from imaging.stage.v1 import stage_pb2

Kind = Literal["dimse", "stow-rs"]


@dataclass(frozen=True, slots=True)
class Destination:
    """A system that can be sent to."""

    name: str
    kind: Kind
    description: str
    ae_title: str
    address: str
    url: str
    tls: bool


@dataclass(frozen=True, slots=True)
class Echo:
    """How a destination answered."""

    seconds: float
    error: ImagingError | None
    """None: it answers."""


@dataclass(frozen=True, slots=True)
class NotSent:
    """An instance that the destination has not, and why."""

    instance: str
    error: ImagingError


@dataclass(frozen=True, slots=True)
class Sending:
    """How far it is; with the last one, what became of it."""

    done: int
    total: int
    """0: not known yet."""

    sent_count: int = 0
    sent_bytes: int = 0
    not_sent: tuple[NotSent, ...] = ()
    has_ended: bool = False


class AsyncDestinations:
    """The destinations of an installation."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub: gateway_service_pb2_grpc.GatewayServiceAsyncStub = gateway_service_pb2_grpc.GatewayServiceStub(
            channel
        )

    async def list(self) -> list[Destination]:
        """All of them, by name."""
        with domain_errors("gateway"):
            answer = await self._stub.ListDestinations(pb.ListDestinationsRequest())
        return [_destination(found) for found in answer.destinations]

    async def echo(self, destination: str) -> Echo:
        """Whether a destination answers.

        Raises
        ------
        NotFound
            If the settings name none of that name.
        """
        with domain_errors("gateway"):
            answer = await self._stub.EchoDestination(pb.EchoDestinationRequest(name=_name(destination)))
        error = from_status(answer.status) if answer.status.code else None
        return Echo(answer.round_trip.ToTimedelta().total_seconds(), error)

    async def send(self, destination: str, names: Sequence[str], *, request_id: str = "") -> AsyncGenerator[Sending]:
        """Send studies, series or instances; progress, and at the end what became of it.

        Parameters
        ----------
        request_id
            The same one attaches to work that is being done, or gets its result.

        Raises
        ------
        NotFound
            If there is no such destination, or nothing of a name.
        """
        context = stage_pb2.StageContext(request_id=request_id or uuid.uuid4().hex)
        request = pb.SendInstancesRequest(context=context, destination=_name(destination), names=names)
        total = 0
        with domain_errors("gateway"):
            async for update in self._stub.SendInstances(request):
                if update.HasField("progress"):
                    total = update.progress.total
                    yield Sending(update.progress.done, total)
                    continue
                result = update.result
                failures = tuple(NotSent(item.instance, from_status(item.error)) for item in result.failures)
                count = result.sent_count + len(failures)
                yield Sending(count, count, result.sent_count, result.sent_bytes, failures, has_ended=True)
                return
        raise Unavailable("The gateway has ended the stream without a result", where="gateway", hint="Ask again.")


def _name(destination: str) -> str:
    return destination if "/" in destination else f"destinations/{destination}"


def _destination(found: gateway_pb2.Destination) -> Destination:
    kind: Kind = "stow-rs" if found.kind == gateway_pb2.Destination.KIND_STOW_RS else "dimse"
    return Destination(found.name, kind, found.description, found.ae_title, found.address, found.url, found.tls)
