"""ProcessSeries and RenderFrames over gRPC, with real storage behind them."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from io import BytesIO
from typing import Any

import numpy as np
import pydicom
import pytest
from google.protobuf.struct_pb2 import Struct
from google.protobuf.timestamp_pb2 import Timestamp
from PIL import Image

from imaging import errors
from imaging.processing.v1 import processing_service_pb2
from imaging.rpc.status import domain_errors
from imaging.stage.v1 import stage_pb2
from imaging.storage.v1 import storage_pb2
from tests.ct_series import CtSeries, ct_series
from tests.processing.conftest import Both


def _request(
    series: str, step: str, parameters: dict[str, Any] | None = None, *, request_id: str = "r1", attempt: int = 1
) -> processing_service_pb2.ProcessSeriesRequest:
    given = Struct()
    given.update(parameters or {})
    time = Timestamp()
    time.FromDatetime(datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC))
    context = stage_pb2.StageContext(
        request_id=request_id, attempt=attempt, effective_time=time, run="runs/1", stage="1-process"
    )
    return processing_service_pb2.ProcessSeriesRequest(context=context, series=series, step=step, parameters=given)


async def _result(services: Both, request: processing_service_pb2.ProcessSeriesRequest) -> Any:
    with domain_errors():
        updates = [update async for update in services.processing.ProcessSeries(request)]
    assert all(update.HasField("progress") for update in updates[:-1])
    return updates[-1].result


async def _objects(services: Both, name: str) -> dict[str, bytes]:
    return {item.sop_instance_uid: content async for item, content in services.storage.retrieve_instances(name)}


async def test_capabilities_tell_each_step_with_its_schema(services: Both) -> None:
    answer = await services.processing.GetCapabilities(processing_service_pb2.GetCapabilitiesRequest())
    schemas = {step.name: json.loads(step.parameters_schema) for step in answer.steps}
    assert list(schemas) == sorted(schemas)
    assert "spacing_mm" in schemas["resample-isotropic"]["properties"]


async def test_a_resampled_series_is_stored_as_derived_with_its_geometry(services: Both) -> None:
    sent = ct_series("resampled", slices=6)
    await services.send(sent)
    result = await _result(services, _request(sent.series, "resample-isotropic", {"spacing_mm": 2}))
    assert not result.refusals
    volume, headers = await services.storage.read_volume(result.series)
    assert volume.spacing_mm == (2.0, 2.0, 2.0)
    assert len(result.instances) == len(headers) == 12
    source, _ = await services.storage.read_volume(sent.series)
    # The outer voxel edges stay: half of the difference of the spacings on each side.
    assert np.allclose(volume.origin_mm, np.array(source.origin_mm) - 1.0)
    assert float(volume.voxels.max()) <= float(source.voxels.max())
    instances = [item async for item in services.storage.search_instances(result.series)]
    assert {item.origin.kind for item in instances} == {storage_pb2.Origin.KIND_DERIVED}
    assert {(item.origin.run, item.origin.stage) for item in instances} == {("runs/1", "1-process")}
    assert all(header.ImageType[0] == "DERIVED" for header in headers)


async def test_a_second_attempt_gives_the_same_series_and_doubles_nothing(services: Both) -> None:
    sent = ct_series("again", slices=4)
    await services.send(sent)
    first = await _result(services, _request(sent.series, "denoise-median"))
    before = await _objects(services, first.series)
    # Another request id, so that it is really done again, as after a restart of the service.
    second = await _result(services, _request(sent.series, "denoise-median", request_id="r2", attempt=2))
    assert (second.series, list(second.instances)) == (first.series, list(first.instances))
    assert await _objects(services, first.series) == before


async def test_the_same_request_attaches_and_gets_the_same_result(services: Both) -> None:
    sent = ct_series("attached", slices=4)
    await services.send(sent)
    request = _request(sent.series, "denoise-median")
    assert await _result(services, request) == await _result(services, request)


async def test_slices_that_make_no_volume_are_refused_with_the_reason(services: Both) -> None:
    whole = ct_series("gap", slices=6)
    uids = list(whole.instances)
    gap = {uid: content for uid, content in whole.instances.items() if uid != uids[2]}
    await services.send(CtSeries(whole.study_instance_uid, whole.series_instance_uid, gap))
    result = await _result(services, _request(whole.series, "resample-isotropic"))
    (refusal,) = result.refusals
    assert refusal.subject == "resample-isotropic"
    assert refusal.rule == "GAP"
    assert refusal.hint
    assert not result.series


@pytest.mark.parametrize(
    ("step", "parameters", "kind"),
    [
        ("resample", {}, errors.NotFound),
        ("resample-isotropic", {"spacing": 1}, errors.InvalidArgument),
        ("resample-isotropic", {"spacing_mm": -1}, errors.InvalidArgument),
    ],
)
async def test_unknown_steps_and_parameters_are_refused(
    services: Both, step: str, parameters: dict[str, Any], kind: type[errors.ImagingError]
) -> None:
    with pytest.raises(kind):
        await _result(services, _request("studies/1.2/series/1.2.3", step, parameters))


async def test_a_series_that_is_not_there_is_not_found(services: Both) -> None:
    with pytest.raises(errors.NotFound):
        await _result(services, _request("studies/1.2/series/1.2.3", "denoise-median"))


async def test_frames_are_rendered_with_the_window_asked_for(services: Both) -> None:
    sent = ct_series("rendered", slices=2, size=32)
    await services.send(sent)
    uid, content = next(iter(sent.instances.items()))
    selection = processing_service_pb2.RenderFramesRequest.Selection(instance=f"{sent.series}/instances/{uid}")
    request = processing_service_pb2.RenderFramesRequest(selections=[selection])
    request.window.centre, request.window.width = 40, 2
    pictures = [picture async for picture in services.processing.RenderFrames(request)]
    (picture,) = pictures
    assert (picture.width, picture.height, picture.media_type) == (32, 32, "image/png")
    shown = np.asarray(Image.open(BytesIO(picture.content)))
    stored = pydicom.dcmread(BytesIO(content)).pixel_array
    assert (shown[stored > 45] == 255).all()
    assert (shown[stored < 35] == 0).all()


async def _pictures(services: Both, instance: str, **form: Any) -> list[bytes]:
    """The files, put together."""
    selection = processing_service_pb2.RenderFramesRequest.Selection(instance=instance)
    request = processing_service_pb2.RenderFramesRequest(selections=[selection], **form)
    files: list[bytes] = []
    sizes = []
    with domain_errors():
        async for message in services.processing.RenderFrames(request):
            if message.size_bytes:
                files.append(b"")
                sizes.append(message.size_bytes)
            files[-1] += message.content
    assert [len(file) for file in files] == sizes
    return files


async def test_frames_are_rendered_as_jpeg_into_a_viewport(services: Both) -> None:
    sent = ct_series("viewport", slices=1, size=32)
    await services.send(sent)
    name = f"{sent.series}/instances/{next(iter(sent.instances))}"
    whole = np.asarray(Image.open(BytesIO((await _pictures(services, name))[0])))
    viewport = processing_service_pb2.RenderFramesRequest.Viewport(columns=8, rows=8, left=4, top=2, width=-8, height=8)
    (file,) = await _pictures(services, name, viewport=viewport, media_type="image/jpeg", quality=100)
    picture = Image.open(BytesIO(file))
    assert (picture.format, picture.size) == ("JPEG", (8, 8))
    assert np.abs(np.asarray(picture).astype(int) - whole[2:10, 4:12][:, ::-1]).max() <= 4


async def test_a_picture_too_large_for_a_message_comes_in_parts(services: Both) -> None:
    (content,) = ct_series("large", slices=1, size=16).instances.values()
    data_set = pydicom.dcmread(BytesIO(content))
    data_set.Rows = data_set.Columns = 2200
    noise = np.random.default_rng(0).integers(-1000, 1000, (2200, 2200), np.int16)
    data_set.PixelData = noise.tobytes()
    buffer = BytesIO()
    data_set.save_as(buffer)
    uid = str(data_set.SOPInstanceUID)
    sent = CtSeries(str(data_set.StudyInstanceUID), str(data_set.SeriesInstanceUID), {uid: buffer.getvalue()})
    await services.send(sent)
    window = processing_service_pb2.RenderFramesRequest.Window(centre=0, width=2000)
    (file,) = await _pictures(services, f"{sent.series}/instances/{uid}", window=window)
    assert len(file) > 4_000_000
    shown = np.asarray(Image.open(BytesIO(file)))
    stored = data_set.pixel_array * float(data_set.RescaleSlope) + float(data_set.RescaleIntercept)
    assert (shown[stored > 1000] == 255).all()
    assert (shown[stored < -1000] == 0).all()
    assert shown.shape == (2200, 2200)


@pytest.mark.parametrize(
    ("form", "where"),
    [
        ({"window": {"centre": 1, "width": 0}}, "window"),
        ({"window": {"centre": 1, "width": 0.5, "function": 1}}, "window"),
        ({"window": {"centre": 1, "width": 10, "function": 77}}, "window"),
        ({"viewport": {"columns": 0, "rows": 5}}, "viewport"),
        ({"viewport": {"columns": 5, "rows": 5, "left": 32}}, "viewport"),
        ({"viewport": {"columns": 5, "rows": 5}, "max_side_pixels": 5}, "max_side_pixels"),
        ({"max_side_pixels": -1}, "max_side_pixels"),
        ({"media_type": "image/gif"}, "media_type"),
        ({"media_type": "image/jpeg", "quality": 101}, "quality"),
    ],
)
async def test_forms_that_cannot_be_are_refused(services: Both, form: dict[str, Any], where: str) -> None:
    sent = ct_series("forms", slices=1, size=32)
    await services.send(sent)
    with pytest.raises(errors.InvalidArgument) as refused:
        await _pictures(services, f"{sent.series}/instances/{next(iter(sent.instances))}", **form)
    assert refused.value.where == where


async def test_rendering_bad_requests_is_refused(services: Both) -> None:
    with pytest.raises(errors.InvalidArgument), domain_errors():
        _ = [item async for item in services.processing.RenderFrames(processing_service_pb2.RenderFramesRequest())]
    missing = processing_service_pb2.RenderFramesRequest.Selection(instance="studies/1.2/series/1.3/instances/1.4")
    with pytest.raises(errors.NotFound), domain_errors():
        request = processing_service_pb2.RenderFramesRequest(selections=[missing])
        _ = [item async for item in services.processing.RenderFrames(request)]
