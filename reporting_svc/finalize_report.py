"""Making a version of a report final: from then on it never changes."""

from __future__ import annotations

import asyncio
from typing import Final

from imaging.client.storage import StorageClient
from imaging.errors import FailedPrecondition, InvalidArgument, NotFound
from imaging.gate.check import Outgoing
from imaging.reporting.v1 import reporting_pb2, reporting_service_pb2
from imaging.storage.v1 import storage_pb2
from imaging.work.derived_output import store_derived
from reporting_svc.dicom.verified_report import verified_fhir, verified_sr
from reporting_svc.finalizations import Finalizations
from reporting_svc.report_table import DocumentContent, ReportTable

_LONGEST: Final = 64
"""Of the name and of the organization, as of a DICOM LO and a group of a PN."""

STAGE: Final = "finalize"


class ReportFinalizer:
    """Makes reports final.

    The order is: who and when, written once; the verified structured report, stored; then the verified documents with
    the new state in one transaction. What was cut off in between is ended by the next call, with the same bytes.
    """

    def __init__(self, storage: StorageClient, table: ReportTable, finalizations: Finalizations) -> None:
        self._storage = storage
        self._table = table
        self._finalizations = finalizations

    async def finalize(self, request: reporting_service_pb2.FinalizeReportRequest, peer: str) -> reporting_pb2.Report:
        """The final version; as it is, if it was made final before.

        Raises
        ------
        InvalidArgument
            Without a name or an organization.
        NotFound
            If there is no such report.
        FailedPrecondition
            If a later version is final, or the version has no structured report to be verified.
        ObjectRefused, Unavailable
            See their texts.
        """
        observer, organization = (
            _checked(request.observer, "observer", "Give the name of the person, as Family^Given."),
            _checked(request.organization, "organization", "Give the organization that the person answers for."),
        )
        report = await self._table.get(request.name)
        if report.state != reporting_pb2.REPORT_STATE_DRAFT:
            return report
        try:
            draft = await self._table.document(report.name, reporting_pb2.DOCUMENT_FORMAT_SR, 1)
        except NotFound:
            raise FailedPrecondition(
                "The report has no structured report that could be verified",
                where=report.name,
                hint="Make it with the document SR.",
            ) from None
        verification = await self._finalizations.begin(report, observer, organization, peer)
        content = await asyncio.to_thread(verified_sr, draft.content, verification)
        origin = storage_pb2.Origin(
            kind=storage_pb2.Origin.KIND_DERIVED,
            run=report.run or report.name,
            stage=f"{STAGE}-{report.version}",
            attempt=1,
        )
        stored = await store_derived(self._storage, [Outgoing(content)], origin, source="reporting")
        documents = [_beside(draft.document, "report.verified.sr.dcm", content, stored.instances[0].name)]
        for each in report.documents:
            if each.format == reporting_pb2.DOCUMENT_FORMAT_FHIR:
                fhir = await self._table.document(report.name, each.format, 1)
                bundle = verified_fhir(fhir.content, verification)
                documents.append(_beside(fhir.document, "report.final.fhir.json", bundle))
        await self._finalizations.finish(verification, documents, stored.instances[0].name)
        return await self._table.get(report.name)


def _checked(value: str, where: str, hint: str) -> str:
    told = value.strip()
    if not told or len(told) > _LONGEST or not told.isprintable() or "\\" in told:
        raise InvalidArgument("It is empty, too long, or has signs that DICOM has no room for", where=where, hint=hint)
    return told


def _beside(draft: reporting_pb2.Document, file_name: str, content: bytes, instance: str = "") -> DocumentContent:
    """What a document of the draft has become."""
    return DocumentContent.of(draft.format, draft.media_type, file_name, content, number=2, instance=instance)
