"""A recipe: which studies it fits, which of their series it takes, and the stages that they get."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from pipeline_svc.recipes.alert_rule import AlertRule
from pipeline_svc.recipes.stage_spec import KINDS, Kind, StageSpec
from pipeline_svc.recipes.strict_model import StrictModel, as_list
from pipeline_svc.recipes.suggestion import did_you_mean

Patterns = Annotated[tuple[str, ...], BeforeValidator(as_list)]
"""Values of which one must match; `*` and `?` are wildcards, case does not matter."""


class Match(StrictModel):
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


class Exclude(StrictModel):
    """Instances that are never taken."""

    ImageType: Patterns = ()
    """One of the values of (0008,0008), e.g. LOCALIZER."""


class Select(StrictModel):
    """Which of the series that match are worked on."""

    series: Literal["largest-axial", "largest", "each"] = "largest"
    exclude: Exclude = Exclude()
    max_series: int = Field(12, ge=1, le=100)
    """For `each`: so many, in the order of series number."""


class Recipe(StrictModel):
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
