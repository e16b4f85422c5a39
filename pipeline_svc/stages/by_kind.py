"""The services of the stages by the kind of stage that they do."""

from __future__ import annotations

from imaging.rpc.replicas import Replicas
from pipeline_svc.recipes.stage_spec import Kind
from pipeline_svc.stages.analyze import AnalyzeStages
from pipeline_svc.stages.process import ProcessStages
from pipeline_svc.stages.report import ReportStages
from pipeline_svc.stages.send import SendStages
from pipeline_svc.stages.stage_service import StageService


def stage_services(
    processing: Replicas, analysis: Replicas, reporting: Replicas, gateway: Replicas
) -> dict[Kind, StageService]:
    """One service for each kind of stage."""
    return {
        "process": ProcessStages(processing),
        "analyze": AnalyzeStages(analysis),
        "report": ReportStages(reporting),
        "send": SendStages(gateway),
    }
