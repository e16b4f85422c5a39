"""Finding groups as measurement groups of TID 1500 (PS3.16): TID 1411 with a segmentation, TID 1501 without."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from highdicom import sr
from pydicom.sr.codedict import codes

from imaging.dicom.uid import derived_uid, is_valid_uid
from reporting_svc.content.report_content import CodedConcept, FindingGroup, Measurement
from reporting_svc.dicom.evidence import StoredInstance, group_frames
from reporting_svc.dicom.study_identity import text_value, uids_of_name

_FALLBACK_SCHEME = "99LOCAL"
"""For codes of installed models that name no scheme; private ones begin with 99 (PS3.16 8.2)."""

_Items = list[Any]


def measurement_groups(
    group: FindingGroup,
    *,
    segmentations: Mapping[str, StoredInstance],
    instances: Mapping[str, StoredInstance],
    frame_of_reference_uid: str,
) -> list[_Items]:
    """The groups for one thing: one with its values, and one more with its axes where these have coordinates.

    TID 1411 gives its values no coordinates of their own, so that an axis with its ends (SCOORD3D) stands in a group
    of TID 1501 with the same tracking UID.

    Parameters
    ----------
    segmentations, instances
        By SOP Instance UID.
    frame_of_reference_uid
        Of the coordinates of the axes; empty: they are told without.
    """
    drawn = [each for each in group.measurements if each.line_mm and each.value is not None]
    if not is_valid_uid(frame_of_reference_uid):
        drawn = []
    plain = [each for each in group.measurements if each not in drawn]
    made = []
    if plain:
        made.append(_group(group, plain, segmentations, instances))
    if drawn:
        made.append(_axes_group(group, drawn, instances, frame_of_reference_uid))
    return made


def coded(concept: CodedConcept | None, fallback: str) -> sr.CodedConcept:
    """The concept with values that are valid for their VRs (PS3.3 8.8)."""
    value = text_value(concept.value, 64) if concept else ""
    meaning = text_value(concept.meaning, 64) if concept else ""
    scheme = text_value(concept.scheme, 16) if concept else ""
    return sr.CodedConcept(
        value=value or text_value(meaning or fallback, 16),
        meaning=meaning or value or fallback,
        scheme_designator=scheme if value and scheme else _FALLBACK_SCHEME,
    )


def _group(
    group: FindingGroup,
    measurements: Sequence[Measurement],
    segmentations: Mapping[str, StoredInstance],
    instances: Mapping[str, StoredInstance],
) -> _Items:
    common = _common(group, measurements)
    segmentation = segmentations.get(group.segmentation_sop_instance_uid)
    values = [_value(each) for each in measurements if _is_number(each)]
    made: _Items
    if segmentation is not None and group.segment_number > 0:
        made = sr.VolumetricROIMeasurementsAndQualitativeEvaluations(
            referenced_segment=sr.ReferencedSegment(
                sop_class_uid=segmentation.sop_class_uid,
                sop_instance_uid=segmentation.sop_instance_uid,
                segment_number=group.segment_number,
                source_series=sr.SourceSeriesForSegmentation(uids_of_name(group.series)["series"]),
            ),
            measurements=values or None,
            **common,
        )
    else:
        images = [
            sr.SourceImageForMeasurementGroup(
                referenced_sop_class_uid=frame.sop_class_uid,
                referenced_sop_instance_uid=frame.sop_instance_uid,
                referenced_frame_numbers=_frame_numbers(frame.sop_instance_uid, frame.frame_number, instances),
            )
            for frame in group_frames(group)
        ]
        made = sr.MeasurementsAndQualitativeEvaluations(
            measurements=values or None, source_images=images or None, **common
        )
    _add_comments(made, measurements)
    return made


def _axes_group(
    group: FindingGroup,
    measurements: Sequence[Measurement],
    instances: Mapping[str, StoredInstance],
    frame_of_reference_uid: str,
) -> _Items:
    values = [_value(each, frame_of_reference_uid) for each in measurements if _is_number(each)]
    made: _Items = sr.MeasurementsAndQualitativeEvaluations(measurements=values or None, **_common(group, measurements))
    _add_comments(made, measurements)
    return made


def _common(group: FindingGroup, measurements: Sequence[Measurement]) -> dict[str, Any]:
    """What both kinds of group begin with."""
    tracking_uid = group.tracking_uid if is_valid_uid(group.tracking_uid) else ""
    evaluations = [
        sr.QualitativeEvaluation(name=coded(each.concept, "Observation"), value=coded(each.coded_value, "Answer"))
        for each in measurements
        if each.coded_value is not None
    ]
    first = measurements[0]
    return {
        "tracking_identifier": sr.TrackingIdentifier(
            uid=tracking_uid or derived_uid("tracking", group.series, group.label),
            identifier=text_value(group.tracking_identifier or group.label, 64),
        ),
        "finding_type": coded(group.finding_type, "Finding") if group.finding_type else None,
        "finding_sites": [sr.FindingSite(anatomic_location=coded(group.site, "Site"))] if group.site else None,
        "algorithm_id": sr.AlgorithmIdentification(
            name=text_value(first.model, 64) or "unnamed", version=text_value(first.model_version, 64) or "unknown"
        ),
        "qualitative_evaluations": evaluations or None,
    }


def _is_number(measurement: Measurement) -> bool:
    return measurement.value is not None and math.isfinite(measurement.value)


def _value(measurement: Measurement, frame_of_reference_uid: str = "") -> sr.Measurement:
    coordinates = None
    if frame_of_reference_uid:
        ends = np.asarray(measurement.line_mm, dtype=np.float32).reshape(2, 3)
        coordinates = [
            sr.CoordinatesForMeasurement3D(
                graphic_type=sr.GraphicTypeValues3D.POLYLINE,
                graphic_data=ends,
                frame_of_reference_uid=frame_of_reference_uid,
            )
        ]
    return sr.Measurement(
        name=coded(measurement.concept, "Measurement"),
        value=float(measurement.value or 0.0),
        unit=coded(measurement.unit, "unit") if measurement.unit else codes.UCUM.NoUnits,
        derivation=coded(measurement.derivation, "Derivation") if measurement.derivation else None,
        referenced_coordinates=coordinates,
    )


def _frame_numbers(
    sop_instance_uid: str, frame_number: int, instances: Mapping[str, StoredInstance]
) -> list[int] | None:
    """The frame, for multi-frame images only: a single-frame one has none to name (PS3.3 C.18.4)."""
    stored = instances.get(sop_instance_uid)
    several = stored.number_of_frames > 1 if stored is not None else frame_number > 1
    return [frame_number] if several else None


def _add_comments(made: _Items, measurements: Sequence[Measurement]) -> None:
    """Quality flags, and numbers that are none, as text: the templates may be extended by it."""
    texts: dict[str, list[str]] = {}
    for each in measurements:
        for flag in each.flags:
            texts.setdefault(f"{flag.code}: {flag.message}", []).append(each.concept.meaning)
        if each.value is not None and not math.isfinite(each.value):
            texts.setdefault("The value is not a finite number and is left out", []).append(each.concept.meaning)
    for text, concepts in texts.items():
        about = ", ".join(dict.fromkeys(concepts))
        made[0].ContentSequence.append(
            sr.TextContentItem(
                name=codes.DCM.Comment,
                value=f"{text} ({about})",
                relationship_type=sr.RelationshipTypeValues.CONTAINS,
            )
        )
