"""What a report says, kept beside its documents, so that a final version can be written in the same words."""

from __future__ import annotations

from functools import cache
from typing import Final

from pydantic import ConfigDict, TypeAdapter, ValidationError

from reporting_svc.content.report_content import ReportContent

_CONFIG: Final = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64", ser_json_inf_nan="constants")


def pack_content(content: ReportContent) -> bytes:
    """The content with its pictures as JSON."""
    return _adapter().dump_json((content,))


def unpack_content(kept: bytes) -> ReportContent | None:
    """The same content again; None for that of a release which kept other fields."""
    try:
        (content,) = _adapter().validate_json(kept)
    except ValidationError:
        return None
    return content


@cache
def _adapter() -> TypeAdapter[tuple[ReportContent]]:
    # A dataclass takes no configuration from its adapter, a tuple hands it down.
    return TypeAdapter(tuple[ReportContent], config=_CONFIG)
