"""Draft, final, amended: who stands for a report, and that nothing of it changes afterwards."""

from __future__ import annotations

import asyncio
import base64
import json
import shutil
import subprocess
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from fhir.resources.R4B.bundle import Bundle
from pydicom import dcmread
from pydicom.dataset import Dataset

from imaging.client.storage import StorageClient
from imaging.derived.deterministic import part10_bytes
from imaging.errors import FailedPrecondition, InvalidArgument, NotFound, Unavailable
from imaging.reporting.v1 import reporting_pb2, reporting_service_pb2
from imaging.rpc.channel import open_channel
from imaging.rpc.status import domain_errors
from imaging.settings.database import database_access
from imaging.storage.v1 import storage_pb2
from reporting_svc.dicom.verified_report import Verification
from reporting_svc.finalizations import Finalizations
from reporting_svc.finalize_report import ReportFinalizer
from reporting_svc.report_table import DocumentContent, ReportTable
from tests.ct_series import ct_series
from tests.installation.in_process import services_in_process
from tests.reporting.conftest import Services, clients_of, stage_context

SR, FHIR = reporting_pb2.DOCUMENT_FORMAT_SR, reporting_pb2.DOCUMENT_FORMAT_FHIR
PDF, HTML, JSON = (
    reporting_pb2.DOCUMENT_FORMAT_PDF,
    reporting_pb2.DOCUMENT_FORMAT_HTML,
    reporting_pb2.DOCUMENT_FORMAT_JSON,
)


async def _draft(services: Services, number: int = 1) -> Any:
    series = ct_series("final-reports", slices=4, size=32)
    if number == 1:
        await services.send(series.instances.values())
    stage = await services.analyze(series.series, "image-statistics", f"run-{number}/statistics")
    request = reporting_service_pb2.CreateReportRequest(
        context=stage_context(f"run-{number}/report", "report"),
        study=series.study,
        manifest_version=number,
        template="quantitative",
        stages=[stage],
    )
    return (await services.report(request)).report


async def _finalize(
    services: Services, name: str, observer: str = "Doe^Jane", organization: str = "City Hospital"
) -> Any:
    request = reporting_service_pb2.FinalizeReportRequest(name=name, observer=observer, organization=organization)
    with domain_errors():
        return (await services.reporting.FinalizeReport(request)).report


async def test_a_final_version_is_verified_by_a_person_and_names_its_draft(services: Services) -> None:
    draft = await _draft(services)
    assert draft.state == reporting_pb2.REPORT_STATE_DRAFT
    before = dcmread(BytesIO(await services.render(draft.name, SR)))
    assert (before.CompletionFlag, before.VerificationFlag) == ("COMPLETE", "UNVERIFIED")
    assert before.PreliminaryFlag == "PRELIMINARY"

    final = await _finalize(services, draft.name)
    assert final.state == reporting_pb2.REPORT_STATE_FINAL
    assert (final.verification.observer, final.verification.organization) == ("Doe^Jane", "City Hospital")
    assert final.verification.HasField("time")
    sr = dcmread(BytesIO(await services.render(draft.name, SR)))
    assert (sr.CompletionFlag, sr.VerificationFlag, sr.PreliminaryFlag) == ("COMPLETE", "VERIFIED", "FINAL")
    (observer,) = sr.VerifyingObserverSequence
    assert (observer.VerifyingObserverName, observer.VerifyingOrganization) == ("Doe^Jane", "City Hospital")
    (predecessor,) = sr.PredecessorDocumentsSequence
    reference = predecessor.ReferencedSeriesSequence[0].ReferencedSOPSequence[0]
    assert reference.ReferencedSOPInstanceUID == before.SOPInstanceUID != sr.SOPInstanceUID
    assert _measured(sr) == _measured(before)
    assert "without review" in _texts(before)
    assert "without review" not in _texts(sr)
    assert "Verified by Jane Doe, City Hospital" in _texts(sr)
    stored = [name.instance for name in final.documents if name.format == SR]
    assert (await services.storage.get_instance(stored[1])).sop_instance_uid == sr.SOPInstanceUID

    bundle = json.loads(await services.render(draft.name, FHIR))
    Bundle.model_validate(bundle)
    states = {each["resource"].get("status") for each in bundle["entry"] if "Patient" not in each["resource"]}
    assert states == {"final", "available", None}
    assert bundle["entry"][0]["resource"]["resultsInterpreter"] == [{"display": "Jane Doe, City Hospital"}]


