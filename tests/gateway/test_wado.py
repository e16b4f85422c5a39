"""WADO-RS: instances, frames, metadata and bulk data, whole and in ranges, as they were stored."""

from __future__ import annotations

import gzip
import json
from email.parser import BytesParser
from io import BytesIO
from typing import Any

import httpx
import numpy as np
import pydicom
import pytest
from pydicom.pixels import pixel_array

from tests.ct_series import ct_series
from tests.gateway.site import Site
from tests.storage.storage_under_test import ct, encoded, file_bytes

pytestmark = pytest.mark.asyncio(loop_scope="module")

EXPLICIT = "1.2.840.10008.1.2.1"
ANY = "multipart/related; type=application/octet-stream; transfer-syntax=*"


def parts(answer: httpx.Response) -> list[tuple[str, bytes]]:
    """Content-Type and content of each part."""
    head = f"Content-Type: {answer.headers['content-type']}\r\n\r\n".encode()
    message = BytesParser().parsebytes(head + answer.content)
    assert message.is_multipart(), answer.headers
    assert message.get_param("type"), "the type of the parts stands in the header of the whole"
    boundary = message.get_boundary()
    assert boundary is not None
    found = []
    for piece in answer.content.split(f"--{boundary}".encode())[1:-1]:
        told, _, content = piece.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        headers = BytesParser().parsebytes(told)
        content = content.removesuffix(b"\r\n")
        assert int(headers["content-length"]) == len(content)
        found.append((str(headers["content-type"]), content))
    assert answer.content.endswith(f"--{boundary}--\r\n".encode())
    return found


async def test_series_comes_byte_for_byte_in_the_order_of_its_instances(site: Site) -> None:
    series = ct_series("whole", slices=4, size=16)
    await site.store(*series.instances.values())
    for path in (series.study, series.series):
        answer = await site.http.get(f"/{path}")
        assert [content for _, content in parts(answer)] == list(series.instances.values())
        assert {kind for kind, _ in parts(answer)} == {f"application/dicom; transfer-syntax={EXPLICIT}"}


async def test_one_instance_comes_as_a_file_or_as_a_part(site: Site) -> None:
    content = file_bytes("JPEG2000.dcm")
    (instance,) = await site.store(content)
    alone = await site.http.get(f"/{instance.name}", headers={"accept": "application/dicom"})
    assert alone.content == content
    assert alone.headers["content-type"] == f"application/dicom; transfer-syntax={instance.transfer_syntax_uid}"
    assert alone.headers["content-disposition"] == f'attachment; filename="{instance.sop_instance_uid}.dcm"'
    assert alone.headers["content-length"] == str(len(content))
    ((kind, part),) = parts(await site.http.get(f"/{instance.name}"))
    assert part == content
    assert kind.endswith(instance.transfer_syntax_uid)
    head = await site.http.head(f"/{instance.name}", headers={"accept": "application/dicom"})
    assert (head.status_code, head.headers["content-length"], head.content) == (200, str(len(content)), b"")


@pytest.mark.parametrize(
    ("asked", "start", "stop"),
    [
        ("bytes=0-99", 0, 100),
        ("bytes=100-199", 100, 200),
        ("bytes=5000-", 5000, None),
        ("bytes=-10", -10, None),
        ("bytes=131-140", 131, 141),
        ("bytes=0-9999999", 0, None),
    ],
)
async def test_file_comes_in_ranges(site: Site, asked: str, start: int, stop: int | None) -> None:
    content = ct("1.7", "1.7.1", "1.7.1.1")
    (instance,) = await site.store(content)
    answer = await site.http.get(f"/{instance.name}", headers={"accept": "application/dicom", "range": asked})
    assert answer.status_code == 206
    assert answer.content == content[start:stop]
    first = start % len(content)
    assert answer.headers["content-range"] == f"bytes {first}-{first + len(answer.content) - 1}/{len(content)}"


async def test_ranges_that_are_none_and_conditions(site: Site) -> None:
    content = ct("1.8", "1.8.1", "1.8.1.1")
    (instance,) = await site.store(content)
    path, accept = f"/{instance.name}", {"accept": "application/dicom"}
    beyond = await site.http.get(path, headers={**accept, "range": f"bytes={len(content)}-"})
    assert (beyond.status_code, beyond.headers["content-range"]) == (416, f"bytes */{len(content)}")
    for several in ("bytes=0-1,5-6", "lines=1-2", "bytes=9-3", "nonsense"):
        whole = await site.http.get(path, headers={**accept, "range": several})
        assert (whole.status_code, whole.content) == (200, content)
    etag = whole.headers["etag"]
    assert (await site.http.get(path, headers={**accept, "if-none-match": f'"x", {etag}'})).status_code == 304
    same = await site.http.get(path, headers={**accept, "range": "bytes=0-9", "if-range": etag})
    other = await site.http.get(path, headers={**accept, "range": "bytes=0-9", "if-range": '"x"'})
    assert (same.status_code, other.status_code) == (206, 200)


