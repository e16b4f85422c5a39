"""From messages of the contracts to the client's values."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, cast

from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from imaging.analysis.v1 import analysis_pb2
from imaging.client import results, run_results
from imaging.pipeline.v1 import pipeline_pb2
from imaging.reporting.v1 import reporting_pb2
from imaging.rpc.enum_word import enum_word
from imaging.stage.v1 import stage_pb2
from imaging.storage.v1 import storage_pb2

FILE_STATUS: dict[int, results.FileStatus] = {
    storage_pb2.STORE_OUTCOME_STORED: "stored",
    storage_pb2.STORE_OUTCOME_ALREADY_STORED: "already_stored",
    storage_pb2.STORE_OUTCOME_EQUIVALENT: "equivalent",
    storage_pb2.STORE_OUTCOME_NEW_VERSION: "new_version",
    storage_pb2.STORE_OUTCOME_RESTORED: "restored",
}


def study(message: storage_pb2.Study) -> results.Study:
    """A study."""
    return results.Study(
        name=message.name,
        study_instance_uid=message.study_instance_uid,
        patient_id=message.patient_id,
        patient_name=message.patient_name,
        patient_birth_date=message.patient_birth_date,
        patient_sex=message.patient_sex,
        study_date=message.study_date,
        study_time=message.study_time,
        accession_number=message.accession_number,
        study_id=message.study_id,
        description=message.study_description,
        modalities=tuple(message.modalities_in_study),
        series_count=message.series_count,
        instance_count=message.instance_count,
        size_bytes=message.size_bytes,
        manifest_version=message.manifest.version,
    )


def series(message: storage_pb2.Series) -> results.Series:
    """A series."""
    return results.Series(
        name=message.name,
        series_instance_uid=message.series_instance_uid,
        study_instance_uid=message.study_instance_uid,
        modality=message.modality,
        series_number=message.series_number if message.HasField("series_number") else None,
        description=message.series_description,
        body_part_examined=message.body_part_examined,
        instance_count=message.instance_count,
        frame_count=message.frame_count,
        rows=message.rows,
        columns=message.columns,
        size_bytes=message.size_bytes,
        is_derived=message.origin.kind == storage_pb2.Origin.KIND_DERIVED,
    )


def run(message: pipeline_pb2.Run) -> run_results.Run:
    """A run with its stages."""
    return run_results.Run(
        name=message.name,
        study=message.study,
        manifest_version=message.manifest_version,
        recipe=message.recipe,
        recipe_version=message.recipe_version,
        state=_state(message.state),
        reason=message.reason,
        stages=tuple(_stage(stage) for stage in message.stages),
        report=message.report,
        superseded_by=message.superseded_by,
        trace_id=message.trace_id,
        create_time=_time(message, "create_time"),
        end_time=_time(message, "end_time"),
    )


def finding(message: analysis_pb2.Finding) -> run_results.Finding:
    """A finding."""
    return run_results.Finding(
        name=message.name,
        series=message.series,
        run=message.run,
        concept=_code(message.concept),
        value=message.value if message.HasField("value") else None,
        unit=message.unit.value,
        coded_value=_code(message.coded_value) if message.HasField("coded_value") else None,
        site=_code(message.site) if message.HasField("site") else None,
        finding_type=_code(message.finding_type) if message.HasField("finding_type") else None,
        derivation=_code(message.derivation) if message.HasField("derivation") else None,
        tracking_identifier=message.tracking_identifier,
        tracking_uid=message.tracking_uid,
        segmentation_sop_instance_uid=message.segmentation_sop_instance_uid,
        segment_number=message.segment_number,
        model=message.model,
        model_version=message.model_version,
        quality_flags=tuple((flag.code, flag.message) for flag in message.quality_flags),
        line_mm=tuple(message.line_mm),
        frames=tuple((frame.sop_instance_uid, frame.frame_number) for frame in message.frames),
    )


def report(message: reporting_pb2.Report) -> run_results.Report:
    """A report with the list of its documents."""
    return run_results.Report(
        name=message.name,
        study=message.study,
        run=message.run,
        version=message.version,
        manifest_version=message.manifest_version,
        predecessor=message.predecessor,
        finding_count=message.finding_count,
        documents=tuple(_document(document) for document in message.documents),
        refusals=_refusals(message.refusals),
        create_time=_time(message, "create_time"),
        checks=_checks(message.checks),
        state=cast("Any", enum_word(reporting_pb2.ReportState, message.state, "REPORT_STATE_")),
        verification=_verification(message.verification) if message.HasField("verification") else None,
        replaces=message.replaces,
    )


def _verification(message: reporting_pb2.Verification) -> run_results.Verification:
    return run_results.Verification(message.observer, message.organization, _time(message, "time"))


def _document(message: reporting_pb2.Document) -> run_results.Document:
    name = enum_word(reporting_pb2.DocumentFormat, message.format, "DOCUMENT_FORMAT_")
    return run_results.Document(
        format=name,  # type: ignore[arg-type]  # the enum of the contract has these names
        media_type=message.media_type,
        file_name=message.file_name,
        size_bytes=message.size_bytes,
        sha256=message.sha256,
        number=message.number,
        instance=message.instance,
    )


def _stage(message: pipeline_pb2.Stage) -> run_results.Stage:
    return run_results.Stage(
        name=message.name,
        kind=message.kind,
        uses=message.uses,
        state=_state(message.state),
        attempts=message.attempts,
        finding_count=message.finding_count,
        outputs=tuple(message.outputs),
        refusals=_refusals(message.refusals),
        error=message.error,
        algorithm=message.algorithm,
        series=message.series,
        done=message.progress.done,
        total=message.progress.total,
        unit=message.progress.unit,
        message=message.progress.message,
        start_time=_time(message, "start_time"),
        end_time=_time(message, "end_time"),
        checks=_checks(message.checks),
    )


def _checks(messages: Iterable[stage_pb2.ObjectCheck]) -> tuple[run_results.ObjectCheck, ...]:
    return tuple(
        run_results.ObjectCheck(
            m.sop_class_uid,
            m.object_count,
            dict(sorted(m.compared.items())),
            m.largest_deviation_mm if m.HasField("largest_deviation_mm") else None,
        )
        for m in messages
    )


def _refusals(messages: Iterable[stage_pb2.Refusal]) -> tuple[run_results.Refusal, ...]:
    return tuple(run_results.Refusal(m.subject, m.rule, m.message, m.hint) for m in messages)


def _code(message: stage_pb2.Code) -> run_results.Code:
    return run_results.Code(message.value, message.scheme, message.meaning)


def _state(value: pipeline_pb2.State.ValueType) -> run_results.State:
    return cast("run_results.State", enum_word(pipeline_pb2.State, value, "STATE_"))


def _time(message: Message, field: str) -> datetime | None:
    if not message.HasField(field):
        return None
    stamp: Timestamp = getattr(message, field)
    return stamp.ToDatetime(tzinfo=UTC)
