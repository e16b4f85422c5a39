"""Rows of the index as resources on the wire."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from imaging.database.clock import timestamp
from imaging.storage.v1 import storage_pb2
from storage_svc.names import instance_name, study_name

Row = Mapping[str, Any]


def origin(row: Row) -> storage_pb2.Origin:
    """Where an instance or series came from."""
    return storage_pb2.Origin(
        kind=row["origin_kind"], run=row["origin_run"], stage=row["origin_stage"], attempt=row["origin_attempt"]
    )


def manifest(row: Row) -> storage_pb2.Manifest:
    """The newest manifest of a study's row."""
    found = storage_pb2.Manifest(
        version=row["manifest_version"],
        instance_count=row["manifest_count"],
        digest=row["manifest_digest"],
        open=row["manifest_open"],
        traceparent=row["manifest_traceparent"],
    )
    if row["manifest_time"]:
        found.complete_time.CopyFrom(timestamp(row["manifest_time"]))
    return found


def study(row: Row) -> storage_pb2.Study:
    """A study; its modalities, if the row has them."""
    found = storage_pb2.Study(
        name=study_name(row["study_instance_uid"]),
        study_instance_uid=row["study_instance_uid"],
        patient_id=row["patient_id"],
        issuer_of_patient_id=row["issuer_of_patient_id"],
        patient_name=row["patient_name"],
        patient_birth_date=row["patient_birth_date"],
        patient_sex=row["patient_sex"],
        study_date=row["study_date"],
        study_time=row["study_time"],
        accession_number=row["accession_number"],
        study_id=row["study_id"],
        study_description=row["study_description"],
        referring_physician_name=row["referring_physician_name"],
        modalities_in_study=[modality for modality in row.get("modalities", "").split("\\") if modality],
        series_count=row["series_count"],
        instance_count=row["instance_count"],
        size_bytes=row["size_bytes"],
        manifest=manifest(row),
        create_time=timestamp(row["create_time"]),
        update_time=timestamp(row["update_time"]),
        etag=etag(row),
    )
    _tell_purge_time(found, row)
    if row["hold_time"] is not None:
        found.legal_hold.reason = row["hold_reason"]
        found.legal_hold.set_time.CopyFrom(timestamp(row["hold_time"]))
    return found


def etag(row: Row) -> str:
    """Changes with every change of the row of a study, series or instance, also when it was purged and came back."""
    return f"{row['create_time']:x}-{row['generation'] if 'generation' in row else row['version']}"


def _tell_purge_time(found: storage_pb2.Study | storage_pb2.Series | storage_pb2.Instance, row: Row) -> None:
    purge_time = row.get("purge_time")  # a row of a series has it only when the series was deleted
    if purge_time is not None:
        found.purge_time.CopyFrom(timestamp(purge_time))


def series(row: Row) -> storage_pb2.Series:
    """A series."""
    found = storage_pb2.Series(
        name=f"{study_name(row['study_instance_uid'])}/series/{row['series_instance_uid']}",
        study_instance_uid=row["study_instance_uid"],
        series_instance_uid=row["series_instance_uid"],
        modality=row["modality"],
        series_number=row["series_number"],
        series_description=row["series_description"],
        body_part_examined=row["body_part_examined"],
        frame_of_reference_uid=row["frame_of_reference_uid"],
        manufacturer=row["manufacturer"],
        instance_count=row["instance_count"],
        frame_count=row["frame_count"],
        size_bytes=row["size_bytes"],
        origin=origin(row),
        rows=row["rows"],
        columns=row["columns"],
        image_types=row["image_types"].split("\n") if row["image_types"] else [],
        sop_class_uids=row["sop_class_uids"].split("\n") if row["sop_class_uids"] else [],
        protocol_name=row["protocol_name"],
        series_date=row["series_date"],
        series_time=row["series_time"],
        laterality=row["laterality"],
        manufacturer_model_name=row["manufacturer_model_name"],
        performed_procedure_step_start_date=row["procedure_step_start_date"],
        performed_procedure_step_start_time=row["procedure_step_start_time"],
        etag=etag(row),
    )
    _tell_purge_time(found, row)
    return found


def instance(row: Row) -> storage_pb2.Instance:
    """An instance as it is served."""
    found = storage_pb2.Instance(
        name=instance_name(row["study_instance_uid"], row["series_instance_uid"], row["sop_instance_uid"]),
        study_instance_uid=row["study_instance_uid"],
        series_instance_uid=row["series_instance_uid"],
        sop_instance_uid=row["sop_instance_uid"],
        sop_class_uid=row["sop_class_uid"],
        transfer_syntax_uid=row["transfer_syntax_uid"],
        instance_number=row["instance_number"],
        rows=row["rows"],
        columns=row["columns"],
        number_of_frames=row["number_of_frames"],
        bits_allocated=row["bits_allocated"],
        size_bytes=row["size_bytes"],
        data_set_sha256=row["data_set_sha256"],
        object_crc32c=row["object_crc32c"],
        version=row["version"],
        origin=origin(row),
        create_time=timestamp(row["create_time"]),
        warnings=row["warnings"].split("\n") if row["warnings"] else [],
        image_type=row["image_type"],
        content_date=row["content_date"],
        content_time=row["content_time"],
        acquisition_number=row["acquisition_number"],
        etag=etag(row),
    )
    _tell_purge_time(found, row)
    return found


def change(row: Row) -> storage_pb2.Change:
    """An entry of the change log."""
    found = storage_pb2.Change(
        revision=row["revision"],
        kind=row["kind"],
        name=row["name"],
        digest=row["digest"],
        manifest_version=row["manifest_version"],
        size_bytes=row["size_bytes"],
        create_time=timestamp(row["create_time"]),
        traceparent=row["traceparent"],
    )
    if row["origin_kind"]:
        found.origin.CopyFrom(origin(row))
    return found
