"""Frames as pictures: window, viewport, media type, order, and what is refused."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.pixels import pixel_array

from imaging import errors
from imaging.client.storage import StorageClient, Upload
from imaging.storage.v1 import storage_service_pb2 as pb
from tests.ct_series import ct_series
from tests.storage.storage_under_test import Storage, ct, file_bytes

Asked = pb.RenderFramesRequest


async def pictures(storage: Storage, instance: str, **form: Any) -> list[bytes]:
    """The files, put together."""
    files: list[bytes] = []
    sizes: list[int] = []
    for message in await storage.stream("RenderFrames", selections=[Asked.Selection(instance=instance)], **form):
        if message.size_bytes:
            files.append(b"")
            sizes.append(message.size_bytes)
        files[-1] += message.content
    assert [len(file) for file in files] == sizes
    return files


async def test_frames_are_rendered_with_the_window_asked_for(storage: Storage) -> None:
    sent = ct_series("rendered", slices=2, size=32)
    await storage.store(*sent.instances.values())
    uid, content = next(iter(sent.instances.items()))
    selection = Asked.Selection(instance=f"{sent.series}/instances/{uid}")
    (picture,) = await storage.stream("RenderFrames", selections=[selection], window=Asked.Window(centre=40, width=2))
    assert (picture.width, picture.height, picture.media_type) == (32, 32, "image/png")
    shown = np.asarray(Image.open(BytesIO(picture.content)))
    stored = pydicom.dcmread(BytesIO(content)).pixel_array
    assert (shown[stored > 45] == 255).all()
    assert (shown[stored < 35] == 0).all()


async def test_frames_are_rendered_as_jpeg_into_a_viewport(storage: Storage) -> None:
    sent = ct_series("viewport", slices=1, size=32)
    await storage.store(*sent.instances.values())
    name = f"{sent.series}/instances/{next(iter(sent.instances))}"
    whole = np.asarray(Image.open(BytesIO((await pictures(storage, name))[0])))
    viewport = Asked.Viewport(columns=8, rows=8, left=4, top=2, width=-8, height=8)
    (file,) = await pictures(storage, name, viewport=viewport, media_type="image/jpeg", quality=100)
    picture = Image.open(BytesIO(file))
    assert (picture.format, picture.size) == ("JPEG", (8, 8))
    assert np.abs(np.asarray(picture).astype(int) - whole[2:10, 4:12][:, ::-1]).max() <= 4


async def test_a_picture_too_large_for_a_message_comes_in_parts(storage: Storage) -> None:
    (content,) = ct_series("large", slices=1, size=16).instances.values()
    data_set = pydicom.dcmread(BytesIO(content))
    data_set.Rows = data_set.Columns = 2200
    noise = np.random.default_rng(0).integers(-1000, 1000, (2200, 2200), np.int16)
    data_set.PixelData = noise.tobytes()
    buffer = BytesIO()
    data_set.save_as(buffer)
    client = StorageClient(storage.channel)
    (result,) = [result async for result in client.store([Upload("large", buffer.getvalue())])]
    assert result.instance is not None
    await client.close()
    window = Asked.Window(centre=0, width=2000)
    (file,) = await pictures(storage, result.instance.name, window=window)
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
async def test_forms_that_cannot_be_are_refused(storage: Storage, form: dict[str, Any], where: str) -> None:
    sent = ct_series("forms", slices=1, size=32)
    await storage.store(*sent.instances.values())
    with pytest.raises(errors.InvalidArgument) as refused:
        await pictures(storage, f"{sent.series}/instances/{next(iter(sent.instances))}", **form)
    assert refused.value.where == where


async def test_rendering_nothing_or_what_is_not_there_is_refused(storage: Storage) -> None:
    with pytest.raises(errors.InvalidArgument):
        await storage.stream("RenderFrames")
    with pytest.raises(errors.NotFound):
        await pictures(storage, "studies/1.2/series/1.3/instances/1.4")


async def test_pictures_come_in_the_order_asked_for(storage: Storage) -> None:
    sent = ct_series("order", slices=3, size=16)
    await storage.store(*sent.instances.values())
    names = [f"{sent.series}/instances/{uid}" for uid in sent.instances]
    asked = [*names[::-1], names[0]]
    told = await storage.stream("RenderFrames", selections=[Asked.Selection(instance=name) for name in asked])
    assert [picture.instance for picture in told] == asked
    assert told[-1].content == told[-2].content
    assert len({picture.data_set_sha256 for picture in told}) == 3


@pytest.mark.parametrize(
    "name", ["image_dfl.dcm", "MR_small_RLE.dcm", "MR_small_bigendian.dcm", "MR_small_jpeg_ls_lossless.dcm"]
)
async def test_a_picture_shows_what_pydicom_decodes(storage: Storage, name: str) -> None:
    content = file_bytes(name)
    data_set = pydicom.dcmread(BytesIO(content))
    stored = await storage.store_one(content)
    window = Asked.Window(centre=100, width=200, function=Asked.Window.FUNCTION_LINEAR_EXACT)
    (file,) = await pictures(storage, stored.instance.name, window=window)
    shown = np.asarray(Image.open(BytesIO(file)))
    assert np.array_equal(shown, np.floor(np.clip(pixel_array(data_set) / 200 * 255, 0, 255) + 0.5))


async def test_frames_that_are_large_together_are_made_one_by_one(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = await storage.store_one(file_bytes("rtdose.dcm"))
    at_once = await pictures(storage, stored.instance.name)
    monkeypatch.setattr("storage_svc.retrieve.pictures._DECODED_BYTES", 0)
    assert await pictures(storage, stored.instance.name) == at_once
    assert len(at_once) == stored.instance.number_of_frames > 1


async def test_a_damaged_object_gives_no_picture(storage: Storage) -> None:
    stored = await storage.store_one(ct())
    (kept,) = (storage.folder / "storage" / "objects").rglob("*.dcm")
    content = bytearray(kept.read_bytes())
    content[-1] ^= 1
    kept.write_bytes(content)
    with pytest.raises(errors.DataLoss):
        await pictures(storage, stored.instance.name)
