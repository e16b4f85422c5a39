"""Recipes: what is accepted, and what is refused with file, line and a hint."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field

from analysis_svc.registry import ModelRegistry
from imaging.errors import NotFound, SettingsInvalid
from pipeline_svc.recipes.book import BUILT_IN, RecipeBook, load_recipe_book
from pipeline_svc.recipes.check import Capabilities, check_recipes
from pipeline_svc.recipes.parameter_schema import check_parameters
from pipeline_svc.recipes.parse_recipe import parse_recipe
from pipeline_svc.recipes.planning import plan_stages
from pipeline_svc.recipes.select import SelectedSeries
from processing_svc.steps.registry import STEPS
from reporting_svc.content.report_template import template_names

WHOLE = """\
name: my-recipe
version: 2
match: {Modality: [CT, PT], SeriesDescription: "*LUNG*", min_instances: 4}
select: {series: each, max_series: 3, exclude: {ImageType: LOCALIZER}}
deadline_minutes: 5
stages:
  - {process: resample-isotropic, spacing_mm: 1.0}
  - {process: denoise-median, input: resample-isotropic}
  - {analyze: image-statistics, input: denoise-median, optional: true}
  - {report: quantitative, outputs: [sr, pdf]}
  - {send: research-pacs, what: [sr, seg], optional: true}
