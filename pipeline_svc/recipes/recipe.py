"""A recipe: which studies it fits, which of their series it takes, and the stages that they get."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from imaging.errors import SettingsInvalid
from pipeline_svc.recipes.located_yaml import LocatedYaml, Path, load_located_yaml
from pipeline_svc.recipes.suggestion import did_you_mean

Kind = Literal["process", "analyze", "report", "send"]
KINDS: tuple[Kind, ...] = ("process", "analyze", "report", "send")
KINDS_OF_STUDY: tuple[Kind, ...] = ("report", "send")
"""Done once a run, not for each series."""

Sent = Literal["results", "sr", "pdf", "seg", "series", "study"]

_OPTIONS = frozenset({"optional", "input", "outputs", "what"})
"""Keys of a stage that are the pipeline's own; every other key is a parameter of the step or model."""

Scalar = bool | int | float | str
Parameter = Scalar | list[Scalar] | None


def _as_list(value: object) -> object:
    """A single value stands for a list of one."""
    return [value] if isinstance(value, str) else value


Patterns = Annotated[tuple[str, ...], BeforeValidator(_as_list)]
"""Values of which one must match; `*` and `?` are wildcards, case does not matter."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Match(_Strict):
    """What a series must be like for the recipe to fit its study. All given keys must match; none given fits any image.

    The keys are the keywords of the attributes that storage has in its index.
    """

    Modality: Patterns = ()
    BodyPartExamined: Patterns = ()
    SeriesDescription: Patterns = ()
    ProtocolName: Patterns = ()
    Manufacturer: Patterns = ()
    StudyDescription: Patterns = ()
    drawn_on: bool = False
    """Only studies to which somebody has sent a segmentation (SEG) or a structure set (RTSTRUCT)."""

    min_instances: int = Field(1, ge=1)
    """Least number of instances, or of frames where an instance has many."""


class Exclude(_Strict):
    """Instances that are never taken."""

    ImageType: Patterns = ()
    """One of the values of (0008,0008), e.g. LOCALIZER."""


class Select(_Strict):
    """Which of the series that match are worked on."""

    series: Literal["largest-axial", "largest", "each"] = "largest"
    exclude: Exclude = Exclude()
    max_series: int = Field(12, ge=1, le=100)
    """For `each`: so many, in the order of series number."""


class StageSpec(_Strict):
    """One stage, as the recipe says it."""

    kind: Kind
    uses: str
    """The step, model, template or destination."""

    optional: bool = False
    """Its failure does not fail the run."""

    input: str = ""
    """The earlier `process` stage whose series it works on; empty: the selected series."""

    outputs: tuple[str, ...] = ()
    """Documents of a report; empty: all."""

    what: Annotated[tuple[Sent, ...], BeforeValidator(_as_list)] = ()
    """What is sent: `results` (all that the run has stored; so if it is empty), of these only reports (`sr`, `pdf`),
    segmentations (`seg`) or derived series (`series`); or the whole `study`, results included."""

    parameters: dict[str, Parameter] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _from_one_line(cls, stage: Any) -> Any:
        """`{process: resample-isotropic, spacing_mm: 1.0}` -> kind, uses and parameters."""
        if not isinstance(stage, dict) or "kind" in stage:
            return stage
        kinds = [key for key in stage if key in KINDS]
        if len(kinds) != 1:
            first = next(iter(stage), "")
            raise ValueError(
                f"a stage has exactly one of the keys {', '.join(KINDS)}; this one has "
                f"{' and '.join(kinds) or 'none of them'}{did_you_mean(str(first), KINDS) if not kinds else ''}"
            )
        parameters = {key: value for key, value in stage.items() if key not in _OPTIONS and key != kinds[0]}
        options = {key: value for key, value in stage.items() if key in _OPTIONS}
        return {"kind": kinds[0], "uses": stage[kinds[0]], "parameters": parameters, **options}

    @model_validator(mode="after")
    def _fits_its_kind(self) -> StageSpec:
        if self.kind == "report" and self.input:
            raise ValueError("a report works on findings; it takes no `input`")
        if self.kind == "send" and self.input:
            raise ValueError("`send` takes no `input`; `what` says what is sent")
        if self.kind in KINDS_OF_STUDY and self.parameters:
            raise ValueError(f"a stage `{self.kind}` takes no parameters; it has {', '.join(self.parameters)}")
        if self.kind != "send" and self.what:
            raise ValueError("only `send` has `what`")
        if self.kind != "report" and self.outputs:
            raise ValueError("only a report has `outputs`")
        if any(isinstance(value, float) and not math.isfinite(value) for value in self.parameters.values()):
            raise ValueError("a parameter is not a finite number")
        return self


class AlertRule(_Strict):
    """A finding that somebody shall see soon: its value is above or below a limit."""

    alert: str = Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$", max_length=64)
    """Name of the rule."""

    finding: str = Field(min_length=1, max_length=200)
    """What was measured: the code value or the meaning of the concept, or what the finding is tracked as; `*` and `?`
    are wildcards, case does not matter."""

    model: str = "*"
    """Only findings of this model."""

    above: float | None = Field(None, allow_inf_nan=False)
    below: float | None = Field(None, allow_inf_nan=False)
    """Limits; with both, the value is outside of them."""

    unit: str = ""
    """UCUM code of the limits. A finding in another unit raises nothing; empty: whatever unit it has."""

    severity: Literal["low", "medium", "high"] = "medium"

    @model_validator(mode="after")
    def _has_a_limit(self) -> AlertRule:
        if self.above is None and self.below is None:
            raise ValueError("an alert has a limit: `above` or `below`")
        if self.above is not None and self.below is not None and self.below > self.above:
            raise ValueError("`below` is over `above`: every value would raise the alert")
        return self


class Recipe(_Strict):
    """The whole recipe."""

    name: str = Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$", max_length=64)
    version: int = Field(ge=1)
    description: str = ""
    match: Match = Match()
    select: Select = Select()
    stages: tuple[StageSpec, ...] = Field(min_length=1)
    alerts: tuple[AlertRule, ...] = ()
    """Which findings raise an alert."""

    deadline_minutes: float | None = Field(None, gt=0, le=24 * 60)
    """Time for all stages together, waiting for services included; None: as the service is set (30)."""

    @model_validator(mode="after")
    def _stages_fit_together(self) -> Recipe:
        processed: list[str] = []
        latest: Kind = "process"
        for number, stage in enumerate(self.stages, 1):
            if KINDS.index(stage.kind) < KINDS.index(latest):
                raise ValueError(
                    f"stage {number} ({stage.kind} {stage.uses}) comes after a stage of kind `{latest}`; "
                    f"the order is {', '.join(KINDS)}"
                )
            latest = stage.kind
            if stage.input and stage.input not in processed:
                raise ValueError(
                    f"stage {number} ({stage.uses}) takes the output of {stage.input!r}, "
                    f"which is no earlier `process` stage{did_you_mean(stage.input, processed)}"
                )
            if stage.kind == "process":
                if stage.uses in processed:
                    raise ValueError(
                        f"stage {number} ({stage.uses}) stands twice; `input` could not tell the two apart"
                    )
                processed.append(stage.uses)
        names = [rule.alert for rule in self.alerts]
        if len(set(names)) < len(names):
            raise ValueError("two rules of `alerts` have the same name")
        return self


@dataclass(frozen=True, slots=True)
class LoadedRecipe:
    """A recipe with the text that it came from."""

    recipe: Recipe
    source: str
    """The YAML text as it was loaded."""

    yaml: LocatedYaml


def parse_recipe(text: str, file: str) -> LoadedRecipe:
    """The recipe in a YAML text.

    Raises
    ------
    SettingsInvalid
        For the first thing that is wrong, with file, line and a hint.
    """
    located = load_located_yaml(text, file)
    if not isinstance(located.data, dict):
        raise SettingsInvalid(
            "A recipe is a mapping", where=located.where(()), hint="Start with `name: …` on a line of its own."
        )
    try:
        recipe = Recipe.model_validate(located.data)
    except ValidationError as error:
        raise _explained(error, located) from error
    return LoadedRecipe(recipe, text, located)


def _explained(error: ValidationError, located: LocatedYaml) -> SettingsInvalid:
    problem = error.errors(include_url=False)[0]
    path = _path_in_text(tuple(problem["loc"]), located)
    name = ".".join(str(part + 1) if isinstance(part, int) else part for part in path)
    hint = "See the built-in recipes for examples: `ListRecipes` gives their text."
    if problem["type"] == "extra_forbidden":
        known = _known_keys(path[:-1])
        what = f"{name} is not a key of a recipe{did_you_mean(str(path[-1]), known)}"
        hint = f"Known keys there: {', '.join(known)}."
    elif "parameters" in problem["loc"]:
        what = f"{name} is not a number, a text, true, false or a list of them"
        hint = "Write dates and the like in quotes."
    elif problem["type"] == "missing":
        what = f"The recipe has no {name}"
        hint = f"Add `{path[-1]}: …`."
    else:
        # What pydantic says is about the rule, not about a person: recipes hold no patient data.
        message = re.sub(r"^Value error, ", "", problem["msg"])
        what = f"{name}: {message}" if name else message[:1].upper() + message[1:]
        # A rule over several stages names the one that breaks it by its number.
        if not path and (number := re.match(r"stage (\d+) ", message)):
            path = ("stages", int(number.group(1)) - 1)
    return SettingsInvalid(what, where=located.where(path), hint=hint)


def _path_in_text(loc: Path, located: LocatedYaml) -> Path:
    """Where the author wrote what the model complains of; a key that is missing there counts.

    In the text, parameters stand beside the stage's own keys, and there are no members of unions.
    """
    path: Path = ()
    value: Any = located.data
    for part in (part for part in loc if part != "parameters"):
        if (*path, part) in located.lines:
            path, value = (*path, part), value[part]
        else:
            return (*path, part) if isinstance(value, dict) else path
    return path


def _known_keys(path: Path) -> list[str]:
    if path[:1] == ("alerts",):
        return list(AlertRule.model_fields)
    models: dict[Path, type[BaseModel]] = {
        (): Recipe,
        ("match",): Match,
        ("select",): Select,
        ("select", "exclude"): Exclude,
    }
    return list(models.get(path, StageSpec).model_fields)
