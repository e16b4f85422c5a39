"""A rule of a recipe over the findings of its runs."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from pipeline_svc.recipes.strict_model import StrictModel


class AlertRule(StrictModel):
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
