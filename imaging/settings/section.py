"""What the sections of the settings are made of."""

from __future__ import annotations

import ipaddress
import json
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter, field_validator
from pydantic import ValidationInfo as Info

from imaging.rpc.loopback import split_address

_UNIT_SECONDS: Final = {"seconds": 1, "minutes": 60, "hours": 3600, "days": 86400}
LONGEST_YEARS: Final = 100
"""Of a duration: no clock and no database counts for ever. It is as good as never."""

LARGEST: Final = 1 << 53
"""Of a whole number; JSON and most languages count no further exactly."""


class Section(BaseModel):
    """A part of the settings: immutable, nothing unknown in it, and no number beyond what can be worked with."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @field_validator("*")
    @classmethod
    def _is_within_reach(cls, value: Any, info: Info) -> Any:
        if isinstance(value, float | int):
            seconds = _UNIT_SECONDS.get((info.field_name or "").rpartition("_")[2], 0)
            if value * seconds > LONGEST_YEARS * 365.25 * 86400:
                raise ValueError(f"a duration is at most {LONGEST_YEARS} years")
            if value > LARGEST:
                raise ValueError(f"a number is at most {LARGEST}")
        return value


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


def _port_exists(value: str) -> str:
    if int(value.rpartition(":")[2]) > 0xFFFF:
        raise ValueError("ports go up to 65535")
    return value


Address = Annotated[
    str, Field(pattern=r"^(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):[0-9]{1,5}$"), AfterValidator(_port_exists)
]
"""`host:port`; an IPv6 address stands in brackets."""

_ADDRESS = TypeAdapter(Address)

Addresses = Annotated[str, AfterValidator(_one_or_several)]
"""`host:port`; or several replicas, IP addresses of one version, with commas between."""

Names = Annotated[tuple[str, ...], BeforeValidator(_from_text)]
"""A list of names; in a variable or flag with commas between."""

FromText = BeforeValidator(_from_text)
"""Marks a table that a variable or flag gives as JSON."""
