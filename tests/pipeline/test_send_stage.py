"""The stage `send`: what goes to whom, what is told when it does not, and a gateway that is away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from imaging.errors import Cancelled, FailedPrecondition, NotFound, Unavailable
from imaging.gateway.v1 import gateway_pb2, gateway_service_pb2, gateway_service_pb2_grpc
from imaging.pipeline.v1 import pipeline_pb2
from imaging.rpc.connection_settings import ListenSettings
from imaging.rpc.replicas import Replicas
from imaging.rpc.server import RpcServer
from imaging.rpc.status import to_status
from imaging.stage.v1.stage_pb2 import Progress, StageContext
from imaging.work import Report, RequestWork
from pipeline_svc.runs.record import StageOutcome, StagePlan, StageRecord
from pipeline_svc.stages.send import SendStages
from pipeline_svc.stages.stage_service import StageTask
from tests.pipeline.pipeline_client import Start
from tests.pipeline.scripted_services import Scripted
from tests.pipeline.scripted_stages import Gate
from tests.pipeline.test_stage_call import RUN

RECIPE = """\
name: ct-sent
version: 1
match: {Modality: CT}
stages:
  - {process: resample-isotropic}
  - {analyze: image-statistics}
  - {report: quantitative}
  - {send: pacs}
  - {send: research, what: study, optional: true}
"""


class ScriptedGateway(gateway_service_pb2_grpc.GatewayServiceServicer):
    """Destinations that take what they are sent, or not."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, list[str], str, str]] = []
        """Destination, names, run and stage."""
        self.refuses: set[str] = set()
        self.destinations = ["pacs", "research"]
        self.stalls_at = ""
        """The work of this request does not end by itself."""
        self.stalls = asyncio.Event()
        self.requests: list[str] = []
        self.cancelled: list[str] = []
        self._work: RequestWork[Any] = RequestWork(keep=lambda result: not result.failures)

    async def ListDestinations(self, request: Any, context: Any) -> Any:
        return gateway_service_pb2.ListDestinationsResponse(
            destinations=[gateway_pb2.Destination(name=f"destinations/{name}") for name in self.destinations]
        )

    async def SendInstances(self, request: Any, context: Any) -> AsyncIterator[Any]:
        async def send(report: Report) -> Any:
            self.requests.append(request.context.request_id)
            if request.context.request_id == self.stalls_at:
                self.stalls.set()
                await asyncio.Event().wait()
            result = gateway_service_pb2.SendInstancesResponse.Result()
            if request.destination in self.refuses:
                error = to_status(FailedPrecondition("it does not like it"))
                result.failures.add(instance=request.names[0], error=error)
                result.failed_count = len(request.names)
            else:
                result.sent_count = len(request.names)
                names = list(request.names)
                self.sent.append((request.destination, names, request.context.run, request.context.stage))
            return result

        async for update in self._work.attach(request.context.request_id, send):
            if isinstance(update, gateway_service_pb2.SendInstancesResponse.Result):
                yield gateway_service_pb2.SendInstancesResponse(result=update)
            else:
                yield gateway_service_pb2.SendInstancesResponse(progress=update)

    async def CancelSending(self, request: Any, context: Any) -> Any:
        self.cancelled.append(request.request_id)
        self._work.cancel(request.request_id)
        return gateway_service_pb2.CancelSendingResponse()


@asynccontextmanager
async def serving(gateway: ScriptedGateway, address: str = "127.0.0.1:0") -> AsyncIterator[str]:
    """The gateway on a server; its address."""

    def add(server: Any) -> None:
        gateway_service_pb2_grpc.add_GatewayServiceServicer_to_server(gateway, server)

    server = RpcServer(ListenSettings(address), {"imaging.gateway.v1.GatewayService": add})
    port = await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(timedelta(0))


@pytest.fixture
def recipes(tmp_path: Path) -> Path:
    folder = tmp_path / "recipes"
    folder.mkdir()
    (folder / "sent.yaml").write_text(RECIPE)
    return folder


async def test_results_and_the_study_go_out_after_the_report(
    scripted: Scripted, start_pipeline: Start, recipes: Path
) -> None:
    gateway = ScriptedGateway()
    async with serving(gateway) as scripted.addresses["gateway"]:
        pipeline = await start_pipeline(recipes_dir=recipes)
        scripted.storage.complete("studies/1.2")
        run = await pipeline.ended_run_of("studies/1.2", 1)
    assert run.state == pipeline_pb2.STATE_SUCCEEDED, run.reason
    assert [(stage.kind, stage.uses) for stage in run.stages[-2:]] == [("send", "pacs"), ("send", "research")]
    made = sorted(name for stage in run.stages for name in stage.outputs)
    assert gateway.sent == [
        ("destinations/pacs", made, run.name, "4-pacs"),
        ("destinations/research", ["studies/1.2"], run.name, "5-research"),
    ]


async def test_what_is_refused_fails_the_run_unless_it_is_optional_and_a_retry_sends_that_alone(
    scripted: Scripted, start_pipeline: Start, recipes: Path
) -> None:
    gateway = ScriptedGateway()
    gateway.refuses = {"destinations/pacs"}
    async with serving(gateway) as scripted.addresses["gateway"]:
        pipeline = await start_pipeline(recipes_dir=recipes)
        scripted.storage.complete("studies/1.2")
        run = await pipeline.ended_run_of("studies/1.2", 1)
        assert run.state == pipeline_pb2.STATE_FAILED
        assert run.report, "the report is there all the same"
        assert "4-pacs: 3 of 3 instances were not sent" in run.reason
        assert "it does not like it" in run.reason
        gateway.refuses = {"destinations/research"}
        effects = dict(scripted.stages.effects)
        await pipeline.call("RetryRun", name=run.name)
        run = await pipeline.ended_run_of("studies/1.2", 1)
    assert run.state == pipeline_pb2.STATE_SUCCEEDED, run.reason
    assert scripted.stages.effects == effects
    assert [destination for destination, *_ in gateway.sent] == ["destinations/pacs"]
    assert run.stages[-1].state == pipeline_pb2.STATE_FAILED


