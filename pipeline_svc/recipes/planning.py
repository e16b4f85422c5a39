"""What a run will do: the recipe whose selection finds something, and one stage for each thing to be done."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline_svc.recipes.book import RecipeBook
from pipeline_svc.recipes.parse_recipe import LoadedRecipe, parse_recipe
from pipeline_svc.recipes.recipe import Recipe
from pipeline_svc.recipes.select import SelectedSeries, select_series
from pipeline_svc.recipes.stage_spec import KINDS, KINDS_OF_STUDY, StageSpec
from pipeline_svc.runs.record import RunRecord, StagePlan

if TYPE_CHECKING:
    from imaging.client.storage import StorageClient


@dataclass(frozen=True, slots=True)
class RunPlan:
    """A recipe and the stages; none, with the reason, if there is nothing to do."""

    recipe: LoadedRecipe
    stages: tuple[StagePlan, ...]
    why_nothing: str = ""


async def plan_run(run: RunRecord, storage: StorageClient, book: RecipeBook) -> RunPlan:
    """The plan of a run. The recipe was chosen by the index; here the headers decide.

    A recipe that finds no series (a chest CT of sagittal slices alone) gives way to the next one that fits, unless a
    user has asked for it by name.

    Raises
    ------
    NotFound
        If the study was deleted meanwhile.
    Unavailable
        If storage does not answer.
    """
    study = await storage.get_study(run.study)
    series = [one async for one in storage.search_series(run.study)]
    reasons: list[str] = []
    first, *others = _candidates(run, book)
    for candidate in (first, *others):
        selection = await select_series(storage, candidate.recipe, study, series)
        if selection.series:
            return RunPlan(candidate, plan_stages(candidate.recipe, selection.series))
        reasons.append(selection.why_none)
    return RunPlan(first, (), "; ".join(reasons))


def plan_stages(recipe: Recipe, selected: Iterable[SelectedSeries]) -> tuple[StagePlan, ...]:
    """One stage for each series and stage of the recipe, all of a kind before the next; reports and `send` once."""
    chosen = list(selected)
    wanted = [
        (spec, one)
        for kind in KINDS
        for one in ([SelectedSeries("", ())] if kind in KINDS_OF_STUDY else chosen)
        for spec in recipe.stages
        if spec.kind == kind
    ]
    return tuple(
        StagePlan(
            name=f"{position}-{spec.uses}",
            kind=spec.kind,
            uses=spec.uses,
            parameters=spec.parameters,
            is_optional=spec.optional,
            input=spec.input,
            documents=_documents(spec),
            selected_series=one.series,
            sop_instance_uids=one.sop_instance_uids,
        )
        for position, (spec, one) in enumerate(wanted, 1)
    )


def _documents(spec: StageSpec) -> tuple[str, ...]:
    return (spec.what or ("results",)) if spec.kind == "send" else spec.outputs


def _candidates(run: RunRecord, book: RecipeBook) -> list[LoadedRecipe]:
    """The recipe as it was when the run was created, then those that are tried after it."""
    own = parse_recipe(run.recipe_source, run.recipe)
    return [own] if run.asked_recipe else [own, *book.from_on(run.recipe)[1:]]
