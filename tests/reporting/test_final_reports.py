"""Draft, final, amended: who stands for a report, and that nothing of it changes afterwards."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from fhir.resources.R4B.bundle import Bundle
from pydicom import dcmread

from imaging.client.storage import StorageClient
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
    assert sr.ContentSequence == before.ContentSequence
    stored = [name.instance for name in final.documents if name.format == SR]
    assert (await services.storage.get_instance(stored[1])).sop_instance_uid == sr.SOPInstanceUID

    bundle = json.loads(await services.render(draft.name, FHIR))
    Bundle.model_validate(bundle)
    states = {each["resource"].get("status") for each in bundle["entry"] if "Patient" not in each["resource"]}
    assert states == {"final", "available", None}
    assert bundle["entry"][0]["resource"]["resultsInterpreter"] == [{"display": "Jane Doe, City Hospital"}]


async def test_nothing_changes_a_final_version_whoever_asks(services: Services) -> None:
    draft = await _draft(services)
    first, second = await asyncio.gather(*(_finalize(services, draft.name) for _ in range(2)))
    assert first == second
    documents = [await services.render(draft.name, form, number) for form in (SR, FHIR) for number in (1, 2)]
    again = await _finalize(services, draft.name, "Roe^Richard", "Elsewhere")
    assert again == first
    assert [await services.render(draft.name, form, number) for form in (SR, FHIR) for number in (1, 2)] == documents
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
    (tmp_path / "sr.dcm").write_bytes(await services.render(draft.name, SR))
    command = ["dciodvfy", str(tmp_path / "sr.dcm")]
    told = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, check=False)
    assert not [line for line in (told.stdout + told.stderr).splitlines() if line.startswith("Error")]