"""

HEAD = "name: a\nversion: 1\n"


def test_a_whole_recipe_is_read_as_it_is_written() -> None:
    recipe = parse_recipe(WHOLE, "my.yaml").recipe
    assert (recipe.name, recipe.version, recipe.deadline_minutes) == ("my-recipe", 2, 5)
    assert recipe.match.Modality == ("CT", "PT")
    assert recipe.select.exclude.ImageType == ("LOCALIZER",)
    assert [(stage.kind, stage.uses) for stage in recipe.stages] == [
        ("process", "resample-isotropic"),
        ("process", "denoise-median"),
        ("analyze", "image-statistics"),
        ("report", "quantitative"),
        ("send", "research-pacs"),
    ]
    assert recipe.stages[0].parameters == {"spacing_mm": 1.0}
    assert [stage.optional for stage in recipe.stages] == [False, False, True, False, True]
    assert recipe.stages[3].outputs == ("sr", "pdf")
    assert recipe.stages[4].what == ("sr", "seg")


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("", 0, "empty"),
        ("- a\n", 1, "mapping"),
        ("a: [\n", 2, "not valid YAML"),
        ("a: 1\na: 2\n", 2, "'a' stands twice"),
        ("a: &x 1\nb: *x\n", 2, "aliases"),
        (HEAD, 1, "no stages"),
        (HEAD + "stages: []\n", 3, "at least 1 item"),
        (HEAD + "stages:\n  - {proces: x}\n", 4, "did you mean 'process'"),
        (HEAD + "stages:\n  - {process: x, analyze: y}\n", 4, "process and analyze"),
        (HEAD + "stages:\n  - {snd: research-pacs}\n", 4, "did you mean 'send'"),
        (HEAD + "stages:\n  - {send: pacs, what: html}\n", 4, "'results', 'sr', 'pdf', 'seg', 'series' or 'study'"),
        (HEAD + "stages:\n  - {send: pacs, tries: 3}\n", 4, "takes no parameters"),
        (HEAD + "stages:\n  - {report: x, what: sr}\n", 4, "only `send` has `what`"),
        (HEAD + "stages:\n  - {send: pacs}\n  - {report: x}\n", 5, "comes after a stage of kind `send`"),
        (HEAD + "stages:\n  - just text\n", 4, "stages.1"),
        (HEAD + "match:\n  Modalty: CT\nstages:\n  - {process: x}\n", 4, "did you mean 'Modality'"),
        (HEAD + "match: {min_instances: 0}\nstages:\n  - {process: x}\n", 3, "greater than or equal to 1"),
        (HEAD + "select: {series: biggest}\nstages:\n  - {process: x}\n", 3, "'largest-axial', 'largest' or 'each'"),
        (HEAD + "stages:\n  - {process: x, when: 2024-01-01}\n", 4, "stages.1.when"),
        (HEAD + "stages:\n  - process: x\n    a: .nan\n", 4, "finite"),
        (HEAD + "stages:\n  - {process: x, outputs: [sr]}\n", 4, "only a report"),
        (HEAD + "stages:\n  - {report: x, spacing_mm: 1}\n", 4, "takes no parameters"),
        (HEAD + "stages:\n  - {report: x}\n  - {analyze: y}\n", 5, "comes after a stage of kind `report`"),
        (HEAD + "stages:\n  - {process: abc}\n  - {analyze: y, input: abd}\n", 5, "did you mean 'abc'"),
        (HEAD + "stages:\n  - {process: x}\n  - {process: x}\n", 5, "stands twice"),
        (HEAD + "alerts: [{alert: a, finding: x}]\nstages:\n  - {process: x}\n", 3, "`above` or `below`"),
        (HEAD + "alerts:\n  - {alert: a, finding: x, abve: 2}\nstages:\n  - {process: x}\n", 4, "did you mean 'above'"),
        (HEAD + "alerts: [{alert: a, finding: x, above: .nan}]\nstages:\n  - {process: x}\n", 3, "finite"),
        ("name: Not OK\nversion: 1\nstages:\n  - {process: x}\n", 1, "name"),
        ("name: a\nversion: one\nstages:\n  - {process: x}\n", 2, "valid integer"),
    ],
)
def test_a_wrong_recipe_is_refused_at_its_line(text: str, line: int, words: str) -> None:
    with pytest.raises(SettingsInvalid) as refused:
        parse_recipe(text, "my.yaml")
    assert words in refused.value.text
    assert refused.value.where == (f"my.yaml:{line}" if line else "my.yaml")
    assert refused.value.hint


def test_a_recipe_that_is_a_novel_is_refused() -> None:
    with pytest.raises(SettingsInvalid, match="characters"):
        parse_recipe("#" * 100_000, "my.yaml")


@settings(max_examples=200, deadline=None)
@given(st.one_of(st.text(max_size=200), st.integers(0, len(WHOLE) - 1).map(lambda cut: WHOLE[:cut] + WHOLE[cut + 1 :])))
def test_any_text_is_a_recipe_or_refused_with_a_reason(text: str) -> None:
    refused: SettingsInvalid | None = None
    try:
        parse_recipe(text, "my.yaml")
    except SettingsInvalid as error:
        refused = error
    assert refused is None or (refused.where.startswith("my.yaml") and refused.hint)


def test_own_recipes_come_before_the_built_in_and_may_replace_one(tmp_path: Path) -> None:
    (tmp_path / "b.yaml").write_text(WHOLE)
    (tmp_path / "a.yml").write_text(WHOLE.replace("my-recipe", "ct-general"))
    (tmp_path / "notes.txt").write_text("no recipe")
    names = [loaded.recipe.name for loaded in load_recipe_book(tmp_path)]
    assert names == ["ct-general", "my-recipe", *(name for name in BUILT_IN if name != "ct-general")]


def test_two_recipes_of_one_name_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(WHOLE)
    (tmp_path / "b.yaml").write_text("# the same\n" + WHOLE)
    with pytest.raises(SettingsInvalid, match=r"Two recipes have the name 'my-recipe'.*a\.yaml:1.*b\.yaml:2"):
        load_recipe_book(tmp_path)


def test_a_folder_or_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    with pytest.raises(SettingsInvalid, match="not there"):
        load_recipe_book(tmp_path / "missing")
    (tmp_path / "a.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SettingsInvalid, match="UTF-8"):
        load_recipe_book(tmp_path)


def test_an_unknown_recipe_is_answered_with_the_nearest() -> None:
    with pytest.raises(NotFound, match="did you mean 'general'"):
        load_recipe_book(None).get("genral")


class Resample(BaseModel):
    """Parameters as a step declares them."""

    model_config = ConfigDict(extra="forbid")
    spacing_mm: float = Field(1.0, gt=0, le=10)
    window_hu: tuple[float, float] | None = None
    method: str = Field("linear", pattern="^(linear|nearest)$")
    is_sharp_allowed: bool = False


SCHEMA = json.dumps(Resample.model_json_schema())


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("{process: resample-isotropc, spacing_mm: 1}", "did you mean 'resample-isotropic'"),
        ("{process: resample-isotropic, spacing_cm: 0.1}", "did you mean 'spacing_mm' (mind the unit)"),
        ("{process: resample-isotropic, spacing: 1}", "did you mean 'spacing_mm' (mind the unit)"),
        ("{process: resample-isotropic, spacing_mm: 1mm}", "without a unit"),
        ("{process: resample-isotropic, spacing_mm: 0}", "must be more than 0"),
        ("{process: resample-isotropic, spacing_mm: 11}", "must be at most 10"),
        ("{process: resample-isotropic, window_hu: [1]}", "at least 2"),
        ("{process: resample-isotropic, method: cubic}", "must match"),
        ("{process: resample-isotropic, is_sharp_allowed: 1}", "must be of type boolean"),
        ("{analyze: lung}", "No model 'lung' is known to the analysis service"),
        ("{report: fancy}", "No template 'fancy' is known to the reporting service"),
        ("{report: plain, outputs: [docx]}", "no document 'docx'"),
    ],
)
def test_what_the_services_cannot_do_is_refused_at_its_line(line: str, words: str) -> None:
    loaded = parse_recipe(f"{HEAD}stages:\n  - {line}\n", "my.yaml")
    known = Capabilities({"process": {"resample-isotropic": SCHEMA}, "analyze": {}, "report": {"plain": ""}})
    with pytest.raises(SettingsInvalid) as refused:
        check_recipes(RecipeBook([loaded]), known)
    assert words in refused.value.text
    assert refused.value.where == "my.yaml:4"
    assert refused.value.hint


names = st.sampled_from([*Resample.model_fields, "other"])
scalars = st.one_of(st.none(), st.booleans(), st.integers(-20, 20), st.floats(-20, 20), st.text(max_size=8))


@settings(max_examples=300, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from([*Resample.model_fields, "other"]),
        st.one_of(scalars, st.lists(scalars, max_size=3)),
        max_size=3,
    )
)
def test_what_the_check_refuses_the_step_refuses_too(parameters: dict[str, object]) -> None:
    if check_parameters(parameters, SCHEMA) is not None:
        with pytest.raises(ValueError):
            Resample.model_validate(parameters, strict=True)


def test_the_built_in_recipes_can_be_done_by_the_services_of_this_release() -> None:
    known = Capabilities(
        {
            "process": {step.name: step.parameters_schema() for step in STEPS.values()},
            "analyze": {entry.model.name: entry.parameters_schema for entry in ModelRegistry.discover().all()},
            "report": dict.fromkeys(template_names(), ""),
        }
    )
    book = load_recipe_book(None)
    assert [loaded.recipe.name for loaded in book] == list(BUILT_IN)
    check_recipes(book, known)


def test_all_stages_of_a_kind_come_before_the_next_kind_and_reports_once() -> None:
    recipe = parse_recipe(WHOLE, "my.yaml").recipe
    plans = plan_stages(recipe, [SelectedSeries("a", ("1",)), SelectedSeries("b", ("2",))])
    assert [(plan.name, plan.selected_series) for plan in plans] == [
        ("1-resample-isotropic", "a"),
        ("2-denoise-median", "a"),
        ("3-resample-isotropic", "b"),
        ("4-denoise-median", "b"),
        ("5-image-statistics", "a"),
        ("6-image-statistics", "b"),
        ("7-quantitative", ""),
        ("8-research-pacs", ""),
    ]
