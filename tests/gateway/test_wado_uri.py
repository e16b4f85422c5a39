"""WADO-URI: objects and pictures by the parameters of a query."""

from __future__ import annotations

from io import BytesIO

import httpx
import numpy as np
import pydicom
import pytest
from pydicom.pixels import pixel_array

from imaging.dicom.transfer_syntax import EXPLICIT_VR_LITTLE_ENDIAN, JPEG_2000, JPEG_LS_LOSSLESS
from imaging.storage.v1 import storage_pb2
from tests.ct_series import ct_series
from tests.gateway.site import Site
from tests.gateway.test_rendered import shown
from tests.storage.storage_under_test import file_bytes

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def get(site: Site, instance: storage_pb2.Instance, **asked: str) -> httpx.Response:
    parameters = {
        "requestType": "WADO",
        "studyUID": instance.study_instance_uid,
        "seriesUID": instance.series_instance_uid,
        "objectUID": instance.sop_instance_uid,
    }
    return await site.http.get(f"{site.url}/wado", params={**parameters, **asked})


async def test_object_comes_in_the_syntax_asked_for_and_else_in_explicit_little_endian(site: Site) -> None:
    content = file_bytes("JPEG2000.dcm")
    (instance,) = await site.store(content)
    for asked, expected in (
        ({}, EXPLICIT_VR_LITTLE_ENDIAN),
        ({"transferSyntax": JPEG_LS_LOSSLESS}, JPEG_LS_LOSSLESS),
        ({"transferSyntax": "1.2.840.10008.1.2.4.70"}, EXPLICIT_VR_LITTLE_ENDIAN),
    ):
        answer = await get(site, instance, contentType="application/dicom", **asked)
        assert answer.headers["content-type"] == f"application/dicom; transfer-syntax={expected}"
        assert np.array_equal(pixel_array(BytesIO(answer.content)), pixel_array(BytesIO(content)))
    kept = await get(site, instance, contentType="application/dicom", transferSyntax=instance.transfer_syntax_uid)
    assert kept.content == content
    assert instance.transfer_syntax_uid in (JPEG_2000, "1.2.840.10008.1.2.4.90")


async def test_picture_is_that_of_wado_rs(site: Site) -> None:
    (content,) = ct_series("wado-uri", slices=1, size=32).instances.values()
    (instance,) = await site.store(content)
    path = f"/{instance.name}/rendered"
    for asked, query in (
        ({}, "accept=image/jpeg"),
        ({"contentType": "image/png"}, "accept=image/png"),
        ({"contentType": "image/png", "windowCenter": "40", "windowWidth": "90"}, "accept=image/png&window=40,90"),
        ({"contentType": "image/png", "rows": "16"}, "accept=image/png&viewport=8192,16"),
        ({"contentType": "image/png", "rows": "16", "columns": "8"}, "accept=image/png&viewport=8,16"),
        ({"contentType": "image/png", "region": "0.25,0,0.75,0.5"}, "accept=image/png&viewport=16,16,8,0,16,16"),
        ({"imageQuality": "20", "frameNumber": "1"}, "accept=image/jpeg&quality=20"),
    ):
        answer, expected = await get(site, instance, **asked), await site.http.get(f"{path}?{query}")
        assert np.array_equal(shown(answer), shown(expected)), asked
        assert answer.content == expected.content


async def test_object_without_pixels_comes_as_dicom_where_nothing_is_asked_for(site: Site) -> None:
    content = file_bytes("reportsi.dcm")
    (instance,) = await site.store(content)
    answer = await get(site, instance)
    assert answer.headers["content-type"].startswith("application/dicom")
    assert pydicom.dcmread(BytesIO(answer.content)) == pydicom.dcmread(BytesIO(content))
    assert (await get(site, instance, contentType="image/jpeg")).status_code == 400


@pytest.mark.parametrize(
    ("asked", "status", "where"),
    [
        ({"requestType": "QIDO"}, 400, "requestType"),
        ({"studyUID": ""}, 400, "studyUID"),
        ({"objectUID": "not a uid"}, 400, "objectUID"),
        ({"objectUID": "1.2.3.4"}, 404, ""),
        ({"frameNumber": "0"}, 400, "frameNumber"),
        ({"frameNumber": "2"}, 404, ""),
        ({"windowCenter": "40"}, 400, "window"),
        ({"rows": "0"}, 400, "viewport"),
        ({"region": "0,0,2,1"}, 400, "region"),
        ({"region": "0,0,1"}, 400, "region"),
        ({"anonymize": "yes"}, 400, "anonymize"),
        ({"presentationUID": "1.2"}, 400, "presentationUID"),
        ({"contentType": "text/html"}, 406, "Accept"),
    ],
)
async def test_what_cannot_be_had_is_refused_with_the_reason(
    site: Site, asked: dict[str, str], status: int, where: str
) -> None:
    (content,) = ct_series("wado-uri-refused", slices=1, size=32).instances.values()
    (instance,) = await site.store(content)
    answer = await get(site, instance, **asked)
    assert answer.status_code == status, answer.text
    assert where in answer.json()["where"]


async def test_nothing_can_be_posted(site: Site) -> None:
    answer = await site.http.post(f"{site.url}/wado", content=b"")
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD")
