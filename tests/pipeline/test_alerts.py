"""Alerts: raised as a run finds something, whatever becomes of it; listed, watched and acknowledged."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from imaging.client.alerts import Alert, AsyncAlerts
from imaging.client.patience import Patience
from imaging.errors import FailedPrecondition, Internal, NotFound, Unavailable
from imaging.pipeline.v1 import pipeline_pb2
from imaging.rpc.channel import open_channel
from tests.pipeline.alert_receiver import Receiver, receiving
from tests.pipeline.alerted_runs import STUDY, delivered, finding, run_once
from tests.pipeline.pipeline_client import Start
from tests.pipeline.scripted_services import Scripted
from tests.pipeline.scripted_stages import refuse_with


async def test_a_finding_is_told_though_a_later_analysis_fails(scripted: Scripted, start_alerting: Start) -> None:
    with receiving(Receiver()) as receiver:
        pipeline = await start_alerting(receiver, analyses=["image-statistics", "lung-emphysema"])
        scripted.stages.behaviour["lung-emphysema"] = refuse_with(FailedPrecondition("no quality today"))
        run = await run_once(pipeline, scripted, finding())
        assert (run.state, "no quality today" in run.reason) == (pipeline_pb2.STATE_FAILED, True)
        await delivered(pipeline)
    assert len(receiver.got) == 1


async def test_a_run_whose_findings_cannot_be_read_fails_with_the_reason_and_can_be_retried(
    scripted: Scripted, start_alerting: Start
) -> None:
    with receiving(Receiver()) as receiver:
        pipeline = await start_alerting(receiver)
        scripted.stages.list_errors = [Internal("the table met a defect")]
        run = await run_once(pipeline, scripted, finding())
        assert run.state == pipeline_pb2.STATE_FAILED
        assert "the findings cannot be read" in run.reason
        assert "the table met a defect" in run.reason
        await pipeline.call("RetryRun", name=run.name)
        while run.state != pipeline_pb2.STATE_SUCCEEDED:
            run = await pipeline.ended_run_of(STUDY, 1)
        await delivered(pipeline)
    assert set(scripted.stages.effects.values()) == {1}


async def test_findings_that_are_away_are_waited_for(scripted: Scripted, start_alerting: Start) -> None:
    with receiving(Receiver()) as receiver:
        pipeline = await start_alerting(receiver)
        scripted.stages.list_errors = [Unavailable("restarting")]
        run = await run_once(pipeline, scripted, finding())
        assert run.state == pipeline_pb2.STATE_SUCCEEDED, run.reason
        await delivered(pipeline)


async def test_alerts_are_listed_watched_and_acknowledged_by_client_and_command(
    scripted: Scripted, start_alerting: Start, tmp_path: Path
) -> None:
    with receiving(Receiver()) as receiver:
        pipeline = await start_alerting(receiver)
        address = pipeline.address
        async with open_channel(address) as channel:
            alerts = AsyncAlerts(channel, Patience())
            coming: asyncio.Task[Alert] = asyncio.create_task(anext(alerts.watch(1)))
            await run_once(pipeline, scripted, finding(), finding(12))
            alert = await asyncio.wait_for(coming, 30)
            assert (alert.rule, alert.severity, alert.value, alert.condition) == (
                "extensive-emphysema",
                "HIGH",
                31.5,
                "above 25",
            )
            await delivered(pipeline)
            assert [one.name for one in await alerts.list(STUDY, only_open=True)] == [alert.name]
            assert await alerts.list("studies/9") == ()
            seen = await alerts.acknowledge(alert)
            assert (await alerts.acknowledge(alert.name)).acknowledged == seen.acknowledged
            assert await alerts.list(only_open=True) == ()
            with pytest.raises(NotFound):
                await alerts.acknowledge("alerts/none")
        settings = tmp_path / "imaging.toml"
        settings.write_text(f'[pipeline]\naddress = "{address}"\n')

        async def imaging(*arguments: str) -> list[dict[str, Any]]:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "imaging", "alerts", *arguments, "--json", "--config", str(settings)),
                stdout=asyncio.subprocess.PIPE,
            )
            said, _ = await asyncio.wait_for(process.communicate(), 60)
            assert process.returncode == 0
            return [json.loads(line) for line in said.splitlines()]

        (listed,) = await imaging("list")
        assert (listed["name"], listed["deliveries"][0]["state"]) == (alert.name, "DELIVERED")
        assert await imaging("list", "--open") == []
        assert [one["name"] for one in await imaging("acknowledge", alert.name)] == [alert.name]
        assert [one["name"] for one in await imaging("redeliver", alert.name)] == [alert.name]
