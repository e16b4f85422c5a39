"""A finding beyond its limit, runs that find it, and the alert that is raised for it."""

from __future__ import annotations

import asyncio
from typing import Any

from imaging.analysis.v1 import analysis_pb2
from imaging.pipeline.v1 import pipeline_pb2
from imaging.stage.v1.stage_pb2 import Code
from tests.pipeline.pipeline_client import PipelineClient
from tests.pipeline.scripted_services import Scripted

STUDY = "studies/1.2"
RULE = '{alert: extensive-emphysema, finding: LAA-950, above: 25, unit: "%", severity: high}'


def finding(value: float | None = 31.5, unit: str = "%", **more: Any) -> analysis_pb2.Finding:
    """One that `RULE` is for."""
    concept = Code(value="LAA-950", scheme="99IMAGING", meaning="Low attenuation area")
    found = analysis_pb2.Finding(name="findings/7", concept=concept, unit=Code(value=unit, scheme="UCUM"), **more)
    if value is not None:
        found.value = value
    return found


class OneRun:
    """What the rules look at of a run."""

    id, name, study = "1", "runs/1", STUDY


async def run_once(pipeline: PipelineClient, scripted: Scripted, *found: analysis_pb2.Finding) -> Any:
    """The ended run of a study in which analysis found this."""
    scripted.stages.findings = list(found)
    scripted.storage.complete(STUDY)
    study = scripted.storage.studies[STUDY]
    study.patient_name, study.patient_id, study.accession_number = "Secret^Name", "ID-4711", "A-1"
    return await pipeline.ended_run_of(STUDY, study.manifest.version)


async def delivered(pipeline: PipelineClient, state: int = pipeline_pb2.AlertDelivery.STATE_DELIVERED) -> Any:
    """The one alert, once its delivery is in that state."""
    async with asyncio.timeout(30):
        while True:
            alerts = (await pipeline.call("ListAlerts")).alerts
            if alerts and alerts[0].deliveries and alerts[0].deliveries[0].state == state:
                (alert,) = alerts
                return alert
            await asyncio.sleep(0.02)