def _texts(sr: Dataset) -> str:
    return "\n".join(str(element.value) for element in sr.iterall() if element.keyword == "TextValue")


def _measured(sr: Dataset) -> Dataset:
    (container,) = [item for item in sr.ContentSequence if item.ConceptNameCodeSequence[0].CodeValue == "126010"]
    return container


async def test_what_people_read_of_a_final_version_tells_who_verified_it_and_when(services: Services) -> None:
    draft = await _draft(services)
    before = {form: await services.render(draft.name, form) for form in (PDF, HTML, JSON)}
    assert "Draft · not verified by a person" in before[HTML].decode()
    assert "without review" in before[HTML].decode()
    final = await _finalize(services, draft.name, "Doe^<b>Jane")
    when = final.verification.time.ToDatetime().strftime("%Y-%m-%d %H:%M UTC")
    told = f"verified by &lt;b&gt;Jane Doe, City Hospital, {when}"
    html = (await services.render(draft.name, HTML)).decode()
    assert f"Final · {told}" in html
    assert "without review" not in html
    assert [await services.render(draft.name, form, 1) for form in before] == list(before.values())
    by = json.loads(await services.render(draft.name, JSON))["verified"]
    assert (by["observer"], by["organization"], by["replaced_version"]) == ("<b>Jane Doe", "City Hospital", 0)

    pdf = await services.render(draft.name, PDF)
    assert pdf != before[PDF]
    (instance,) = [each.instance for each in final.documents if each.format == PDF and each.number == 2]
    (drafted,) = [each.instance for each in final.documents if each.format == PDF and each.number == 1]
    assert instance.partition("/instances/")[0] == drafted.partition("/instances/")[0]
    stored, of_draft = [await _object(services, name) for name in (instance, drafted)]
    assert (of_draft.VerificationFlag, stored.VerificationFlag) == ("UNVERIFIED", "VERIFIED")
    assert stored.EncapsulatedDocument[: stored.EncapsulatedDocumentLength] == pdf
    changed = {element.keyword for element in stored if element != of_draft.get(element.tag)}
    assert changed == {
        "SOPInstanceUID",
        "InstanceNumber",
        "ContentDate",
        "ContentTime",
        "VerificationFlag",
        "EncapsulatedDocument",
        "EncapsulatedDocumentLength",
    }
    bundle = json.loads(await services.render(draft.name, FHIR))
    (form,) = bundle["entry"][0]["resource"]["presentedForm"]
    assert base64.b64decode(form["data"]) == pdf


async def _object(services: Services, name: str) -> Dataset:
    ((_, content),) = [item async for item in services.storage.retrieve_instances(name)]
    return dcmread(BytesIO(content))


async def test_nothing_changes_a_final_version_whoever_asks(services: Services) -> None:
    draft = await _draft(services)
    first, second = await asyncio.gather(*(_finalize(services, draft.name) for _ in range(2)))
    assert first == second
    documents = [await services.render(draft.name, form, number) for form in (SR, FHIR, PDF, HTML) for number in (1, 2)]
    again = await _finalize(services, draft.name, "Roe^Richard", "Elsewhere")
    assert again == first
    assert [
        await services.render(draft.name, form, number) for form in (SR, FHIR, PDF, HTML) for number in (1, 2)
    ] == documents
    assert (await _draft(services)).name == draft.name  # the same request again
    request = reporting_service_pb2.GetReportRequest(name=draft.name)
    assert (await services.reporting.GetReport(request)).report == first


class _CutOff(Finalizations):
    """Ends before the verified documents are kept, as a process does that dies there."""

    async def finish(self, verification: Verification, documents: list[DocumentContent], instance: str) -> None:
        raise Unavailable("The process has died")


