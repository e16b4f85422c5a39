"""A stage as a recipe says it: `{process: resample-isotropic, spacing_mm: 1.0}`."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from pipeline_svc.recipes.strict_model import StrictModel, as_list
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


class StageSpec(StrictModel):
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

    what: Annotated[tuple[Sent, ...], BeforeValidator(as_list)] = ()
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
