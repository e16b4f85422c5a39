"""What the parts of a recipe have in common: unknown keys are refused, nothing changes once it is read."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class StrictModel(BaseModel):
    """A part of a recipe."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def as_list(value: object) -> object:
    """A single value stands for a list of one."""
    return [value] if isinstance(value, str) else value
