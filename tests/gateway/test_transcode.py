"""WADO-RS in another transfer syntax than the one kept, as viewers and scripts ask for it by Accept."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import pydicom
import pytest
from pydicom.pixels import pixel_array

from imaging.codecs.decode import decode_frame
from imaging.dicom import transfer_syntax as ts
from tests.codecs.wheel_images import describe
from tests.gateway.site import Site
from tests.gateway.test_wado import parts
from tests.storage.storage_under_test import file_bytes

pytestmark = pytest.mark.asyncio(loop_scope="module")

LOSSLESS = {
    "image/dicom-rle": ts.RLE_LOSSLESS,
    "image/jls": ts.JPEG_LS_LOSSLESS,
    "image/jp2": ts.JPEG_2000_LOSSLESS,
    "image/jphc": ts.HTJ2K_LOSSLESS,
}


@pytest.mark.parametrize("kind", LOSSLESS)
async def test_frames_are_encoded_in_the_media_type_asked_for(site: Site, kind: str) -> None:
    content = file_bytes("CT_small.dcm")
    (instance,) = await site.store(content)
    syntax = LOSSLESS[kind]
    for accept in (
        f"multipart/related; type={kind}",
        f'multipart/related; type="{kind}"; transfer-syntax={syntax}',
        f"multipart/related; type=application/octet-stream; transfer-syntax={syntax}",
    ):
        ((told, frame),) = parts(await site.http.get(f"/{instance.name}/frames/1", headers={"accept": accept}))
        assert told == f"{kind if kind in accept else 'application/octet-stream'}; transfer-syntax={syntax}"
        decoded = decode_frame(frame, syntax, describe(pydicom.dcmread(BytesIO(content))))
        assert np.array_equal(decoded, pixel_array(BytesIO(content)))


async def test_compressed_instance_comes_decoded_for_who_takes_no_other(site: Site) -> None:
    content = file_bytes("JPEG2000.dcm")
    (instance,) = await site.store(content)
    little = ts.EXPLICIT_VR_LITTLE_ENDIAN
    alone = await site.http.get(
        f"/{instance.name}", headers={"accept": f"application/dicom; transfer-syntax={little}", "range": "bytes=0-9"}
    )
    assert alone.status_code == 200, "what is made anew has no ranges"
    assert "accept-ranges" not in alone.headers
    assert alone.headers["content-type"] == f"application/dicom; transfer-syntax={little}"
    assert alone.headers["content-length"] == str(len(alone.content))
    assert np.array_equal(pixel_array(BytesIO(alone.content)), pixel_array(BytesIO(content)))
    kept = await site.http.get(f"/{instance.name}", headers={"accept": "application/dicom"})
    assert kept.headers["etag"] != alone.headers["etag"]
    again = {"accept": f"application/dicom; transfer-syntax={little}", "if-none-match": alone.headers["etag"]}
    assert (await site.http.get(f"/{instance.name}", headers=again)).status_code == 304
    accept = {"accept": f'multipart/related; type="application/dicom"; transfer-syntax={little}'}
    for path in (instance.name, instance.name.partition("/instances")[0], f"studies/{instance.study_instance_uid}"):
        ((told, part),) = parts(await site.http.get(f"/{path}", headers=accept))
        assert (told, part) == (f"application/dicom; transfer-syntax={little}", alone.content)


async def test_instance_comes_compressed_for_who_asks(site: Site) -> None:
    content = file_bytes("MR_small_implicit.dcm")
    (instance,) = await site.store(content)
    for syntax in LOSSLESS.values():
        accept = {"accept": f"multipart/related; type=application/dicom; transfer-syntax={syntax}"}
        ((told, part),) = parts(await site.http.get(f"/{instance.name}", headers=accept))
        assert told == f"application/dicom; transfer-syntax={syntax}"
        assert pydicom.dcmread(BytesIO(part)).file_meta.TransferSyntaxUID == syntax
        assert len(part) < len(content)


@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2.4.70", "1.2.840.10008.1.2.4.110", "1.2.3"])
async def test_syntax_that_is_not_written_is_not_acceptable(site: Site, syntax: str) -> None:
    (instance,) = await site.store(file_bytes("CT_small.dcm"))
    for accept in (
        f"application/dicom; transfer-syntax={syntax}",
        f"multipart/related; type=application/dicom; transfer-syntax={syntax}",
    ):
        answer = await site.http.get(f"/{instance.name}", headers={"accept": accept})
        assert (answer.status_code, answer.json()["why"]) == (406, "UNSUPPORTED_TRANSFER_SYNTAX")
    accept = f"multipart/related; type=application/octet-stream; transfer-syntax={syntax}"
    answer = await site.http.get(f"/{instance.name}/frames/1", headers={"accept": accept})
    assert (answer.status_code, answer.json()["why"]) == (406, "UNSUPPORTED_TRANSFER_SYNTAX")
