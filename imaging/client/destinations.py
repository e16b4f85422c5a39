"""Destinations: list them, ask whether they answer, send to them, look after what they have not taken."""

from __future__ import annotations

import uuid
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
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
    failed_count: int = 0
    not_sent: tuple[NotSent, ...] = ()
    """Those that failed, the first 1000 of them; `failed` gives all."""

    has_ended: bool = False


@dataclass(frozen=True, slots=True)
class FailedSend:
    """An instance that a destination has not taken; it is gone from the list when it is sent, or dropped."""

    name: str
    """`failedSends/{id}`."""

    destination: str
    instance: str
    attempts: int
    error: ImagingError
    """Of the last attempt."""

    failed_first: datetime
    tried_last: datetime
    next_try: datetime | None
    """None: it was given up, and waits for a person."""

    run: str
    """`runs/{id}` whose stage wanted it; empty: a user did."""

    stage: str


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
                failed = max(result.failed_count, len(failures))  # a gateway of before tells no count
                count = result.sent_count + failed
                yield Sending(count, count, result.sent_count, result.sent_bytes, failed, failures, has_ended=True)
                return
        raise Unavailable("The gateway has ended the stream without a result", where="gateway", hint="Ask again.")

    async def failed(self, destination: str = "") -> tuple[FailedSend, ...]:
        """What a destination (empty: any) has not taken, newest first."""
        request = pb.ListFailedSendsRequest(destination=_name(destination) if destination else "", page_size=1000)
        found: list[FailedSend] = []
        while True:
            with domain_errors("gateway"):
                page = await self._stub.ListFailedSends(request)
            found += map(_failed_send, page.failed_sends)
            request.page_token = page.next_page_token
            if not page.next_page_token:
                return tuple(found)

    async def retry(self, failed: str | FailedSend) -> FailedSend | None:
        """Try a failed send again now; None: it was sent, else it as it has failed once more."""
        name = _failed_name(failed)
        with domain_errors(name):
            answer = await self._stub.RetryFailedSend(pb.RetryFailedSendRequest(name=name))
        return _failed_send(answer.failed_send) if answer.HasField("failed_send") else None

    async def drop(self, failed: str | FailedSend) -> None:
        """Take a failed send off the list: it is tried no more."""
        name = _failed_name(failed)
        with domain_errors(name):
            await self._stub.DropFailedSend(pb.DropFailedSendRequest(name=name))


def _failed_name(failed: str | FailedSend) -> str:
    name = failed if isinstance(failed, str) else failed.name
    return name if "/" in name else f"failedSends/{name}"


def _failed_send(found: gateway_pb2.FailedSend) -> FailedSend:
    return FailedSend(
        name=found.name,
        destination=found.destination,
        instance=found.instance,
        attempts=found.attempts,
        error=from_status(found.error),
        failed_first=found.create_time.ToDatetime(UTC),
        tried_last=found.update_time.ToDatetime(UTC),
        next_try=found.next_try_time.ToDatetime(UTC) if found.HasField("next_try_time") else None,
        run=found.run,
        stage=found.stage,
    )


def _name(destination: str) -> str:
    return destination if "/" in destination else f"destinations/{destination}"


def _destination(found: gateway_pb2.Destination) -> Destination:
    kind: Kind = "stow-rs" if found.kind == gateway_pb2.Destination.KIND_STOW_RS else "dimse"
    return Destination(found.name, kind, found.description, found.ae_title, found.address, found.url, found.tls)
