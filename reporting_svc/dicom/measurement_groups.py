"""Finding groups as measurement groups of TID 1500 (PS3.16), with their places on images."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from highdicom import sr
from pydicom.sr.codedict import codes

from imaging.dicom.uid import derived_uid, is_valid_uid
from reporting_svc.content.report_content import CodedConcept, FindingGroup, ImagePlace, Measurement, SourceFrame
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
    """The groups for one thing, all with its tracking UID; readers put them together by it.

    TID 1411 with the values if there is a segmentation; the axes in TID 1501, with the line that each was measured
    along, as TID 1411 gives its values no coordinates of their own; and, without axes on an image, TID 1410 with the
    outline where the thing is seen. What has no segmentation and rests on one frame stands in that alone.

    Parameters
    ----------
    segmentations, instances
        By SOP Instance UID.
    frame_of_reference_uid
        Of the coordinates of axes that lie in no frame; empty: they are told without.
    """
    drawn = [each for each in group.measurements if _has_line(each, frame_of_reference_uid)]
    plain = [each for each in group.measurements if each not in drawn]
    on_image = any(each.line_in_image for each in drawn)
    place = group.place if group.place is not None and group.place.outline and not on_image else None
    made = []
    if plain and place is not None and not drawn and _is_told_by_place(group, segmentations):
        return [_place_group(group, place, plain, instances)]
    if plain:
        made.append(_group(group, plain, segmentations, instances))
    if drawn:
        made.append(_axes_group(group, drawn, instances, frame_of_reference_uid))
    if place is not None and group.measurements:
        made.append(_place_group(group, place, (), instances))
    return made


def _has_line(measurement: Measurement, frame_of_reference_uid: str) -> bool:
    told = measurement.line_in_image or (measurement.line_mm and is_valid_uid(frame_of_reference_uid))
    return bool(told) and _is_number(measurement)


def _is_told_by_place(group: FindingGroup, segmentations: Mapping[str, StoredInstance]) -> bool:
    return group.segmentation_sop_instance_uid not in segmentations and len(group_frames(group)) == 1


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
    values = [_value(each, _line_coordinates(group, each, instances, frame_of_reference_uid)) for each in measurements]
    made: _Items = sr.MeasurementsAndQualitativeEvaluations(measurements=values, **_common(group, measurements))
    _add_comments(made, measurements)
    return made


def _place_group(
    group: FindingGroup,
    place: ImagePlace,
    measurements: Sequence[Measurement],
    instances: Mapping[str, StoredInstance],
) -> _Items:
    values = [_value(each) for each in measurements if _is_number(each)]
    made: _Items = sr.PlanarROIMeasurementsAndQualitativeEvaluations(
        referenced_region=sr.ImageRegion(
            graphic_type=sr.GraphicTypeValues.POLYLINE,
            graphic_data=np.asarray(place.outline, dtype=np.float32).reshape(-1, 2),
            source_image=_source_image(place.frame, instances),
        ),
        measurements=values or None,
        **_common(group, measurements),
    )
    _add_comments(made, measurements)
    return made


def _source_image(frame: SourceFrame, instances: Mapping[str, StoredInstance]) -> Any:
    return sr.SourceImageForRegion(
        referenced_sop_class_uid=frame.sop_class_uid,
        referenced_sop_instance_uid=frame.sop_instance_uid,
        referenced_frame_numbers=_frame_numbers(frame.sop_instance_uid, frame.frame_number, instances),
    )


def _line_coordinates(
    group: FindingGroup, measurement: Measurement, instances: Mapping[str, StoredInstance], frame_of_reference_uid: str
) -> Any:
    """On the image where the line lies in a frame; else in the patient."""
    if measurement.line_in_image and group.place is not None:
        return sr.CoordinatesForMeasurement(
            graphic_type=sr.GraphicTypeValues.POLYLINE,
            graphic_data=np.asarray(measurement.line_in_image, dtype=np.float32).reshape(2, 2),
            source_image=_source_image(group.place.frame, instances),
        )
    return sr.CoordinatesForMeasurement3D(
        graphic_type=sr.GraphicTypeValues3D.POLYLINE,
        graphic_data=np.asarray(measurement.line_mm, dtype=np.float32).reshape(2, 3),
        frame_of_reference_uid=frame_of_reference_uid,
    )


def _common(group: FindingGroup, measurements: Sequence[Measurement]) -> dict[str, Any]:
    """What both kinds of group begin with."""
    tracking_uid = group.tracking_uid if is_valid_uid(group.tracking_uid) else ""
    evaluations = [
        sr.QualitativeEvaluation(name=coded(each.concept, "Observation"), value=coded(each.coded_value, "Answer"))
        for each in measurements
        if each.coded_value is not None
    ]
    first = group.measurements[0]
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


def _value(measurement: Measurement, coordinates: Any = None) -> sr.Measurement:
    return sr.Measurement(
        name=coded(measurement.concept, "Measurement"),
        value=float(measurement.value or 0.0),
        unit=coded(measurement.unit, "unit") if measurement.unit else codes.UCUM.NoUnits,
        derivation=coded(measurement.derivation, "Derivation") if measurement.derivation else None,
        referenced_coordinates=[coordinates] if coordinates is not None else None,
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
