"""What the services of all kinds of stages have in common: choose a replica, start or attach, cancel."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, ClassVar, Final

import grpc
from google.protobuf.struct_pb2 import Struct

from imaging.reporting.v1.reporting_service_pb2 import StageSummary
from imaging.rpc.call_messages import messages_of
from imaging.rpc.replicas import Replicas
from imaging.rpc.status import domain_errors
from imaging.stage.v1.stage_pb2 import Progress, StageContext
from pipeline_svc.runs.record import RunRecord, StageOutcome, StageRecord

CANCEL_TIMEOUT_S: Final = 5.0
"""For a cancel: a service that does not answer it ends the work by its orphan timer."""


@dataclass(frozen=True, slots=True)
class StageTask:
    """What a service is asked to do."""

    context: StageContext
    run: RunRecord
    stage: StageRecord
    replica: str
    """Which replica of the service is asked: `host:port`."""

    series: str
    """What it works on; empty for a report."""

    sop_instance_uids: tuple[str, ...]
    """The instances of the series to take; empty: all."""

    summaries: Sequence[StageSummary] = ()
    """What the earlier stages did, for a report."""

    names: tuple[str, ...] = ()
    """What is sent."""


class StageService(ABC):
    """A service that does stages of one kind.

    Each call has a channel of its own, to the replica that it is meant for: there are few, and they are long.
    """

    service: ClassVar[str]
    """Its name, in errors."""

    def __init__(self, replicas: Replicas) -> None:
        self._replicas = replicas

    @abstractmethod
    def start(self, channel: grpc.aio.Channel, task: StageTask, timeout_s: float) -> Any:
        """The call of the stage: a stream of progress, then a result."""

    @abstractmethod
    def outcome(self, task: StageTask, result: Any) -> StageOutcome:
        """What the run keeps of a result."""

    @abstractmethod
    async def end(self, channel: grpc.aio.Channel, request_id: str) -> None:
        """Ask that the work of a request ends."""

    async def choose(self, other_than: str = "") -> str:
        """`host:port` of a replica to ask; another one than that, if there is one."""
        return await self._replicas.choose(other_than)

    async def call(self, task: StageTask, timeout_s: float) -> AsyncIterator[Progress | StageOutcome]:
        """Progress, then the outcome. A repeated call with the same request id attaches, or gives the outcome.

        Leaving early ends the call, not the work, which has a timer.
        """
        async with (
            self._replicas.open(task.replica) as channel,
            aclosing(messages_of(self.start(channel, task, timeout_s))) as responses,
        ):
            async for response in responses:
                if response.WhichOneof("update") == "progress":
                    yield response.progress
                else:
                    yield self.outcome(task, response.result)

    async def cancel(self, request_id: str, replica: str) -> None:
        """End the work of a request at a replica. Unknown work is no error."""
        with domain_errors(self.service):
            async with self._replicas.open(replica) as channel:
                await self.end(channel, request_id)


def struct(parameters: Mapping[str, Any]) -> Struct:
    """Parameters of a stage as they go over the wire."""
    message = Struct()
    message.update(dict(parameters))
    return message
