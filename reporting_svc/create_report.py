"""The work of one request: gather, lay out, store, keep."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from opentelemetry import trace
from pydicom.dataset import Dataset

from imaging import deliberate_bug
from imaging.analysis.v1 import analysis_service_pb2_grpc
from imaging.client.storage import StorageClient
from imaging.dicom.uid import derived_uid
from imaging.gate.check import Outgoing
from imaging.reporting.v1 import reporting_pb2
from imaging.work import Report
from imaging.work.derived_output import Stored, derived_origin, store_derived
from reporting_svc.content.assemble_content import ReportIdentity, assemble_content
from reporting_svc.content.kept_content import pack_content
from reporting_svc.content.report_content import ReportContent
from reporting_svc.content.report_inputs import ReportInputs, gather_inputs
from reporting_svc.dicom.encapsulated_pdf import encapsulated_pdf
from reporting_svc.dicom.evidence import collect_references
from reporting_svc.dicom.key_object_selection import key_object_selection
from reporting_svc.dicom.secondary_capture import secondary_capture
from reporting_svc.dicom.structured_report import ReportUids, structured_report
from reporting_svc.fhir.bundle import MEDIA_TYPE, render_fhir
from reporting_svc.html.page import render_html
from reporting_svc.key_images.make import KeyImages, make_key_images
from reporting_svc.pdf.document import render_pdf
from reporting_svc.report_json import render_json
from reporting_svc.report_request import ReportRequest
from reporting_svc.report_table import DocumentContent, ReportTable, Reservation, Result

SOURCE: Final = "reporting"
_STEPS: Final = 5

_tracer = trace.get_tracer("reporting_svc")


@dataclass(frozen=True, slots=True)
class _Made:
    """The documents, and those of them that become instances."""

    documents: tuple[DocumentContent, ...]
    objects: tuple[tuple[DocumentContent, bytes], ...]
    """The documents that are stored, and their Part 10 files."""


class ReportMaker:
    """Makes reports.

    Parameters
    ----------
    storage, analysis
        Where images and findings come from; SR and PDF go to storage.
    table
        Where reports are kept.
    """

    def __init__(
        self,
        storage: StorageClient,
        analysis: analysis_service_pb2_grpc.AnalysisServiceAsyncStub,
        table: ReportTable,
    ) -> None:
        self._storage = storage
        self._analysis = analysis
        self._table = table

    async def create(self, request: ReportRequest, report: Report) -> Result:
        """The report of a request: the one that is kept, or a new one, which is kept before it comes back.

        The order is: version reserved, SR and PDF stored, then report and documents in one transaction. A request that
        was cut off in between is repeated as a whole under the same version and the same UIDs.

        Raises
        ------
        NotFound
            If the study is not stored.
        Unavailable, Cancelled, StaleAttempt
            See their texts.
        """
        kept = await self._table.result(request.request_id)
        if kept is not None:
            return kept
        message = request.message
        with _tracer.start_as_current_span("create report") as span:
            span.set_attribute("imaging.study", message.study)
            span.set_attribute("imaging.template", request.template.name)
            report(0, _STEPS, "steps", "gathering findings")
            inputs = await gather_inputs(self._storage, self._analysis, message)
            report(1, _STEPS, "steps", "drawing key images")
            key_images = await make_key_images(
                self._storage,
                inputs.groups,
                series=inputs.series,
                segmentations=inputs.sources.segmentations,
                at_most=request.template.max_key_images,
            )
            place = await self._table.reserve(request.request_id, message.context.run, message.study)
            content = _content(request, inputs, key_images, place)
            uids = _uids(request, place)
            report(2, _STEPS, "steps", "writing documents")
            made = await asyncio.to_thread(_documents, request, content, inputs, uids)
            report(3, _STEPS, "steps", "storing documents")
            stored = await self._store(request, made)
            report(4, _STEPS, "steps", "keeping the report")
            kept_as = _report(request, content, place, made, stored)
            names = [each.name for each in stored.instances]
            said = await asyncio.to_thread(pack_content, content)
            result = await self._table.finish(kept_as, made.documents, names, said)
            report(_STEPS, _STEPS, "steps", "done")
            return result

    async def _store(self, request: ReportRequest, made: _Made) -> Stored:
        """Check the objects and store them as DERIVED; their names are noted in the documents too."""
        if not made.objects:
            return Stored([], [])
        objects = [Outgoing(content) for _, content in made.objects]
        origin = derived_origin(request.message.context)
        stored = await store_derived(self._storage, objects, origin, source=SOURCE)
        for (each, _), instance in zip(made.objects, stored.instances, strict=True):
            each.document.instance = instance.name
        return stored


def _content(request: ReportRequest, inputs: ReportInputs, key_images: KeyImages, place: Reservation) -> ReportContent:
    context = trace.get_current_span().get_span_context()
    trace_id = format(context.trace_id, "032x") if context.is_valid else ""
    return assemble_content(
        request=request.message,
        study=inputs.study,
        series=inputs.series,
        groups=inputs.groups,
        template=request.template,
        identity=ReportIdentity(place.name, place.version, place.predecessor, trace_id),
        key_images=key_images.images,
        notes=(*inputs.notes, *key_images.notes),
    )


def _uids(request: ReportRequest, place: Reservation) -> ReportUids:
    message = request.message
    parts: tuple[str, ...] = (
        message.study,
        str(message.manifest_version),
        json.dumps([stage.request_id for stage in message.stages]),
        request.template.name,
        str(place.version),
    )
    if deliberate_bug.active("new-uids-on-retry"):
        parts = (*parts, secrets.token_hex(8))
    return ReportUids(
        sr_series=derived_uid("report sr series", *parts),
        sr_instance=derived_uid("report sr", *parts),
        pdf_series=derived_uid("report pdf series", *parts),
        pdf_instance=derived_uid("report pdf", *parts),
        parts=("report", *parts),
    )


def _documents(request: ReportRequest, content: ReportContent, inputs: ReportInputs, uids: ReportUids) -> _Made:
    """All documents that were asked for. Runs in a thread."""
    wanted = request.formats
    documents: list[DocumentContent] = []
    objects: list[tuple[DocumentContent, bytes]] = []
    pdf: bytes | None = None

    def note(document: DocumentContent, part10: bytes) -> None:
        documents.append(document)
        objects.append((document, part10))

    if reporting_pb2.DOCUMENT_FORMAT_SR in wanted:
        sr = structured_report(content, inputs.sources, uids)
        note(DocumentContent.of(reporting_pb2.DOCUMENT_FORMAT_SR, "application/dicom", "report.sr.dcm", sr), sr)
    if reporting_pb2.DOCUMENT_FORMAT_PDF in wanted:
        pdf = render_pdf(content)
        note(
            DocumentContent.of(reporting_pb2.DOCUMENT_FORMAT_PDF, "application/pdf", "report.pdf", pdf),
            encapsulated_pdf(content, pdf, inputs.sources.identity, _sources(inputs), uids),
        )
    if reporting_pb2.DOCUMENT_FORMAT_HTML in wanted:
        documents.append(
            DocumentContent.of(
                reporting_pb2.DOCUMENT_FORMAT_HTML, "text/html; charset=utf-8", "report.html", render_html(content)
            )
        )
    if reporting_pb2.DOCUMENT_FORMAT_KEY_IMAGE in wanted:
        documents += [
            DocumentContent.of(
                reporting_pb2.DOCUMENT_FORMAT_KEY_IMAGE,
                "image/png",
                f"key-image-{number}.png",
                image.png,
                number=number,
            )
            for number, image in enumerate(content.key_images, start=1)
        ]
    if reporting_pb2.DOCUMENT_FORMAT_JSON in wanted:
        documents.append(
            DocumentContent.of(
                reporting_pb2.DOCUMENT_FORMAT_JSON, "application/json", "report.json", render_json(content)
            )
        )
    if reporting_pb2.DOCUMENT_FORMAT_FHIR in wanted:
        bundle = render_fhir(content, list(inputs.series.values()), pdf)
        documents.append(DocumentContent.of(reporting_pb2.DOCUMENT_FORMAT_FHIR, MEDIA_TYPE, "report.fhir.json", bundle))
    if reporting_pb2.DOCUMENT_FORMAT_KOS in wanted:
        selection = key_object_selection(content, inputs.sources.instances, inputs.sources.identity, uids)
        if selection is not None:
            form = reporting_pb2.DOCUMENT_FORMAT_KOS
            note(DocumentContent.of(form, "application/dicom", "key-images.kos.dcm", selection), selection)
    if reporting_pb2.DOCUMENT_FORMAT_SC in wanted:
        for number, image in enumerate(content.key_images, start=1):
            source = inputs.sources.instances.get(image.sop_instance_uid)
            picture = secondary_capture(content, number, image, source, inputs.sources.identity, uids)
            form, name = reporting_pb2.DOCUMENT_FORMAT_SC, f"key-image-{number}.sc.dcm"
            note(DocumentContent.of(form, "application/dicom", name, picture, number=number), picture)
    return _Made(tuple(documents), tuple(objects))


def _sources(inputs: ReportInputs) -> Sequence[Dataset]:
    return collect_references(inputs.groups, inputs.sources.segmentations, inputs.sources.identity)


def _report(
    request: ReportRequest, content: ReportContent, place: Reservation, made: _Made, stored: Stored
) -> reporting_pb2.Report:
    message = request.message
    return reporting_pb2.Report(
        name=place.name,
        request_id=request.request_id,
        run=message.context.run,
        study=message.study,
        manifest_version=message.manifest_version,
        version=place.version,
        predecessor=place.predecessor.report if place.predecessor else "",
        documents=[each.document for each in made.documents],
        finding_count=content.finding_count,
        refusals=[refusal for stage in message.stages for refusal in stage.refusals],
        checks=stored.checks,
        state=reporting_pb2.REPORT_STATE_DRAFT,
    )
