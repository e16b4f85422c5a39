"""Checks recipes against what the services can do: unknown step, model or template, wrong parameter or unit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import grpc

from imaging.analysis.v1 import analysis_service_pb2, analysis_service_pb2_grpc
from imaging.errors import SettingsInvalid
from imaging.gateway.v1 import gateway_service_pb2, gateway_service_pb2_grpc
from imaging.processing.v1 import processing_service_pb2, processing_service_pb2_grpc
from imaging.reporting.v1 import reporting_service_pb2, reporting_service_pb2_grpc
from imaging.rpc.status import domain_errors
from pipeline_svc.recipes.book import RecipeBook
from pipeline_svc.recipes.parameter_schema import check_parameters
from pipeline_svc.recipes.parse_recipe import LoadedRecipe
from pipeline_svc.recipes.stage_spec import Kind, StageSpec
from pipeline_svc.recipes.suggestion import did_you_mean

DOCUMENTS = ("sr", "pdf", "html", "key_image", "json", "fhir", "kos", "sc")
"""Names of the forms of a report in a recipe: those of `DocumentFormat`, in lower case."""

_WHAT: Mapping[Kind, str] = {"process": "step", "analyze": "model", "report": "template", "send": "destination"}
_WHO: Mapping[Kind, str] = {"process": "processing", "analyze": "analysis", "report": "reporting", "send": "gateway"}


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What the services say that they can do: JSON Schema of the parameters by name, for each kind of stage."""

    schemas: Mapping[Kind, Mapping[str, str]]


async def ask_capabilities(
    processing: grpc.aio.Channel,
    analysis: grpc.aio.Channel,
    reporting: grpc.aio.Channel,
    gateway: grpc.aio.Channel | None,
) -> Capabilities:
    """What the services can do now.

    Parameters
    ----------
    gateway
        Whose destinations are asked for; None: no recipe sends.

    Raises
    ------
    Unavailable
        If one of them does not answer yet.
    """
    with domain_errors("processing"):
        steps = await processing_service_pb2_grpc.ProcessingServiceStub(processing).GetCapabilities(
            processing_service_pb2.GetCapabilitiesRequest()
        )
    with domain_errors("analysis"):
        models = await analysis_service_pb2_grpc.AnalysisServiceStub(analysis).ListModels(
            analysis_service_pb2.ListModelsRequest()
        )
    with domain_errors("reporting"):
        templates = await reporting_service_pb2_grpc.ReportingServiceStub(reporting).ListTemplates(
            reporting_service_pb2.ListTemplatesRequest()
        )
    destinations: list[str] = []
    if gateway is not None:
        with domain_errors("gateway"):
            told = await gateway_service_pb2_grpc.GatewayServiceStub(gateway).ListDestinations(
                gateway_service_pb2.ListDestinationsRequest()
            )
        destinations = [found.name.removeprefix("destinations/") for found in told.destinations]
    return Capabilities(
        {
            "process": {step.name: step.parameters_schema for step in steps.steps},
            "analyze": {model.name: model.parameters_schema for model in models.models},
            "report": dict.fromkeys(templates.templates, ""),
            "send": dict.fromkeys(destinations, ""),
        }
    )


def check_recipes(book: RecipeBook, capabilities: Capabilities) -> None:
    """Nothing, if every stage of every recipe can be done.

    Raises
    ------
    SettingsInvalid
        For the first that cannot, with file, line and a hint.
    """
    for loaded in book:
        for position, stage in enumerate(loaded.recipe.stages):
            _check_stage(loaded, position, stage, capabilities.schemas[stage.kind])


def _check_stage(loaded: LoadedRecipe, position: int, stage: StageSpec, known: Mapping[str, str]) -> None:
    what = _WHAT[stage.kind]
    if stage.uses not in known:
        raise SettingsInvalid(
            f"No {what} {stage.uses!r} is known to the {_WHO[stage.kind]} service{did_you_mean(stage.uses, known)}",
            where=loaded.yaml.where(("stages", position, stage.kind)),
            hint=f"Known are: {', '.join(sorted(known)) or 'none'}.",
        )
    misfit = check_parameters(stage.parameters, known[stage.uses])
    if misfit is not None:
        raise SettingsInvalid(
            f"The {what} {stage.uses!r} does not take this: {misfit.what}",
            where=loaded.yaml.where(("stages", position, misfit.parameter)),
            hint=misfit.hint,
        )
    for document in stage.outputs:
        if document not in DOCUMENTS:
            raise SettingsInvalid(
                f"A report has no document {document!r}{did_you_mean(document, DOCUMENTS)}",
                where=loaded.yaml.where(("stages", position, "outputs")),
                hint=f"Known are: {', '.join(DOCUMENTS)}.",
            )
