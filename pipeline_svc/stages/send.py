"""Stages that send to a destination, done by the gateway."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import replace
from typing import Any, Final

import grpc

from imaging.errors import FailedPrecondition
from imaging.gateway.v1 import gateway_service_pb2, gateway_service_pb2_grpc
from imaging.rpc.call_messages import messages_of
from imaging.rpc.replicas import Replicas
from imaging.stage.v1.stage_pb2 import Progress, StageContext
from pipeline_svc.runs.record import StageOutcome
from pipeline_svc.stages.stage_service import CANCEL_TIMEOUT_S, StageService, StageTask

_NAMES_A_REQUEST: Final = 5000
"""Of at most 215 bytes each: a message has 4 MiB at most."""


class SendStages(StageService):
    """Many names go in several requests, parts of the stage, one after the other."""

    service = "gateway"

    def __init__(self, replicas: Replicas) -> None:
        super().__init__(replicas)
        self._newest_part: dict[str, int] = {}
        """By request id, of what is being sent: the number of the request, from 1."""

    def start(self, channel: grpc.aio.Channel, task: StageTask, timeout_s: float) -> Any:
        """Send the instances of the task."""
        request = gateway_service_pb2.SendInstancesRequest(
            context=task.context, destination=_destination(task), names=task.names
        )
        return gateway_service_pb2_grpc.GatewayServiceStub(channel).SendInstances(request, timeout=timeout_s)

    def outcome(self, task: StageTask, result: gateway_service_pb2.SendInstancesResponse.Result) -> StageOutcome:
        """Nothing to keep, if every instance was taken.

        Raises
        ------
        FailedPrecondition
            If one was not: the gateway has it in its list, and sends it again by itself if there is hope.
        """
        failed = _failed(result)
        if failed:
            reason = next((failure.error.message for failure in result.failures), "")
            raise FailedPrecondition(
                f"{failed} of {failed + result.sent_count} instances were not sent, the first because: {reason}",
                where=_destination(task),
                hint="`imaging destinations failed` tells which, why, and when they are tried again.",
            )
        return StageOutcome()

    async def call(self, task: StageTask, timeout_s: float) -> AsyncIterator[Progress | StageOutcome]:
        """Progress, then the outcome of all parts together."""
        request_id, total = task.context.request_id, len(task.names)
        until = time.monotonic() + timeout_s
        whole = gateway_service_pb2.SendInstancesResponse.Result()
        for number, start in enumerate(range(0, total, _NAMES_A_REQUEST), start=1):
            part = _part_of(task, number, start)
            self._newest_part[request_id] = number
            is_done = False
            async with (
                self._replicas.open(task.replica) as channel,
                aclosing(messages_of(self.start(channel, part, max(0.0, until - time.monotonic())))) as responses,
            ):
                async for response in responses:
                    if response.WhichOneof("update") == "result":
                        whole.sent_count += response.result.sent_count
                        whole.failed_count += _failed(response.result)
                        whole.failures.extend(response.result.failures[:1])
                        is_done = True
                        continue
                    if total > _NAMES_A_REQUEST:
                        response.progress.done += whole.sent_count + whole.failed_count
                        response.progress.total = total
                    yield response.progress
            if not is_done:
                return
        self._newest_part.pop(request_id, None)
        yield self.outcome(task, whole)

    async def end(self, channel: grpc.aio.Channel, request_id: str) -> None:
        """Cancel the sending of the part that was asked for last."""
        part = _part_id(request_id, self._newest_part.pop(request_id, 1))
        request = gateway_service_pb2.CancelSendingRequest(request_id=part)
        stub = gateway_service_pb2_grpc.GatewayServiceStub(channel)
        await stub.CancelSending(request, timeout=CANCEL_TIMEOUT_S)


def _destination(task: StageTask) -> str:
    return f"destinations/{task.stage.plan.uses}"


def _failed(result: gateway_service_pb2.SendInstancesResponse.Result) -> int:
    return max(result.failed_count, len(result.failures))  # a gateway of before tells no count


def _part_of(task: StageTask, number: int, start: int) -> StageTask:
    context = StageContext()
    context.CopyFrom(task.context)
    context.request_id = _part_id(task.context.request_id, number)
    return replace(task, context=context, names=task.names[start : start + _NAMES_A_REQUEST])


def _part_id(request_id: str, number: int) -> str:
    """The id of one of the requests, the same one whenever the stage is called again."""
    return request_id if number == 1 else f"{request_id}/{number}"