@pytest.mark.parametrize("is_optional", [False, True])
async def test_a_stage_fails_if_what_it_sends_cannot_be_read(
    is_optional: bool, scripted: Scripted, start_pipeline: Start, recipes: Path
) -> None:
    stage = "{send: pacs, what: series, optional: true}" if is_optional else "{send: pacs, what: series}"
    (recipes / "sent.yaml").write_text(RECIPE.replace("{send: pacs}", stage))
    reporting = Gate()
    scripted.stages.behaviour["quantitative"] = reporting
    gateway = ScriptedGateway()
    async with serving(gateway) as scripted.addresses["gateway"]:
        pipeline = await start_pipeline(recipes_dir=recipes)
        scripted.storage.complete("studies/1.2")
        await reporting.reached.wait()
        scripted.storage.search_errors = [NotFound("somebody deleted it")]
        reporting.open.set()
        run = await pipeline.ended_run_of("studies/1.2", 1)
    assert run.stages[3].state == pipeline_pb2.STATE_FAILED
    assert run.stages[3].error == "what the run has stored cannot be read: somebody deleted it"
    assert run.state == (pipeline_pb2.STATE_SUCCEEDED if is_optional else pipeline_pb2.STATE_FAILED), run.reason
    assert [destination for destination, *_ in gateway.sent] == (["destinations/research"] if is_optional else [])


async def test_a_run_waits_for_a_gateway_that_is_away(scripted: Scripted, start_pipeline: Start, recipes: Path) -> None:
    gateway = ScriptedGateway()
    async with serving(gateway) as address:
        scripted.addresses["gateway"] = address
        pipeline = await start_pipeline(recipes_dir=recipes)
        await pipeline.wait_until_serving()
    scripted.storage.complete("studies/1.2")
    while True:
        runs = await pipeline.runs()
        if runs and runs[0].report and "waiting for the gateway" in runs[0].stages[3].progress.message:
            break
        await asyncio.sleep(0.05)
    async with serving(gateway, address):
        run = await pipeline.ended_run_of("studies/1.2", 1)
    assert run.state == pipeline_pb2.STATE_SUCCEEDED, run.reason
    assert len(gateway.sent) == 2


async def test_an_unknown_destination_keeps_the_service_from_taking_work_with_file_and_line(
    scripted: Scripted, start_pipeline: Start, recipes: Path
) -> None:
    gateway = ScriptedGateway()
    gateway.destinations = ["pacs", "reserch"]
    async with serving(gateway) as scripted.addresses["gateway"]:
        pipeline = await start_pipeline(recipes_dir=recipes)
        while True:
            with pytest.raises((FailedPrecondition, Unavailable)) as refused:
                await pipeline.call("CreateRun", study="studies/1.2")
            if isinstance(refused.value, FailedPrecondition):
                break
            await asyncio.sleep(0.05)
    assert "No destination 'research' is known to the gateway service; did you mean 'reserch'" in refused.value.text
    assert refused.value.where.endswith("sent.yaml:9")


UID = "2." + "1" * 62
MANY = tuple(f"studies/{UID}/series/{UID}/instances/2.{number:062}" for number in range(23_000))
"""More than a message of 4 MiB takes."""

PLAN = StagePlan("4-pacs", "send", "pacs", {}, False, "", ("results",), "", ())


def send_task(address: str) -> StageTask:
    stage = StageRecord("7", 4, PLAN, "", pipeline_pb2.STATE_PENDING, 0, "", None, None, StageOutcome(), "")
    return StageTask(StageContext(request_id=stage.request_id), RUN, stage, address, "", (), names=MANY)


async def test_more_than_a_message_takes_is_sent_in_several_requests_the_same_ones_when_asked_again() -> None:
    gateway = ScriptedGateway()
    async with serving(gateway) as address:
        stages = SendStages(Replicas(address))
        for _ in range(2):
            said = [update async for update in stages.call(send_task(address), 60)]
            assert said[-1] == StageOutcome()
            totals = {update.total for update in said if isinstance(update, Progress)}
            assert totals <= {len(MANY)}
    assert [name for _, names, *_ in gateway.sent for name in names] == list(MANY)
    assert gateway.requests == ["7.4-pacs", *(f"7.4-pacs/{number}" for number in range(2, 6))]


async def test_what_of_many_was_not_sent_is_counted_over_all_requests() -> None:
    gateway = ScriptedGateway()
    gateway.refuses = {"destinations/pacs"}
    async with serving(gateway) as address:
        with pytest.raises(FailedPrecondition, match=r"23000 of 23000 instances were not sent.*does not like it"):
            async for _ in SendStages(Replicas(address)).call(send_task(address), 60):
                pass


async def test_a_cancel_ends_the_request_that_is_under_way() -> None:
    gateway = ScriptedGateway()
    gateway.stalls_at = "7.4-pacs/3"
    async with serving(gateway) as address:
        stages = SendStages(Replicas(address))

        async def call() -> None:
            async for _ in stages.call(send_task(address), 60):
                pass

        calling = asyncio.create_task(call())
        await gateway.stalls.wait()
        await stages.cancel("7.4-pacs", address)
        with pytest.raises(Cancelled):
            await calling
    assert gateway.cancelled == ["7.4-pacs/3"]
    assert len(gateway.sent) == 2
