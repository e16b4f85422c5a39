"""ProcessSeries and RenderFrames over gRPC, with real storage behind them."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from google.protobuf.struct_pb2 import Struct
from google.protobuf.timestamp_pb2 import Timestamp

from imaging import errors
from imaging.processing.v1 import processing_service_pb2
from imaging.rpc.status import domain_errors
from imaging.stage.v1 import stage_pb2
from imaging.storage.v1 import storage_pb2, storage_service_pb2
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


async def test_frames_are_rendered_as_storage_renders_them(services: Both) -> None:
    sent = ct_series("rendered", slices=2, size=32)
    await services.send(sent)
    names = [f"{sent.series}/instances/{uid}" for uid in sent.instances]
    form: dict[str, Any] = {"media_type": "image/jpeg", "max_side_pixels": 16, "window": {"centre": 40, "width": 400}}
    selections = [{"instance": name, "frame_numbers": [1]} for name in names]
    request = processing_service_pb2.RenderFramesRequest(selections=selections, **form)  # type: ignore[arg-type]
    pictures = [picture async for picture in services.processing.RenderFrames(request)]
    asked = storage_service_pb2.RenderFramesRequest(selections=selections, **form)  # type: ignore[arg-type]
    made = [picture async for picture in services.storage.render_frames(asked)]
    assert [picture.SerializeToString() for picture in pictures] == [one.SerializeToString() for one in made]
    assert [(picture.instance, picture.width, picture.media_type) for picture in pictures] == [
        (name, 16, "image/jpeg") for name in names
    ]


async def test_what_storage_refuses_to_render_is_refused_as_it_says(services: Both) -> None:
    with pytest.raises(errors.InvalidArgument) as refused, domain_errors():
        _ = [item async for item in services.processing.RenderFrames(processing_service_pb2.RenderFramesRequest())]
    assert refused.value.where == "selections"