@pytest.mark.parametrize("is_stored", [False, True], ids=["before-it-is-stored", "before-it-is-kept"])
async def test_what_was_cut_off_is_ended_by_the_next_call_in_the_name_of_the_first(
    tmp_path: Path, is_stored: bool
) -> None:
    async with services_in_process(tmp_path, "storage", "analysis") as others:
        addresses: dict[str, object] = {
            f"{name}.address": getattr(others, name).address for name in ("storage", "analysis")
        }
        async with (
            services_in_process(tmp_path, "reporting", overrides=addresses) as settings,
            clients_of(settings) as services,
        ):
            draft = await _draft(services)
        reached = settings.storage.address if is_stored else "127.0.0.1:1"
        await _cut_off(ReportTable.open(database_access(settings, "reporting")), reached, draft.name)
        async with (
            services_in_process(tmp_path, "reporting", overrides=addresses) as settings,
            clients_of(settings) as services,
        ):
            before = await _verified(services, draft)
            assert len(before) == is_stored
            final = await _finalize(services, draft.name, "Roe^Richard", "Elsewhere")
            assert (final.verification.observer, final.verification.organization) == ("Doe^Jane", "City Hospital")
            (after,) = await _verified(services, draft)
            assert after in before or not is_stored  # the same bytes again: they were stored once
            sr = dcmread(BytesIO(await services.render(draft.name, SR)))
            assert sr.SOPInstanceUID == after.sop_instance_uid


async def _cut_off(table: ReportTable, storage_address: str, name: str) -> None:
    async with open_channel(storage_address) as channel:
        storage = StorageClient(channel)
        finalizer = ReportFinalizer(storage, table, _CutOff(table.database))
        request = reporting_service_pb2.FinalizeReportRequest(
            name=name, observer="Doe^Jane", organization="City Hospital"
        )
        with pytest.raises(Unavailable):
            await finalizer.finalize(request, "127.0.0.1")
        await storage.close()
    await table.close()


async def _verified(services: Services, draft: Any) -> list[storage_pb2.Instance]:
    """What is stored beside the structured report of the draft, in its series."""
    own = next(each.instance for each in draft.documents if each.format == SR)
    found = services.storage.search_instances(own.partition("/instances/")[0])
    return [instance async for instance in found if instance.name != own]


async def test_a_later_version_amends_the_final_one_and_names_it(services: Services) -> None:
    first = await _finalize(services, (await _draft(services)).name)
    later = await _draft(services, 2)
    amended = await _finalize(services, later.name)
    assert amended.state == reporting_pb2.REPORT_STATE_AMENDED
    assert amended.replaces == first.name
    sr = dcmread(BytesIO(await services.render(later.name, SR)))
    named = {
        reference.ReferencedSOPInstanceUID
        for document in sr.PredecessorDocumentsSequence
        for series in document.ReferencedSeriesSequence
        for reference in series.ReferencedSOPSequence
    }
    replaced = dcmread(BytesIO(await services.render(first.name, SR)))
    assert replaced.SOPInstanceUID in named
    bundle = json.loads(await services.render(later.name, FHIR))
    assert bundle["entry"][0]["resource"]["status"] == "amended"
    assert first.name in json.dumps(bundle["entry"][0]["resource"]["extension"])
    request = reporting_service_pb2.GetReportRequest(name=first.name)
    assert (await services.reporting.GetReport(request)).report == first


async def test_an_older_draft_cannot_become_final_after_a_newer_one(services: Services) -> None:
    older, newer = await _draft(services), await _draft(services, 2)
    await _finalize(services, newer.name)
    with pytest.raises(FailedPrecondition, match=r"Version 2 .* is final already"):
        await _finalize(services, older.name)


async def test_nobody_and_nothing_are_refused(services: Services) -> None:
    draft = await _draft(services)
    for observer, organization in (("", "City"), ("Doe^Jane", " "), ("x" * 65, "City"), ("Doe\\Jane", "City")):
        with pytest.raises(InvalidArgument):
            await _finalize(services, draft.name, observer, organization)
    with pytest.raises(NotFound):
        await _finalize(services, "reports/none")


@pytest.mark.peers
@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="dciodvfy (dicom3tools) is not installed")
async def test_dciodvfy_finds_no_error_in_a_verified_report(services: Services, tmp_path: Path) -> None:
    draft = await _draft(services)
    await _finalize(services, draft.name)
    request = reporting_service_pb2.GetReportRequest(name=draft.name)
    final = (await services.reporting.GetReport(request)).report
    for form in (SR, PDF):
        (name,) = [each.instance for each in final.documents if each.format == form and each.number == 2]
        (tmp_path / "object.dcm").write_bytes(part10_bytes(await _object(services, name)))
        command = ["dciodvfy", str(tmp_path / "object.dcm")]
        told = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, check=False)
        assert not [line for line in (told.stdout + told.stderr).splitlines() if line.startswith("Error")]