async def test_executable_preamble_leaves_neutralised_and_a_slide_header_as_it_is(site: Site) -> None:
    program, slide = (pydicom.dcmread(BytesIO(ct("1.9", "1.9.1", f"1.9.1.{n}"))) for n in (1, 2))
    program.preamble = b"MZ" + b"\x90" * 126
    slide.preamble = b"II*\0" + b"\x01" * 124
    stored = await site.store(encoded(program), encoded(slide))
    first, second = [content for _, content in parts(await site.http.get("/studies/1.9"))]
    assert first == bytes(128) + encoded(program)[128:]
    assert second == encoded(slide)
    alone = await site.http.get(f"/{stored[0].name}", headers={"accept": "application/dicom"})
    assert alone.content == first
    assert "sandbox" in alone.headers["content-security-policy"]
    assert alone.headers["x-content-type-options"] == "nosniff"


async def test_frames_come_as_they_are_stored_when_any_syntax_is_taken(site: Site) -> None:
    content = file_bytes("JPEG2000.dcm")
    (instance,) = await site.store(content)
    ((kind, frame),) = parts(await site.http.get(f"/{instance.name}/frames/1", headers={"accept": ANY}))
    assert kind == f"application/octet-stream; transfer-syntax={instance.transfer_syntax_uid}"
    assert frame in content
    assert frame[:4] == b"\xff\x4f\xff\x51"


async def test_frames_are_decoded_when_no_syntax_is_named(site: Site) -> None:
    content = file_bytes("MR_small_RLE.dcm")
    (instance,) = await site.store(content)
    answer = await site.http.get(f"/{instance.name}/frames/1", headers={"accept": "application/octet-stream"})
    assert answer.headers["content-type"] == f"application/octet-stream; transfer-syntax={EXPLICIT}"
    expected = pixel_array(BytesIO(content))
    assert np.array_equal(np.frombuffer(answer.content, "<i2").reshape(expected.shape), expected)


async def test_big_endian_pixels_are_turned_round_whatever_is_taken(site: Site) -> None:
    data_set = pydicom.dcmread(BytesIO(file_bytes("MR_small_bigendian.dcm")))
    data_set.SOPInstanceUID = data_set.file_meta.MediaStorageSOPInstanceUID = (
        "1.15.1.1"  # its pixels have other files too
    )
    content = encoded(data_set)
    (instance,) = await site.store(content)
    ((kind, frame),) = parts(await site.http.get(f"/{instance.name}/frames/1", headers={"accept": ANY}))
    assert kind.endswith(EXPLICIT)
    assert np.array_equal(np.frombuffer(frame, "<i2"), pixel_array(BytesIO(content)).ravel())


async def test_list_of_frames_keeps_its_order(site: Site) -> None:
    content = file_bytes("rtdose.dcm")
    (instance,) = await site.store(content)
    expected = pixel_array(BytesIO(content))
    found = parts(await site.http.get(f"/{instance.name}/frames/3,1,10"))
    assert len(found) == 3
    for (_, frame), number in zip(found, (3, 1, 10), strict=True):
        assert np.array_equal(np.frombuffer(frame, "<u4").reshape(expected.shape[1:]), expected[number - 1])


async def test_frames_of_one_bit_begin_with_a_byte(site: Site) -> None:
    expected = np.random.default_rng(1).integers(0, 2, (3, 35), np.uint8)
    data_set = pydicom.dcmread(BytesIO(ct("1.14", "1.14.1", "1.14.1.1")))
    data_set.Rows, data_set.Columns, data_set.NumberOfFrames = 5, 7, 3
    data_set.BitsAllocated = data_set.BitsStored = 1
    data_set.HighBit = data_set.PixelRepresentation = 0
    data_set.PixelData = np.packbits(expected.ravel(), bitorder="little").tobytes()
    (instance,) = await site.store(encoded(data_set))
    for number in (1, 2, 3):
        answer = await site.http.get(
            f"/{instance.name}/frames/{number}", headers={"accept": "application/octet-stream"}
        )
        frame = np.unpackbits(np.frombuffer(answer.content, np.uint8), bitorder="little")[:35]
        assert np.array_equal(frame, expected[number - 1])


async def test_frame_in_parts_comes_in_ranges_of_the_same_body(site: Site) -> None:
    (instance,) = await site.store(ct("1.10", "1.10.1", "1.10.1.1"))
    path = f"/{instance.name}/frames/1"
    whole = await site.http.get(path, headers={"accept": ANY})
    first = await site.http.get(path, headers={"accept": ANY, "range": "bytes=0-1023"})
    rest = await site.http.get(path, headers={"accept": ANY, "range": "bytes=1024-", "if-range": first.headers["etag"]})
    assert (first.status_code, rest.status_code) == (206, 206)
    assert first.content + rest.content == whole.content
    same = await site.http.get(path, headers={"accept": ANY, "if-none-match": whole.headers["etag"]})
    assert same.status_code == 304


