"""A real server and a real channel: errors, deadlines, credentials, traces, health."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import timedelta
from itertools import pairwise
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from imaging import errors
from imaging.pipeline.v1 import pipeline_pb2, pipeline_service_pb2, pipeline_service_pb2_grpc
from imaging.rpc.channel import open_channel
from imaging.rpc.connection_settings import ChannelSettings, ListenSettings
from imaging.rpc.deadline import remaining_seconds
from imaging.rpc.server import RpcServer
from imaging.rpc.status import domain_errors
from imaging.rpc.tracing import traceparent_of_current_span

SERVICE = "imaging.pipeline.v1.PipelineService"


class ScriptedPipeline(pipeline_service_pb2_grpc.PipelineServiceServicer):
    """Answers by the name that it is asked for."""

    def __init__(self) -> None:
        self.closed_streams = 0
        self.watching = asyncio.Event()
        self.seen: dict[str, Any] = {}
        self.calls: list[float] = []

    async def GetRun(self, request: Any, context: Any) -> Any:
        self.seen["remaining"] = remaining_seconds()
        self.seen["traceparent"] = traceparent_of_current_span()
        match request.name:
            case "runs/missing":
                raise errors.NotFound("there is no such run", where=request.name, hint="`imaging runs list` shows all")
            case "runs/busy":
                raise errors.Overloaded("too much work in flight", retry_after_seconds=2.5)
            case "runs/away":
                self.calls.append(time.monotonic())
                if len(self.calls) < 3:
                    raise errors.Unavailable("it is away", retry_after_seconds=0.5)
            case "runs/defect":
                raise ZeroDivisionError("secret of a patient")
            case "runs/garbled":
                await context.abort(
                    grpc.StatusCode.NOT_FOUND, "not here", (("grpc-status-details-bin", b"\xff\xff\xff"),)
                )
            case "runs/impatient":
                raise TimeoutError
            case "runs/slow":
                await asyncio.sleep(60)
        return pipeline_service_pb2.GetRunResponse(run=pipeline_pb2.Run(name=request.name))

    async def WatchRun(self, request: Any, context: Any) -> AsyncIterator[Any]:
        try:
            yield pipeline_service_pb2.WatchRunResponse(run=pipeline_pb2.Run(name=request.name))
            if request.name == "runs/breaks":
                raise errors.DataLoss("stored bytes no longer match", where=request.name)
            self.watching.set()
            await asyncio.sleep(60)
        finally:
            self.closed_streams += 1


@pytest.fixture
async def scripted() -> ScriptedPipeline:
    return ScriptedPipeline()


async def _serve(servicer: ScriptedPipeline, token: str = "", max_concurrent_rpcs: int = 512) -> RpcServer:
    def add(server: grpc.aio.Server) -> None:
        pipeline_service_pb2_grpc.add_PipelineServiceServicer_to_server(servicer, server)

    server = RpcServer(ListenSettings(token=token), {SERVICE: add}, max_concurrent_rpcs=max_concurrent_rpcs)
    await server.start()
    return server


@pytest.fixture
async def server(scripted: ScriptedPipeline) -> AsyncIterator[RpcServer]:
    running = await _serve(scripted)
    yield running
    await running.stop(timedelta(0))


@pytest.fixture
async def stub(server: RpcServer) -> AsyncIterator[Any]:
    async with open_channel(f"127.0.0.1:{server.port}") as channel:
        yield pipeline_service_pb2_grpc.PipelineServiceStub(channel)


async def test_a_domain_error_comes_back_as_itself(stub: Any) -> None:
    with pytest.raises(errors.NotFound) as caught, domain_errors():
        await stub.GetRun(pipeline_service_pb2.GetRunRequest(name="runs/missing"))
    assert (caught.value.what, caught.value.where) == ("there is no such run", "runs/missing")
    assert "imaging runs list" in caught.value.hint


async def test_overload_tells_when_to_come_back(stub: Any) -> None:
    with pytest.raises(errors.Overloaded) as caught, domain_errors():
        await stub.GetRun(pipeline_service_pb2.GetRunRequest(name="runs/busy"))
    assert caught.value.retry_after_seconds == 2.5


async def test_a_call_is_repeated_no_earlier_than_the_service_has_said(stub: Any, scripted: ScriptedPipeline) -> None:
    answer = await stub.GetRun(pipeline_service_pb2.GetRunRequest(name="runs/away"))
    assert answer.run.name == "runs/away"
    assert len(scripted.calls) == 3
    assert all(later - earlier >= 0.49 for earlier, later in pairwise(scripted.calls))  # by itself after 0.2 s


async def test_a_defect_tells_nothing_but_that_it_is_one(stub: Any, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(errors.Internal) as caught, domain_errors():
        await stub.GetRun(pipeline_service_pb2.GetRunRequest(name="runs/defect"))
    assert "secret" not in caught.value.text
    assert "unforeseen error in a handler" in caplog.text


async def test_details_that_are_no_status_leave_code_and_message(stub: Any) -> None:
    with pytest.raises(errors.NotFound, match="not here"), domain_errors():
        await stub.GetRun(pipeline_service_pb2.GetRunRequest(name="runs/garbled"))


@pytest.mark.parametrize("message", [b"\xff\xff\xff", b"\x0a\x02\xff\xfe"], ids=["no protobuf", "no UTF-8"])
async def test_a_message_that_cannot_be_parsed_is_an_invalid_argument(server: RpcServer, message: bytes) -> None:
    async with open_channel(f"127.0.0.1:{server.port}") as channel:
        raw: Any = channel.unary_unary(f"/{SERVICE}/GetRun")
        with pytest.raises(errors.InvalidArgument, match="not a message of the type"), domain_errors():
            await raw(message)


async def test_an_error_in_the_middle_of_a_stream_is_typed(stub: Any) -> None:
    seen = 0
    with pytest.raises(errors.DataLoss), domain_errors():
        async for _ in stub.WatchRun(pipeline_service_pb2.WatchRunRequest(name="runs/breaks")):
            seen += 1
    assert seen == 1


async def test_a_stream_is_closed_when_the_client_goes_away(stub: Any, scripted: ScriptedPipeline) -> None:
    call = stub.WatchRun(pipeline_service_pb2.WatchRunRequest(name="runs/one"))
    await call.read()
    await scripted.watching.wait()
    call.cancel()
    for _ in range(200):
        if scripted.closed_streams:
            break
        await asyncio.sleep(0.01)
    assert scripted.closed_streams == 1


async def test_a_call_without_a_deadline_gets_the_default_one(stub: Any, scripted: ScriptedPipeline) -> None:
    await stub.GetRun(pipeline_service_pb2.GetRunRequest(name="runs/one"))
    assert 25 < scripted.seen["remaining"] < 31  # clocks of both sides


async def test_a_deadline_ends_the_call_and_says_so(stub: Any) -> None:
    with pytest.raises(errors.DeadlineExceeded), domain_errors():
        await stub.GetRun(pipeline_service_pb2.GetRunRequest(name="runs/slow"), timeout=0.2)


async def test_a_time_out_inside_a_handler_is_not_told_as_the_deadline_of_the_call(stub: Any) -> None:
    with pytest.raises(errors.Internal), domain_errors():
        await stub.GetRun(pipeline_service_pb2.GetRunRequest(name="runs/impatient"))


async def test_calls_over_the_limit_are_shed_typed_while_health_is_told(scripted: ScriptedPipeline) -> None:
    server = await _serve(scripted, max_concurrent_rpcs=2)
    try:
        async with open_channel(f"127.0.0.1:{server.port}") as channel:
            stub: Any = pipeline_service_pb2_grpc.PipelineServiceStub(channel)
            watches = [stub.WatchRun(pipeline_service_pb2.WatchRunRequest(name="runs/one")) for _ in range(2)]
            for watch in watches:
                await watch.read()
            with pytest.raises(errors.Overloaded, match="2 calls already") as caught, domain_errors():
                await stub.GetRun(pipeline_service_pb2.GetRunRequest(name="runs/one"))
            assert caught.value.retry_after_seconds == 2
            health = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(service=SERVICE))
            assert health.status == health_pb2.HealthCheckResponse.SERVING
            for watch in watches:
                watch.cancel()
            for _ in range(500):
                if scripted.closed_streams == 2:
                    break
                await asyncio.sleep(0.01)
            await stub.GetRun(pipeline_service_pb2.GetRunRequest(name="runs/one"))
    finally:
        await server.stop(timedelta(0))


async def test_the_token_is_asked_for_except_for_health(scripted: ScriptedPipeline) -> None:
    server = await _serve(scripted, token="right")
    request = pipeline_service_pb2.GetRunRequest(name="runs/one")
    try:
        for token, allowed in [("right", True), ("wrong", False), ("", False)]:
            async with open_channel(f"127.0.0.1:{server.port}", ChannelSettings(token=token)) as channel:
                stub = pipeline_service_pb2_grpc.PipelineServiceStub(channel)
                if allowed:
                    await stub.GetRun(request)
                    continue
                with pytest.raises(errors.Unauthenticated), domain_errors():
                    await stub.GetRun(request)
                health = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(service=SERVICE))
                assert health.status == health_pb2.HealthCheckResponse.SERVING
    finally:
        await server.stop(timedelta(0))


async def test_nobody_there_is_unavailable_with_a_hint() -> None:
    async with open_channel("127.0.0.1:9") as channel:
        stub = pipeline_service_pb2_grpc.PipelineServiceStub(channel)
        with pytest.raises(errors.Unavailable, match="imaging up"), domain_errors():
            await stub.GetRun(pipeline_service_pb2.GetRunRequest(name="runs/one"), timeout=5)


async def test_a_port_that_is_taken_is_told(server: RpcServer, scripted: ScriptedPipeline) -> None:
    def add(other: grpc.aio.Server) -> None:
        pipeline_service_pb2_grpc.add_PipelineServiceServicer_to_server(scripted, other)

    second = RpcServer(ListenSettings(address=f"127.0.0.1:{server.port}"), {SERVICE: add})
    with pytest.raises(errors.Unavailable, match="cannot be listened on"):
        await second.start()
    await second.stop(timedelta(0))


async def test_a_message_over_the_limit_is_refused_with_the_limit_in_the_text(stub: Any) -> None:
    with pytest.raises(errors.LimitExceeded, match="4 MiB"), domain_errors():
        await stub.GetRun(pipeline_service_pb2.GetRunRequest(name="x" * (4 * 1024 * 1024 + 1)))
