"""A domain error that says "this input allows no true answer", as part of a result."""

from __future__ import annotations

from imaging.errors import ImagingError
from imaging.stage.v1.stage_pb2 import Refusal


def refusal_of(subject: str, error: ImagingError) -> Refusal:
    """The refusal of `subject` (a step, a model, a measurement); its rule is `metadata["rule"]` of the error."""
    return Refusal(
        subject=subject,
        rule=error.metadata.get("rule", error.reason).upper().replace("-", "_").replace(" ", "_"),
        message=f"{error.what} (at {error.where})" if error.where else error.what,
        hint=error.hint,
    )
