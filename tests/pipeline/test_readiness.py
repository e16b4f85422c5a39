"""The service takes work when its recipes can be done."""

from __future__ import annotations

from pathlib import Path

import pytest

from imaging.errors import FailedPrecondition, SettingsInvalid, Unavailable
from imaging.pipeline.v1 import pipeline_pb2
from pipeline_svc.recipes.book import BUILT_IN
from tests.pipeline.pipeline_client import Start
from tests.pipeline.scripted_services import Scripted


async def test_it_does_not_serve_before_the_other_services_answer(scripted: Scripted, start_pipeline: Start) -> None:
    await scripted.stop("reporting")
    pipeline = await start_pipeline()
    assert not await pipeline.is_serving()
    with pytest.raises(Unavailable, match="checked yet"):
        await pipeline.call("CreateRun", study="studies/1")
    assert [recipe.name for recipe in (await pipeline.call("ListRecipes")).recipes] == list(BUILT_IN)
    await scripted.start("reporting")
    await pipeline.wait_until_serving()
    scripted.storage.complete("studies/1")
    assert (await pipeline.ended_run_of("studies/1")).state == pipeline_pb2.STATE_SUCCEEDED


async def test_a_recipe_that_cannot_be_done_keeps_it_from_serving_and_is_told(
    scripted: Scripted, start_pipeline: Start, tmp_path: Path
) -> None:
    recipes = tmp_path / "recipes"
    recipes.mkdir()
    (recipes / "mine.yaml").write_text("name: mine\nversion: 1\nstages:\n  - {analyze: image-statistcs}\n")
    pipeline = await start_pipeline(recipes_dir=recipes)
    while True:
        with pytest.raises((FailedPrecondition, Unavailable)) as refused:
            await pipeline.call("CreateRun", study="studies/1")
        if isinstance(refused.value, FailedPrecondition):
            break
    assert "did you mean 'image-statistics'" in refused.value.text
    assert refused.value.where.endswith("mine.yaml:4")
    assert not await pipeline.is_serving()


async def test_a_recipe_that_is_wrong_by_itself_stops_the_start(
    scripted: Scripted, start_pipeline: Start, tmp_path: Path
) -> None:
    (tmp_path / "mine.yaml").write_text("name: mine\n")
    with pytest.raises(SettingsInvalid, match=r"no version.*mine\.yaml:1"):
        await start_pipeline(recipes_dir=tmp_path)


async def test_a_recipe_is_given_with_its_text_and_stages(scripted: Scripted, start_pipeline: Start) -> None:
    pipeline = await start_pipeline()
    recipe = (await pipeline.call("GetRecipe", name="ct-general")).recipe
    assert "min_instances: 3" in recipe.source
    assert recipe.stages == ["analyze image-statistics", "analyze tissue-composition", "report ct-quantitative"]
