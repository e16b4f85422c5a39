"""A request for a report, checked before any work."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from imaging.dicom.uid import is_valid_uid
from imaging.errors import InvalidArgument
from imaging.reporting.v1 import reporting_pb2, reporting_service_pb2
from reporting_svc.content.report_template import ReportTemplate, find_template

ALL_FORMATS: Final = (
    reporting_pb2.DOCUMENT_FORMAT_SR,
    reporting_pb2.DOCUMENT_FORMAT_PDF,
    reporting_pb2.DOCUMENT_FORMAT_HTML,
    reporting_pb2.DOCUMENT_FORMAT_KEY_IMAGE,
    reporting_pb2.DOCUMENT_FORMAT_JSON,
    reporting_pb2.DOCUMENT_FORMAT_FHIR,
    reporting_pb2.DOCUMENT_FORMAT_KOS,
    reporting_pb2.DOCUMENT_FORMAT_SC,
)

_UNLESS_NAMED: Final = frozenset(ALL_FORMATS) - {reporting_pb2.DOCUMENT_FORMAT_SC}
"""What a request gets that names none: pictures in an archive only for who wants them there."""


@dataclass(frozen=True, slots=True)
class ReportRequest:
    """What was asked for."""

    message: reporting_service_pb2.CreateReportRequest
    template: ReportTemplate
    formats: frozenset[int]

    @property
    def request_id(self) -> str:
        """Of the stage."""
        return self.message.context.request_id


def checked_request(message: reporting_service_pb2.CreateReportRequest) -> ReportRequest:
    """The request with its template found.

    Raises
    ------
    InvalidArgument
        If it lacks something or names no study.
    NotFound
        If there is no such template.
    """
    _, _, study_instance_uid = message.study.partition("studies/")
    if not message.study.startswith("studies/") or not is_valid_uid(study_instance_uid):
        raise InvalidArgument("The study is not named", where="study", hint="Give studies/{study_instance_uid}.")
    if not message.context.HasField("effective_time"):
        raise InvalidArgument(
            "The request has no time",
            where="context.effective_time",
            hint="Give the creation time of the run; it stands in the documents.",
        )
    unknown = [each for each in message.outputs if each not in ALL_FORMATS]
    if unknown:
        raise InvalidArgument(
            f"There is no document format {unknown[0]}",
            where="outputs",
            hint="Use SR, PDF, HTML, KEY_IMAGE, JSON, FHIR, KOS or SC; nothing means all but SC.",
        )
    return ReportRequest(message, find_template(message.template), frozenset(message.outputs or _UNLESS_NAMED))
