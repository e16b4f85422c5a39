"""WADO-RS rendered resources and thumbnails: what is shown, in which form, and what is refused."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import httpx
import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.encaps import encapsulate
from pydicom.pixels import pixel_array

from imaging.storage.v1 import storage_pb2
from tests.ct_series import ct_series
from tests.gateway.site import Site
from tests.gateway.test_wado import parts
from tests.storage.storage_under_test import encoded, file_bytes

pytestmark = pytest.mark.asyncio(loop_scope="module")

PNG = {"accept": "image/png"}


def shown(answer: httpx.Response) -> np.ndarray[Any, Any]:
    """The pixels of an answer that is a picture."""
    assert answer.status_code == 200, answer.text
    picture = Image.open(BytesIO(answer.content))
    assert answer.headers["content-type"] == f"image/{str(picture.format).lower()}"
    return np.asarray(picture)


async def _slice(site: Site, seed: str, size: int = 32) -> tuple[storage_pb2.Instance, np.ndarray[Any, Any]]:
    """A stored CT slice, and its values in HU."""
    (content,) = ct_series(seed, slices=1, size=size).instances.values()
    (instance,) = await site.store(content)
    data_set = pydicom.dcmread(BytesIO(content))
    return instance, pixel_array(BytesIO(content)) * float(data_set.RescaleSlope) + float(data_set.RescaleIntercept)


async def test_instance_is_shown_through_the_window_asked_for(site: Site) -> None:
    instance, values = await _slice(site, "window")
    for asked in ("40,2", "40,2,linear", "39.5,1,linear-exact", "39.5,0.001,sigmoid", "40,2,LINEAR"):
        picture = shown(await site.http.get(f"/{instance.name}/rendered", params={"window": asked}, headers=PNG))
        assert (picture[values >= 45] == 255).all(), asked
        assert (picture[values <= 35] == 0).all(), asked
    frame = shown(await site.http.get(f"/{instance.name}/frames/1/rendered?window=40,2", headers=PNG))
    assert np.array_equal(frame, shown(await site.http.get(f"/{instance.name}/rendered?window=40,2", headers=PNG)))


@pytest.mark.parametrize(
    ("accept", "query", "kind"),
    [
        ("image/png", "", "image/png"),
        ("image/jpeg", "", "image/jpeg"),
        ("*/*", "", "image/jpeg"),
        ("image/*", "", "image/jpeg"),
        ("image/avif,image/webp,image/apng,image/*,*/*;q=0.8", "", "image/jpeg"),
        ("image/gif, image/png;q=0.5", "", "image/png"),
        ("text/html", "accept=image/png", "image/png"),
        ("*/*", "accept=image/jpeg", "image/jpeg"),
    ],
)
async def test_one_picture_comes_in_the_media_type_accepted(site: Site, accept: str, query: str, kind: str) -> None:
    instance, values = await _slice(site, "accept")
    answer = await site.http.get(f"/{instance.name}/rendered?{query}", headers={"accept": accept})
    assert answer.headers["content-type"] == kind
    assert shown(answer).shape == values.shape


async def test_picture_comes_as_a_part_for_who_takes_parts(site: Site) -> None:
    instance, _ = await _slice(site, "part")
    alone = await site.http.get(f"/{instance.name}/rendered", headers=PNG)
    answer = await site.http.get(f"/{instance.name}/rendered", headers={"accept": "multipart/related; type=image/png"})
    assert parts(answer) == [("image/png", alone.content)]
    assert f"Content-Location: {site.dicom_web}/{instance.name}/frames/1/rendered".encode() in answer.content


async def test_viewport_shows_a_region_and_quality_makes_it_small(site: Site) -> None:
    instance, values = await _slice(site, "viewport")
    path = f"/{instance.name}/rendered"
    whole = shown(await site.http.get(path, headers=PNG))
    assert shown(await site.http.get(f"{path}?viewport=64,100", headers=PNG)).shape == (64, 64)
    region = shown(await site.http.get(f"{path}?viewport=8,8,4,2,8,8", headers=PNG))
    assert np.array_equal(region, whole[2:10, 4:12])
    mirrored = shown(await site.http.get(f"{path}?viewport=32,32,,,-32,", headers=PNG))
    assert np.array_equal(mirrored, whole[:, ::-1])
    large, small = [await site.http.get(f"{path}?quality={quality}") for quality in (100, 5)]
    assert shown(large).shape == shown(small).shape == values.shape
    assert len(small.content) < len(large.content)


async def test_frames_and_multi_frame_instances_come_in_parts_in_order(site: Site) -> None:
    content = file_bytes("rtdose.dcm")
    (instance,) = await site.store(content)
    frames = pydicom.dcmread(BytesIO(content)).NumberOfFrames
    accept = {"accept": "multipart/related; type=image/png"}
    every = parts(await site.http.get(f"/{instance.name}/rendered", headers=accept))
    assert len(every) == frames
    assert parts(await site.http.get(f"/{instance.name}/frames/3,1/rendered", headers=accept)) == [every[2], every[0]]
    assert len(parts(await site.http.get(f"/{instance.name}/frames/3,1/rendered"))) == 2
    first = await site.http.get(f"/{instance.name}/rendered", headers=PNG)
    assert first.content == every[0][1]
    refused = await site.http.get(f"/{instance.name}/frames/3,1/rendered", headers=PNG)
    assert refused.status_code == 406


async def test_series_and_study_come_as_the_pictures_of_their_images(site: Site) -> None:
    series = ct_series("several", slices=5, size=16)
    report = pydicom.dcmread(BytesIO(file_bytes("reportsi.dcm")))
    report.StudyInstanceUID = series.study_instance_uid
    report.SOPInstanceUID = report.file_meta.MediaStorageSOPInstanceUID = "1.30.1.1"
    await site.store(*series.instances.values(), encoded(report))
    expected = [
        (await site.http.get(f"/{series.series}/instances/{uid}/rendered", headers=PNG)).content
        for uid in series.instances
    ]
    for path in (series.series, series.study):
        answer = await site.http.get(f"/{path}/rendered", headers={"accept": 'multipart/related; type="image/png"'})
        assert [content for _, content in parts(answer)] == expected
        assert (await site.http.get(f"/{path}/rendered", headers=PNG)).content == expected[0]
        assert len(parts(await site.http.get(f"/{path}/rendered"))) == 5


async def test_thumbnail_stands_for_the_middle_of_the_images(site: Site) -> None:
    series = ct_series("thumbnail", slices=5, size=300)
    await site.store(*series.instances.values())
    middle = f"{series.series}/instances/{list(series.instances)[2]}"
    expected = await site.http.get(f"/{middle}/thumbnail")
    assert shown(expected).shape == (256, 256)
    for path in (series.study, series.series, middle, f"{middle}/frames/1"):
        for _ in range(2):  # made, then kept
            assert (await site.http.get(f"/{path}/thumbnail")).content == expected.content, path
    small = await site.http.get(f"/{series.study}/thumbnail?viewport=40,20", headers=PNG)
    assert shown(small).shape == (20, 20)


async def test_thumbnail_of_a_study_shows_the_patient_not_a_mask_and_is_none_without_images(site: Site) -> None:
    series = ct_series("mask", slices=1, size=16)
    (content,) = series.instances.values()
    mask = pydicom.dcmread(BytesIO(content))
    mask.Modality, mask.SeriesInstanceUID, mask.SeriesNumber = "SEG", "1.31.1", 0
    mask.SOPInstanceUID = mask.file_meta.MediaStorageSOPInstanceUID = "1.31.1.1"
    mask.PixelData = bytes(len(mask.PixelData))
    await site.store(encoded(mask), content)
    image = await site.http.get(f"/{series.series}/thumbnail")
    assert (await site.http.get(f"/{series.study}/thumbnail")).content == image.content
    (report,) = await site.store(file_bytes("reportsi.dcm"))
    for path in (f"studies/{report.study_instance_uid}", report.name.rpartition("/instances")[0]):
        for resource in ("thumbnail", "rendered"):
            answer = await site.http.get(f"/{path}/{resource}")
            assert (answer.status_code, answer.json()["why"]) == (404, "NOT_FOUND")


async def test_picture_has_an_etag_that_changes_with_what_is_asked(site: Site) -> None:
    instance, _ = await _slice(site, "etag-of-picture")
    for resource in ("rendered", "thumbnail"):
        path = f"/{instance.name}/{resource}"
        etag = (await site.http.get(path)).headers["etag"]
        same = await site.http.get(path, headers={"if-none-match": etag})
        assert (same.status_code, same.content) == (304, b"")
        other = await site.http.get(path, headers={"if-none-match": '"of-an-older-one"'})
        assert (other.status_code, other.headers["etag"]) == (200, etag)
        others = [await site.http.get(path, headers=PNG), await site.http.get(f"{path}?viewport=9,9")]
        assert len({etag, *(other.headers["etag"] for other in others)}) == 3


async def test_compressed_colour_and_palette_are_shown_as_colours(site: Site) -> None:
    instance, *others = await site.store(file_bytes("SC_rgb_jpeg_dcmtk.dcm"), file_bytes("SC_rgb_rle.dcm"))
    for stored in (instance, *others):
        picture = shown(await site.http.get(f"/{stored.name}/rendered", headers=PNG))
        assert picture.shape == (100, 100, 3)
        assert picture[5, 50, 0] > 240, "the uppermost bar is red"
        assert picture[5, 50, 1:].max() < 20


@pytest.mark.parametrize(
    ("tail", "status", "where"),
    [
        ("rendered?window=40", 400, "window"),
        ("rendered?window=40,x", 400, "window"),
        ("rendered?window=40,0", 400, "window"),
        ("rendered?window=nan,5", 400, "window"),
        ("rendered?window=40,400,cubic", 400, "window"),
        ("rendered?window=40,400,linear,1", 400, "window"),
        ("rendered?viewport=0,10", 400, "viewport"),
        ("rendered?viewport=10", 400, "viewport"),
        ("rendered?viewport=10,99999", 400, "viewport"),
        ("rendered?viewport=10,10,500,0", 400, "viewport"),
        ("rendered?viewport=10,10,0,0,0,5", 400, "viewport"),
        ("rendered?viewport=10,10,0,0,1e999,5", 400, "viewport"),
        ("rendered?viewport=1,1,1,1,1,1,1", 400, "viewport"),
        ("rendered?quality=0", 400, "quality"),
        ("rendered?quality=high", 400, "quality"),
        ("rendered?accept=text/html", 406, "Accept"),
        ("rendered?accept=image/gif", 406, "Accept"),
        ("thumbnail?viewport=0,0", 400, "viewport"),
        ("frames/2/rendered", 404, ""),
        ("frames/2/thumbnail", 404, ""),
        ("frames/0/rendered", 400, "frames in the path"),
        ("frames/1,1/thumbnail", 404, "frames in the path"),
    ],
)
async def test_what_cannot_be_shown_is_refused_with_the_reason(site: Site, tail: str, status: int, where: str) -> None:
    instance, _ = await _slice(site, "refused")
    answer = await site.http.get(f"/{instance.name}/{tail}")
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json"), answer.text
    assert where in answer.json()["where"]
    assert answer.json()["hint"]


@pytest.mark.parametrize("name", ["reportsi.dcm", "waveform_ecg.dcm"])
async def test_object_without_pixels_has_no_picture(site: Site, name: str) -> None:
    (instance,) = await site.store(file_bytes(name))
    for tail in ("rendered", "thumbnail", "frames/1/rendered"):
        answer = await site.http.get(f"/{instance.name}/{tail}")
        assert answer.status_code == 400, answer.text
        assert "pixel data" in answer.json()["what"]


async def test_pixels_that_cannot_be_decoded_are_unprocessable(site: Site) -> None:
    data_set = pydicom.dcmread(BytesIO(file_bytes("JPEG2000.dcm")))
    data_set.SOPInstanceUID = data_set.file_meta.MediaStorageSOPInstanceUID = "1.32.1.1"
    data_set.PixelData = encapsulate([b"\xff\x4f\xff\x51" + bytes(100)])
    (instance,) = await site.store(encoded(data_set))
    answer = await site.http.get(f"/{instance.name}/rendered")
    assert (answer.status_code, answer.json()["why"]) == (422, "PIXEL_DATA_INVALID"), answer.text


async def test_ignored_parameters_are_told(site: Site) -> None:
    instance, _ = await _slice(site, "annotation")
    answer = await site.http.get(f"/{instance.name}/rendered?annotation=patient&nonsense=1")
    assert answer.status_code == 200
    assert answer.headers["warning"] == '299 imaging "These parameters were ignored: annotation"'
