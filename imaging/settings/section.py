"""What the sections of the settings are made of."""

from __future__ import annotations

import json
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field


class Section(BaseModel):
    """A part of the settings: immutable, and nothing unknown in it."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


def _from_text(value: Any) -> Any:
    """Variables and flags hold text: JSON, or for a list also names with commas between."""
    if not isinstance(value, str):
        return value
    text = value.strip()
    if text[:1] in ("{", "["):
        return json.loads(text)
    return [part.strip() for part in text.split(",") if part.strip()]


Address = Annotated[str, Field(pattern=r"^(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):[0-9]{1,5}$")]
"""`host:port`; an IPv6 address stands in brackets."""

Names = Annotated[tuple[str, ...], BeforeValidator(_from_text)]
"""A list of names; in a variable or flag with commas between."""

FromText = BeforeValidator(_from_text)
"""Marks a table that a variable or flag gives as JSON."""