@pytest.mark.parametrize(
    ("tail", "status"),
    [("frames/0", 400), ("frames/x", 400), ("frames/2", 404), ("frames/1,,2", 400), ("frames/", 404), ("frames", 404)],
)
async def test_frames_that_are_not_there_are_refused(site: Site, tail: str, status: int) -> None:
    (instance,) = await site.store(ct("1.11", "1.11.1", "1.11.1.1"))
    answer = await site.http.get(f"/{instance.name}/{tail}")
    assert answer.status_code == status, answer.text


async def test_frames_of_an_object_without_pixels_are_refused_with_the_reason(site: Site) -> None:
    (instance,) = await site.store(file_bytes("reportsi.dcm"))
    answer = await site.http.get(f"/{instance.name}/frames/1")
    assert answer.status_code == 400
    assert "pixel data" in answer.json()["what"]


async def _metadata(site: Site, name: str, **headers: str) -> list[dict[str, Any]]:
    answer = await site.http.get(f"/{name}/metadata", headers=headers)
    assert answer.status_code == 200, answer.text
    models: list[dict[str, Any]] = answer.json()
    return models


async def test_metadata_is_the_header_of_each_instance(site: Site) -> None:
    series = ct_series("metadata", slices=70, size=16)
    await site.store(*series.instances.values())
    for _ in range(2):  # built, then kept
        for coding in ("gzip", "identity"):
            models = await _metadata(site, series.series, **{"accept-encoding": coding})
            assert [model["00080018"]["Value"][0] for model in models] == list(series.instances)
    assert models[0]["00280010"] == {"vr": "US", "Value": [16]}
    assert models[0]["00083002"] == {"vr": "UI", "Value": [EXPLICIT]}
    assert models[0]["7FE00010"]["BulkDataURI"].startswith(f"{site.dicom_web}/{series.series}/instances/")
    assert len(await _metadata(site, series.study)) == 70
    assert len(await _metadata(site, f"{series.series}/instances/{next(iter(series.instances))}")) == 1


async def test_metadata_is_compressed_for_those_who_take_it(site: Site) -> None:
    series = ct_series("compressed", slices=3, size=16)
    await site.store(*series.instances.values())
    request = site.http.build_request(
        "GET", f"/{series.series}/metadata", headers={"accept-encoding": "br, gzip;q=0.5"}
    )
    answer = await site.http.send(request, stream=True)
    raw = b"".join([chunk async for chunk in answer.aiter_raw()])
    assert answer.headers["content-encoding"] == "gzip"
    assert len(json.loads(gzip.decompress(raw))) == 3
    plain = await site.http.get(f"/{series.series}/metadata", headers={"accept-encoding": "gzip;q=0"})
    assert "content-encoding" not in plain.headers


async def test_metadata_has_an_etag_that_changes_with_the_study(site: Site) -> None:
    series = ct_series("etag", slices=2, size=16)
    first, second = series.instances.values()
    await site.store(first)
    path = f"/{series.series}/metadata"
    etag = (await site.http.get(path)).headers["etag"]
    assert (await site.http.get(path, headers={"if-none-match": etag})).status_code == 304
    await site.store(second)
    changed = await site.http.get(path, headers={"if-none-match": etag})
    assert (changed.status_code, len(changed.json())) == (200, 2)


async def test_metadata_names_urls_under_which_the_client_reaches_us(site: Site) -> None:
    (instance,) = await site.store(file_bytes("waveform_ecg.dcm"))
    (model,) = await _metadata(site, instance.name, **{"x-forwarded-proto": "https", "host": "localhost:8443"})
    uri = model["54000100"]["Value"][0]["54001010"]["BulkDataURI"]
    assert uri == f"https://localhost:8443/dicom-web/{instance.name}/bulkdata/54000100/1/54001010"


async def test_bulk_data_is_what_the_metadata_names(site: Site) -> None:
    content = file_bytes("waveform_ecg.dcm")
    (instance,) = await site.store(content)
    (model,) = await _metadata(site, instance.name)
    uri = model["54000100"]["Value"][1]["54001010"]["BulkDataURI"]
    expected = pydicom.dcmread(BytesIO(content)).WaveformSequence[1].WaveformData
    alone = await site.http.get(uri, headers={"accept": "application/octet-stream"})
    assert alone.content == expected
    assert alone.headers["content-disposition"].startswith("attachment")
    ((_, part),) = parts(await site.http.get(uri))
    assert part == expected
    pixels = ct("1.13", "1.13.1", "1.13.1.1")
    (image,) = await site.store(pixels)
    ((_, part),) = parts(await site.http.get(f"/{image.name}/bulkdata/7FE00010"))
    assert part == pydicom.dcmread(BytesIO(pixels)).PixelData
    assert (await site.http.get(f"/{image.name}/bulkdata/00420011")).status_code == 404
    assert (await site.http.get(f"/{image.name}/bulkdata/etc/passwd")).status_code == 400


@pytest.mark.parametrize("tail", ["", "/metadata", "/series/1.1/metadata", "/series/1.1/instances/1.1/frames/1"])
async def test_what_is_not_there_is_not_found(site: Site, tail: str) -> None:
    answer = await site.http.get(f"/studies/1.99{tail}")
    assert answer.status_code == 404
    assert answer.json()["why"] == "NOT_FOUND"
