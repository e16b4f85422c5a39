"""Measurements and refusals as messages of the contract."""

from __future__ import annotations

import json
import math
import uuid
from collections.abc import Mapping
from typing import Final

from pydicom.sr.coding import Code

from analysis_svc.measurement import Measurement, Refusal
from analysis_svc.model import Model
from imaging.analysis.v1 import analysis_pb2
from imaging.errors import ModelFailed
from imaging.stage.v1 import stage_pb2

_NAMESPACE: Final = uuid.UUID("5bd2b3f0-6d0c-5a41-9a8e-0d3c7c1b6f52")
"""Never to be changed: the names of stored findings follow from it."""


def finding_name(request_id: str, position: int) -> str:
    """`findings/{id}` of the finding at a place in the result of a request, counted from 0."""
    return f"findings/{uuid.uuid5(_NAMESPACE, json.dumps([request_id, position])).hex}"


def finding_message(
    measurement: Measurement,
    *,
    name: str,
    request_id: str,
    run: str,
    series: str,
    model: Model,
    tracking_uid: str,
    segmentation_sop_instance_uid: str,
    segments: Mapping[str, int],
) -> analysis_pb2.Finding:
    """The measurement as a finding.

    Parameters
    ----------
    segmentation_sop_instance_uid
        Empty if no segmentation was stored.
    segments
        Segment number by label; a measurement whose mask is empty or was not stored has no segment.

    Raises
    ------
    ModelFailed
        If it has no number and no code, a number without a unit, or one that is not finite.
    """
    value = _checked_value(measurement, model)
    segment = segments.get(measurement.segment_label, 0) if segmentation_sop_instance_uid else 0
    if measurement.segment is not None:
        segmentation_sop_instance_uid = measurement.segment.sop_instance_uid
        segment = measurement.segment.segment_number
    finding = analysis_pb2.Finding(
        name=name,
        request_id=request_id,
        run=run,
        series=series,
        concept=_code(measurement.concept),
        value=value,
        unit=_code(measurement.unit),
        coded_value=_code(measurement.coded_value),
        site=_code(measurement.site),
        derivation=_code(measurement.derivation),
        finding_type=_code(measurement.finding_type),
        tracking_identifier=measurement.tracking_identifier,
        tracking_uid=tracking_uid,
        segmentation_sop_instance_uid=segmentation_sop_instance_uid if segment else "",
        segment_number=segment,
        model=model.name,
        model_version=model.version,
        line_mm=[float(coordinate) for coordinate in measurement.line_mm],
        chart_json=json.dumps(measurement.chart, allow_nan=False, separators=(",", ":")) if measurement.chart else "",
    )
    for frame in measurement.frames:
        finding.frames.add(
            sop_instance_uid=frame.sop_instance_uid,
            sop_class_uid=frame.sop_class_uid,
            frame_number=frame.frame_number,
        )
    for flag in measurement.quality_flags:
        finding.quality_flags.add(code=flag.code, message=flag.message)
    return finding


def refusal_message(refusal: Refusal) -> stage_pb2.Refusal:
    """The refusal as a message."""
    return stage_pb2.Refusal(subject=refusal.subject, rule=refusal.rule, message=refusal.message, hint=refusal.hint)


def _checked_value(measurement: Measurement, model: Model) -> float | None:
    if measurement.value is None:
        if measurement.coded_value is None:
            raise _untrue(measurement, model, "neither a number nor a code")
        return None
    value = float(measurement.value)
    if not math.isfinite(value):
        raise _untrue(measurement, model, "a number that is not finite")
    if measurement.unit is None:
        raise _untrue(measurement, model, "a number without a unit")
    return value


def _untrue(measurement: Measurement, model: Model, what: str) -> ModelFailed:
    return ModelFailed(
        f"The model {model.name} {model.version} gave {what} for {measurement.concept.meaning}",
        where=f"model {model.name}",
        hint="Report it to the maker of the model.",
    )


def _code(code: Code | None) -> stage_pb2.Code | None:
    if code is None:
        return None
    return stage_pb2.Code(value=code.value, scheme=code.scheme_designator, meaning=code.meaning)
