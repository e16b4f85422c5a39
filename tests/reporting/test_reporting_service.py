"""CreateReport and its documents over gRPC, with real storage and analysis behind them."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Sequence
from pathlib import Path

import highdicom
import numpy as np
import pydicom
import pytest
from PIL import Image

from imaging.analysis.v1 import analysis_service_pb2
from imaging.deliberate_bug import VARIABLE
from imaging.derived.deterministic import part10_bytes
from imaging.errors import InvalidArgument, NotFound
from imaging.phantom.ct_chest import ct_chest_phantom
from imaging.phantom.ct_series import phantom_datasets
from imaging.reporting.v1 import reporting_pb2, reporting_service_pb2, reporting_service_pb2_grpc
from imaging.rpc.channel import open_channel
from imaging.rpc.status import domain_errors
from imaging.storage.v1 import storage_pb2, storage_service_pb2, storage_service_pb2_grpc
from tests.ct_series import CtSeries, ct_series
from tests.installation.in_process import services_in_process
from tests.reporting.conftest import Services, stage_context

SR = reporting_pb2.DOCUMENT_FORMAT_SR
PDF = reporting_pb2.DOCUMENT_FORMAT_PDF
HTML = reporting_pb2.DOCUMENT_FORMAT_HTML
KEY_IMAGE = reporting_pb2.DOCUMENT_FORMAT_KEY_IMAGE
JSON = reporting_pb2.DOCUMENT_FORMAT_JSON
FHIR = reporting_pb2.DOCUMENT_FORMAT_FHIR
KOS = reporting_pb2.DOCUMENT_FORMAT_KOS


def _request(
    study: str, stages: Sequence[reporting_service_pb2.StageSummary], request_id: str = "run-1/report", attempt: int = 1
) -> reporting_service_pb2.CreateReportRequest:
    return reporting_service_pb2.CreateReportRequest(
        context=stage_context(request_id, "report", attempt),
        study=study,
        manifest_version=1,
        template="quantitative",
        recipe="general 1",
        stages=stages,
    )


async def _measured(services: Services, seed: str = "report") -> tuple[CtSeries, reporting_service_pb2.StageSummary]:
    sent = ct_series(seed, slices=4, size=32)
    await services.send(sent.instances.values())
    await services.storage.complete_study(sent.study)
    return sent, await services.analyze(sent.series, "image-statistics", f"{seed}/statistics")


async def test_a_report_has_all_documents_and_its_objects_are_stored_as_derived(services: Services) -> None:
    sent, stage = await _measured(services)
    result = await services.report(_request(sent.study, [stage]))
    report = result.report
    assert (report.version, report.predecessor, report.study) == (1, "", sent.study)
    assert {document.format for document in report.documents} == {SR, PDF, HTML, KEY_IMAGE, JSON, FHIR, KOS}
    for document in report.documents:
        content = await services.render(report.name, document.format, document.number)
        assert hashlib.sha256(content).hexdigest() == document.sha256
        assert sent.study_instance_uid not in document.file_name
    classes = ("1.2.840.10008.5.1.4.1.1.88.34", "1.2.840.10008.5.1.4.1.1.104.1", "1.2.840.10008.5.1.4.1.1.88.59")
    for name, sop_class in zip(result.instances, classes, strict=True):
        ((instance, content),) = [item async for item in services.storage.retrieve_instances(name)]
        assert instance.sop_class_uid == sop_class
        assert (instance.origin.kind, instance.origin.run) == (storage_pb2.Origin.KIND_DERIVED, "runs/1")
        dataset = pydicom.dcmread(io.BytesIO(content))
        assert (dataset.PatientID, dataset.StudyInstanceUID) == ("ID-report", sent.study_instance_uid)
    by_format = {document.format: document for document in report.documents}
    assert [by_format[form].instance for form in (SR, PDF, KOS)] == list(result.instances)


async def test_key_images_are_stored_as_pictures_where_that_is_asked_for(services: Services) -> None:
    sent, stage = await _measured(services)
    request = _request(sent.study, [stage])
    request.outputs.extend([reporting_pb2.DOCUMENT_FORMAT_SC, KEY_IMAGE])
    result = await services.report(request)
    pictures = [each for each in result.report.documents if each.format == reporting_pb2.DOCUMENT_FORMAT_SC]
    assert [each.instance for each in pictures] == list(result.instances)
    assert [each.number for each in pictures] == list(range(1, len(pictures) + 1)) != []
    for each in pictures:
        ((instance, content),) = [item async for item in services.storage.retrieve_instances(each.instance)]
        assert instance.sop_class_uid == "1.2.840.10008.5.1.4.1.1.7"
        png = await services.render(result.report.name, KEY_IMAGE, each.number)
        with Image.open(io.BytesIO(png)) as picture:
            assert (pydicom.dcmread(io.BytesIO(content)).pixel_array == np.asarray(picture.convert("RGB"))).all()


async def test_the_values_of_the_documents_are_those_of_the_findings(services: Services) -> None:
    sent, stage = await _measured(services)
    result = await services.report(_request(sent.study, [stage]))
    with domain_errors():
        answer = await services.analysis.ListFindings(
            analysis_service_pb2.ListFindingsRequest(request_ids=[stage.request_id], page_size=1000)
        )
    assert result.report.finding_count == len(answer.findings) > 0
    values = sorted(finding.value for finding in answer.findings)
    data = json.loads(await services.render(result.report.name, JSON))
    assert sorted(each["value"] for group in data["groups"] for each in group["measurements"]) == values
    content = pydicom.dcmread(io.BytesIO(await services.render(result.report.name, SR)))
    report = highdicom.sr.Comprehensive3DSR.from_dataset(content).content
    groups = report.get_planar_roi_measurement_groups()
    assert sorted(each.value for group in groups for each in group.get_measurements()) == values
    for group in groups:
        region = group.roi
        assert region.graphic_type.value == "POLYLINE"
        assert region.value.min() == 0
        assert region.value.max() == 32
        source = region.ContentSequence[0].ReferencedSOPSequence[0]
        assert source.ReferencedSOPInstanceUID in sent.instances
    assert data["provenance"]["manifest_version"] == 1
    assert len(data["provenance"]["manifest_digest"]) == 64
    picture = Image.open(io.BytesIO(await services.render(result.report.name, KEY_IMAGE)))
    assert picture.size == (512, 512)


async def test_a_repeated_request_gets_the_kept_report_also_after_a_restart(tmp_path: Path, services: Services) -> None:
    sent, stage = await _measured(services)
    first = await services.report(_request(sent.study, [stage]))
    again = await services.report(_request(sent.study, [stage], attempt=2))
    assert again == first
    settings = services.settings
    overrides = {"storage.address": settings.storage.address, "analysis.address": settings.analysis.address}
    # A second service with a copy of the first one's database is what a restart finds.
    copy = tmp_path / "restarted"
    (copy / "reporting").mkdir(parents=True)
    source = tmp_path / "reporting"
    for file in source.iterdir():
        (copy / "reporting" / file.name).write_bytes(file.read_bytes())
    async with (
        services_in_process(copy, "reporting", overrides=dict(overrides)) as restarted,
        open_channel(restarted.reporting.address) as channel,
    ):
        other = Services(
            settings,
            services.storage,
            services.analysis,
            reporting_service_pb2_grpc.ReportingServiceStub(channel),
        )
        assert await other.report(_request(sent.study, [stage], attempt=3)) == first


async def test_a_lost_database_leads_to_the_same_objects(tmp_path: Path, services: Services) -> None:
    sent, stage = await _measured(services)
    first = await services.report(_request(sent.study, [stage]))
    settings = services.settings
    overrides = {"storage.address": settings.storage.address, "analysis.address": settings.analysis.address}
    async with (
        services_in_process(tmp_path / "empty", "reporting", overrides=dict(overrides)) as emptied,
        open_channel(emptied.reporting.address) as channel,
    ):
        stub = reporting_service_pb2_grpc.ReportingServiceStub(channel)
        other = Services(settings, services.storage, services.analysis, stub)
        again = await other.report(_request(sent.study, [stage], attempt=2))
    assert again.instances == first.instances
    assert [each.sha256 for each in again.report.documents] == [each.sha256 for each in first.report.documents]
    stored = [item async for item in services.storage.search_instances(sent.study)]
    assert len(stored) == len(sent.instances) + 3


async def test_the_deliberate_bug_makes_other_objects(
    tmp_path: Path, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent, stage = await _measured(services)
    first = await services.report(_request(sent.study, [stage]))
    monkeypatch.setenv(VARIABLE, "new-uids-on-retry")
    second = await services.report(_request(sent.study, [stage], request_id="run-2/report"))
    assert not set(first.instances) & set(second.instances)


async def test_the_next_report_of_a_study_names_its_predecessor(services: Services) -> None:
    sent, stage = await _measured(services)
    first = await services.report(_request(sent.study, [stage]))
    second = await services.report(_request(sent.study, [stage], request_id="run-2/report"))
    assert (second.report.version, second.report.predecessor) == (2, first.report.name)
    document = pydicom.dcmread(io.BytesIO(await services.render(second.report.name, SR)))
    (item,) = document.PredecessorDocumentsSequence
    uid = item.ReferencedSeriesSequence[0].ReferencedSOPSequence[0].ReferencedSOPInstanceUID
    assert first.instances[0].endswith(uid)
    with domain_errors():
        page = await services.reporting.ListReports(reporting_service_pb2.ListReportsRequest(study=sent.study))
        got = await services.reporting.GetReport(reporting_service_pb2.GetReportRequest(name=first.report.name))
    assert [report.version for report in page.reports] == [2, 1]
    assert got.report == first.report


async def test_only_the_asked_documents_are_made(services: Services) -> None:
    sent, stage = await _measured(services)
    request = _request(sent.study, [stage])
    request.outputs.extend([HTML, JSON])
    result = await services.report(request)
    assert [document.format for document in result.report.documents] == [HTML, JSON]
    assert list(result.instances) == []
    with pytest.raises(NotFound):
        await services.render(result.report.name, PDF)


async def test_refusals_make_a_report_without_findings(services: Services) -> None:
    sent = ct_series("refused", slices=4, size=32)
    await services.send(sent.instances.values())
    stage = await services.analyze(sent.series, "lung-emphysema", "refused/lungs")
    assert stage.refusals
    result = await services.report(_request(sent.study, [stage]))
    assert result.report.finding_count == 0
    assert list(result.report.refusals) == list(stage.refusals)
    page = (await services.render(result.report.name, HTML)).decode()
    assert "Nothing was measured in this study." in page
    assert stage.refusals[0].message[:20] in page


async def test_no_stage_means_no_foreign_findings(services: Services) -> None:
    sent, _ = await _measured(services)
    result = await services.report(_request(sent.study, []))
    assert result.report.finding_count == 0


async def test_a_frame_that_cannot_be_shown_is_told_and_the_report_goes_on(services: Services) -> None:
    sent, stage = await _measured(services)
    # The series with its findings stays, its images are gone.
    other = ct_series("other", slices=4, size=32)
    await services.send(other.instances.values())
    await services.storage.complete_study(other.study)
    with domain_errors():
        async with open_channel(services.settings.storage.address) as channel:
            stub: storage_service_pb2_grpc.StorageServiceAsyncStub = storage_service_pb2_grpc.StorageServiceStub(
                channel
            )
            await stub.DeleteStudy(storage_service_pb2.DeleteStudyRequest(name=sent.study))
    result = await services.report(_request(other.study, [stage]))
    data = json.loads(await services.render(result.report.name, JSON))
    assert data["key_images"] == []
    assert data["notes"]


async def test_bad_requests_are_refused_with_a_hint(services: Services) -> None:
    sent, stage = await _measured(services)
    request = _request(sent.study, [stage])
    request.template = "nice"
    with pytest.raises(NotFound, match="ct-quantitative"):
        await services.report(request)
    with pytest.raises(InvalidArgument):
        await services.report(_request("study 1", [stage]))
    with pytest.raises(NotFound):
        await services.report(_request("studies/1.2.3.4", [stage], request_id="none"))
    request = _request(sent.study, [stage])
    request.context.ClearField("effective_time")
    with pytest.raises(InvalidArgument, match="has no time"):
        await services.report(request)
    request = _request(sent.study, [stage])
    request.outputs.append(99)  # type: ignore[arg-type]
    with pytest.raises(InvalidArgument, match="99"):
        await services.report(request)


async def test_templates_are_listed(services: Services) -> None:
    answer = await services.reporting.ListTemplates(reporting_service_pb2.ListTemplatesRequest())
    assert list(answer.templates) == ["ct-quantitative", "quantitative"]


async def test_the_lesions_of_the_phantom_are_drawn_into_the_key_images(services: Services) -> None:
    volume, truth = ct_chest_phantom(1, (3.0, 2.4, 2.4))
    contents = [part10_bytes(dataset) for dataset in phantom_datasets(volume)]
    await services.send(contents)
    header = pydicom.dcmread(io.BytesIO(contents[0]), stop_before_pixels=True)
    study = f"studies/{header.StudyInstanceUID}"
    series = f"{study}/series/{header.SeriesInstanceUID}"
    stage = await services.analyze(series, "lesion-measurement", "phantom/lesions")
    request = _request(study, [stage])
    request.template = "ct-quantitative"
    result = await services.report(request)
    data = json.loads(await services.render(result.report.name, JSON))
    assert data["headlines"][0]["value"] == str(len(truth.lesions))
    labels = {name for image in data["key_images"] for name, _ in image["legend"]}
    assert labels == {f"Lesion {number}" for number in range(1, len(truth.lesions) + 1)}
    for number in range(1, len(data["key_images"]) + 1):
        picture = np.asarray(Image.open(io.BytesIO(await services.render(result.report.name, KEY_IMAGE, number))))
        coloured = (picture.max(axis=2).astype(int) - picture.min(axis=2)) > 40
        assert coloured.any()
    document = pydicom.dcmread(io.BytesIO(await services.render(result.report.name, SR)))
    groups = highdicom.sr.Comprehensive3DSR.from_dataset(document).content.get_volumetric_roi_measurement_groups()
    assert len(groups) == len(truth.lesions)
    assert {str(group.referenced_segment.referenced_sop_instance_uid) for group in groups} == {
        stage.outputs[0].rpartition("/")[2]
    }
