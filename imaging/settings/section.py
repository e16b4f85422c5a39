"""What the sections of the settings are made of."""

from __future__ import annotations

import ipaddress
import json
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter

from imaging.rpc.loopback import split_address


class Section(BaseModel):
    """A part of the settings: immutable, and nothing unknown in it."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def _from_text(value: Any) -> Any:
    """Variables and flags hold text: JSON, or for a list also names with commas between."""
    if not isinstance(value, str):
        return value
    text = value.strip()
    if text[:1] in ("{", "["):
        return json.loads(text)
    return [part.strip() for part in text.split(",") if part.strip()]


def _one_or_several(value: str) -> str:
    parts = [_ADDRESS.validate_python(part.strip()) for part in value.split(",")]
    if len(parts) > 1:
        try:
            versions = {ipaddress.ip_address(split_address(part)[0]).version for part in parts}
        except ValueError:
            versions = set()
        if len(versions) != 1:
            raise ValueError("several addresses must be IP addresses of one version; a name may have several by itself")
    return ",".join(parts)


Address = Annotated[str, Field(pattern=r"^(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):[0-9]{1,5}$")]
"""`host:port`; an IPv6 address stands in brackets."""

_ADDRESS = TypeAdapter(Address)

Addresses = Annotated[str, AfterValidator(_one_or_several)]
"""`host:port`; or several replicas, IP addresses of one version, with commas between."""

Names = Annotated[tuple[str, ...], BeforeValidator(_from_text)]
"""A list of names; in a variable or flag with commas between."""

FromText = BeforeValidator(_from_text)
"""Marks a table that a variable or flag gives as JSON."""
