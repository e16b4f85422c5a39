"""Making a version of a report final: from then on it never changes."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

from imaging.client.storage import StorageClient
from imaging.errors import FailedPrecondition, InvalidArgument, NotFound
from imaging.gate.check import Outgoing
from imaging.reporting.v1 import reporting_pb2, reporting_service_pb2
from imaging.storage.v1 import storage_pb2
from imaging.work.derived_output import store_derived
from reporting_svc.content.kept_content import unpack_content
from reporting_svc.content.report_content import ReportContent
from reporting_svc.dicom.verified_report import (
    Verification,
    verified_content,
    verified_fhir,
    verified_pdf,
    verified_sr,
)
from reporting_svc.finalizations import Finalizations
from reporting_svc.html.page import render_html
from reporting_svc.pdf.document import render_pdf
from reporting_svc.report_json import render_json
from reporting_svc.report_table import DocumentContent, ReportTable

_LONGEST: Final = 64
"""Of the name and of the organization, as of a DICOM LO and a group of a PN."""

STAGE: Final = "finalize"

_NAMES: Final = {
    reporting_pb2.DOCUMENT_FORMAT_SR: "report.verified.sr.dcm",
    reporting_pb2.DOCUMENT_FORMAT_PDF: "report.final.pdf",
    reporting_pb2.DOCUMENT_FORMAT_HTML: "report.final.html",
    reporting_pb2.DOCUMENT_FORMAT_JSON: "report.final.json",
    reporting_pb2.DOCUMENT_FORMAT_FHIR: "report.final.fhir.json",
}


class ReportFinalizer:
    """Makes reports final.

    The order is: who and when, written once; the verified objects, stored; then the verified documents with
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
        kept = await self._table.kept_content(report.name)
        content = unpack_content(kept) if kept is not None else None
        drafts = {form: each for each in report.documents if (form := each.format) in _NAMES}
        fhir = None
        if reporting_pb2.DOCUMENT_FORMAT_FHIR in drafts:
            fhir = (await self._table.document(report.name, reporting_pb2.DOCUMENT_FORMAT_FHIR, 1)).content
        made = await asyncio.to_thread(_verified_documents, drafts, draft.content, fhir, content, verification)
        origin = storage_pb2.Origin(
            kind=storage_pb2.Origin.KIND_DERIVED,
            run=report.run or report.name,
            stage=f"{STAGE}-{report.version}",
            attempt=1,
        )
        objects = [Outgoing(each) for each in made.objects.values()]
        stored = await store_derived(self._storage, objects, origin, source="reporting")
        names = {form: instance.name for form, instance in zip(made.objects, stored.instances, strict=True)}
        documents = [
            DocumentContent.of(
                form, drafts[form].media_type, _NAMES[form], each, number=2, instance=names.get(form, "")
            )
            for form, each in made.documents.items()
        ]
        await self._finalizations.finish(verification, documents, names[reporting_pb2.DOCUMENT_FORMAT_SR])
        return await self._table.get(report.name)


Form: TypeAlias = "reporting_pb2.DocumentFormat.ValueType"


@dataclass(frozen=True, slots=True)
class _Verified:
    """What has become of the documents of a draft, by their forms."""

    documents: dict[Form, bytes]
    objects: dict[Form, bytes]
    """Part 10 files: those of them that are stored."""


def _verified_documents(
    drafts: Mapping[Form, reporting_pb2.Document],
    draft_sr: bytes,
    draft_fhir: bytes | None,
    content: ReportContent | None,
    verification: Verification,
) -> _Verified:
    """The documents that tell who stands for them. Runs in a thread.

    Where it was not kept what the report says, as releases before did not, PDF, HTML and JSON stay as they are.
    """
    sr, pdf = verified_sr(draft_sr, verification, content), None
    documents = {reporting_pb2.DOCUMENT_FORMAT_SR: sr}
    objects = {reporting_pb2.DOCUMENT_FORMAT_SR: sr}
    if content is not None:
        final = verified_content(content, verification)
        if reporting_pb2.DOCUMENT_FORMAT_HTML in drafts:
            documents[reporting_pb2.DOCUMENT_FORMAT_HTML] = render_html(final)
        if reporting_pb2.DOCUMENT_FORMAT_JSON in drafts:
            documents[reporting_pb2.DOCUMENT_FORMAT_JSON] = render_json(final)
        if (stored := drafts.get(reporting_pb2.DOCUMENT_FORMAT_PDF)) is not None:
            documents[reporting_pb2.DOCUMENT_FORMAT_PDF] = pdf = render_pdf(final)
            series = stored.instance.partition("/instances/")[0]
            objects[reporting_pb2.DOCUMENT_FORMAT_PDF] = verified_pdf(final, pdf, sr, series, verification)
    if draft_fhir is not None:
        documents[reporting_pb2.DOCUMENT_FORMAT_FHIR] = verified_fhir(draft_fhir, verification, pdf)
    return _Verified(documents, objects)


def _checked(value: str, where: str, hint: str) -> str:
    told = value.strip()
    if not told or len(told) > _LONGEST or not told.isprintable() or "\\" in told:
        raise InvalidArgument("It is empty, too long, or has signs that DICOM has no room for", where=where, hint=hint)
    return told
