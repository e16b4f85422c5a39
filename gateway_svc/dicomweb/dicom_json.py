"""Studies, series and instances of the index as DICOM JSON (PS3.18 F): all that the index knows, without asking."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable

from imaging.storage.v1 import storage_pb2

_quoted: Callable[[str], str] = json.encoder.encode_basestring


def study_members(study: storage_pb2.Study, root: str) -> list[str]:
    """The members of a study's object, each as JSON text."""
    return [
        '"00080005":{"vr":"CS","Value":["ISO_IR 192"]}',
        _text("00080020", "DA", study.study_date),
        _text("00080030", "TM", study.study_time),
        _text("00080050", "SH", study.accession_number),
        _AVAILABLE,
        _texts("00080061", "CS", study.modalities_in_study),
        _person("00080090", study.referring_physician_name),
        _text("00081030", "LO", study.study_description),
        _text("00081190", "UR", f"{root}/studies/{study.study_instance_uid}"),
        _person("00100010", study.patient_name),
        _text("00100020", "LO", study.patient_id),
        *([_text("00100021", "LO", study.issuer_of_patient_id)] if study.issuer_of_patient_id else []),
        _text("00100030", "DA", study.patient_birth_date),
        _text("00100040", "CS", study.patient_sex),
        _text("0020000D", "UI", study.study_instance_uid),
        _text("00200010", "SH", study.study_id),
        _number("00201206", "IS", study.series_count),
        _number("00201208", "IS", study.instance_count),
    ]


def series_members(series: storage_pb2.Series, root: str) -> list[str]:
    """The members of a series' object."""
    url = f"{root}/studies/{series.study_instance_uid}/series/{series.series_instance_uid}"
    known = (
        ("00080021", "DA", series.series_date),
        ("00080031", "TM", series.series_time),
        ("00080070", "LO", series.manufacturer),
        ("00081090", "LO", series.manufacturer_model_name),
        ("00180015", "CS", series.body_part_examined),
        ("00181030", "LO", series.protocol_name),
        ("00200052", "UI", series.frame_of_reference_uid),
        ("00200060", "CS", series.laterality),
        ("00400244", "DA", series.performed_procedure_step_start_date),
        ("00400245", "TM", series.performed_procedure_step_start_time),
    )
    return [
        _text("00080060", "CS", series.modality),
        _text("0008103E", "LO", series.series_description),
        _text("00081190", "UR", url),
        _text("0020000D", "UI", series.study_instance_uid),
        _text("0020000E", "UI", series.series_instance_uid),
        _number("00200011", "IS", series.series_number if series.HasField("series_number") else None),
        _number("00201209", "IS", series.instance_count),
        *[_text(tag, vr, value) for tag, vr, value in known if value],
    ]


def instance_members(instance: storage_pb2.Instance, root: str) -> list[str]:
    """The members of an instance's object."""
    members = [
        *([_texts("00080008", "CS", instance.image_type.split("\\"))] if instance.image_type else []),
        _text("00080016", "UI", instance.sop_class_uid),
        _text("00080018", "UI", instance.sop_instance_uid),
        _AVAILABLE,
        _text("00081190", "UR", f"{root}/{instance.name}"),
        _text("00083002", "UI", instance.transfer_syntax_uid),
        _text("0020000D", "UI", instance.study_instance_uid),
        _text("0020000E", "UI", instance.series_instance_uid),
        _number("00200013", "IS", instance.instance_number if instance.HasField("instance_number") else None),
    ]
    if instance.content_date:
        members.append(_text("00080023", "DA", instance.content_date))
    if instance.content_time:
        members.append(_text("00080033", "TM", instance.content_time))
    if instance.HasField("acquisition_number"):
        members.append(_number("00200012", "IS", instance.acquisition_number))
    if instance.number_of_frames:
        members += [
            _number("00280008", "IS", instance.number_of_frames),
            _number("00280010", "US", instance.rows),
            _number("00280011", "US", instance.columns),
            _number("00280100", "US", instance.bits_allocated),
        ]
    return members


def json_object(*members: Iterable[str]) -> str:
    """One object of lists of members; where a tag comes twice, the first stands."""
    found: dict[str, str] = {}
    for some in members:
        for member in some:
            found.setdefault(member[1:9], member)
    return "{" + ",".join(found[tag] for tag in sorted(found)) + "}"


_AVAILABLE = '"00080056":{"vr":"CS","Value":["ONLINE"]}'


def _text(tag: str, vr: str, value: str) -> str:
    return f'"{tag}":{{"vr":"{vr}","Value":[{_quoted(value)}]}}' if value else f'"{tag}":{{"vr":"{vr}"}}'


def _texts(tag: str, vr: str, values: Iterable[str]) -> str:
    listed = ",".join(_quoted(value) if value else "null" for value in values)
    return f'"{tag}":{{"vr":"{vr}","Value":[{listed}]}}' if listed else f'"{tag}":{{"vr":"{vr}"}}'


def _number(tag: str, vr: str, value: int | None) -> str:
    return f'"{tag}":{{"vr":"{vr}"}}' if value is None else f'"{tag}":{{"vr":"{vr}","Value":[{value}]}}'


def _person(tag: str, name: str) -> str:
    groups = zip(("Alphabetic", "Ideographic", "Phonetic"), name.split("="), strict=False)
    listed = ",".join(f'"{kind}":{_quoted(group)}' for kind, group in groups if group)
    return f'"{tag}":{{"vr":"PN","Value":[{{{listed}}}]}}' if listed else f'"{tag}":{{"vr":"PN"}}'
