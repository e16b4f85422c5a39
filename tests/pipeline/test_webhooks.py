"""Webhooks: alerts are told to a real HTTP receiver with a signature that it can check, tried again, never lost."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from imaging.errors import FailedPrecondition
from imaging.pipeline.v1 import pipeline_pb2
from tests.pipeline.alert_receiver import SECRET, Receiver, receiving
from tests.pipeline.alerted_runs import STUDY, delivered, finding, run_once
from tests.pipeline.pipeline_client import Start
from tests.pipeline.scripted_services import Scripted
from tests.pipeline.scripted_stages import refuse_with

DOCUMENT = Path(__file__).parents[2] / "docs" / "alerts.md"


def verify() -> Callable[..., Any]:
    """The function that the document gives to receivers."""
    (code,) = re.findall(r"^```python\n(.*?)^```", DOCUMENT.read_text(), re.MULTILINE | re.DOTALL)
    names: dict[str, Any] = {}
    exec(code, names)
    return names["verified_alert"]  # type: ignore[no-any-return]


async def test_a_finding_over_its_limit_is_told_signed_and_without_patient_data(
    scripted: Scripted, start_alerting: Start
) -> None:
    with receiving(Receiver()) as receiver:
        pipeline = await start_alerting(receiver)
        scripted.stages.behaviour["quantitative"] = refuse_with(FailedPrecondition("no report today"))
        run = await run_once(pipeline, scripted, finding())
        assert run.state == pipeline_pb2.STATE_FAILED, "it does not wait for the report"
        alert = await delivered(pipeline)
        # Raised again, by a run that is taken up again, it is the same one.
        del scripted.stages.behaviour["quantitative"]
        await pipeline.call("RetryRun", name=run.name)
        while run.state != pipeline_pb2.STATE_SUCCEEDED:
            run = await pipeline.ended_run_of(STUDY, 1)
        assert await delivered(pipeline) == alert
    ((headers, body),) = receiver.got
    told = verify()(headers, body, SECRET)
    assert told == {
        "type": "alert.raised",
        "alert": alert.name,
        "rule": "extensive-emphysema",
        "severity": "high",
        "study": STUDY,
        "run": run.name,
        "finding": "findings/7",
        "concept": {"value": "LAA-950", "scheme": "99IMAGING", "meaning": "Low attenuation area"},
        "value": 31.5,
        "unit": "%",
        "condition": "above 25",
        "raised": told["raised"],
    }
    assert headers["webhook-id"] == alert.name.replace("/", "_")
    assert b"Secret" not in body
    assert b"4711" not in body
    for wrong in (body + b" ", body.replace(b"31.5", b"3.15")):
        with pytest.raises(ValueError, match="signature"):
            verify()(headers, wrong, SECRET)
    with pytest.raises(ValueError, match="signature"):
        verify()(headers, body, "whsec_" + "A" * 32)
    with pytest.raises(ValueError, match="old"):
        verify()({**headers, "webhook-timestamp": "1700000000"}, body, SECRET)


async def test_what_the_settings_include_is_told_and_nothing_else(scripted: Scripted, start_alerting: Start) -> None:
    with receiving(Receiver()) as receiver:
        pipeline = await start_alerting(receiver, include=["accession_number", "patient_id"])
        await run_once(pipeline, scripted, finding())
        await delivered(pipeline)
    told = json.loads(receiver.got[0][1])
    assert told["patient"] == {"accession_number": "A-1", "patient_id": "ID-4711"}
    assert b"Secret" not in receiver.got[0][1]


async def test_a_receiver_that_fails_is_told_again_with_the_same_id(scripted: Scripted, start_alerting: Start) -> None:
    with receiving(Receiver(answers=[503, 500, 302])) as receiver:
        pipeline = await start_alerting(receiver)
        await run_once(pipeline, scripted, finding())
        alert = await delivered(pipeline)
    assert alert.deliveries[0].attempts == len(receiver.got) == 4
    assert len({headers["webhook-id"] for headers, _ in receiver.got}) == 1
    assert len({body for _, body in receiver.got}) == 1


async def test_one_that_is_gone_is_given_up_until_somebody_has_it_told_anew(
    scripted: Scripted, start_alerting: Start
) -> None:
    with receiving(Receiver(answers=[410])) as receiver:
        pipeline = await start_alerting(receiver)
        await run_once(pipeline, scripted, finding())
        alert = await delivered(pipeline, pipeline_pb2.AlertDelivery.STATE_GIVEN_UP)
        assert "HTTP 410" in alert.deliveries[0].error
        await pipeline.call("RedeliverAlert", name=alert.name)
        alert = await delivered(pipeline)
        assert (alert.deliveries[0].attempts, alert.deliveries[0].error) == (1, "")
        await pipeline.call("RedeliverAlert", name=alert.name)
        await asyncio.sleep(0.2)
    assert len(receiver.got) == 2


async def test_an_alert_outlives_a_restart_while_its_receiver_is_away(
    scripted: Scripted, start_alerting: Start
) -> None:
    with receiving(Receiver()) as receiver:
        port = int(receiver.url.split(":")[2].split("/")[0])
    pipeline = await start_alerting(receiver)
    await run_once(pipeline, scripted, finding())
    alert = await delivered(pipeline, pipeline_pb2.AlertDelivery.STATE_PENDING)
    pipeline = await start_alerting(receiver)
    with receiving(receiver, port):
        assert (await delivered(pipeline)).name == alert.name
    assert len(receiver.got) == 1
