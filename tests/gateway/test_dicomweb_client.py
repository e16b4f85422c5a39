"""dicomweb-client, which 3D Slicer and many scripts use: store, search, and retrieve in every form."""

from __future__ import annotations

import asyncio
from io import BytesIO

import numpy as np
import pydicom
import pytest
from dicomweb_client.api import DICOMwebClient
from PIL import Image
from pydicom.pixels import pixel_array
from requests import HTTPError

from imaging.dicom.transfer_syntax import JPEG_LS_LOSSLESS
from tests.ct_series import CtSeries, ct_series
from tests.gateway.site import Site
from tests.storage.storage_under_test import file_bytes

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def _filled(site: Site, seed: str) -> tuple[DICOMwebClient, CtSeries]:
    series = ct_series(seed, slices=6, size=32)
    await site.store(*series.instances.values())
    return DICOMwebClient(site.dicom_web), series


async def test_searches(site: Site) -> None:
    client, series = await _filled(site, "client-search")

    def search() -> None:
        (study,) = client.search_for_studies(search_filters={"PatientID": "ID-client-search"})
        found = pydicom.Dataset.from_json(study)
        assert found.StudyInstanceUID == series.study_instance_uid
        assert found.PatientName == "Round^client-search"
        assert found.StudyDescription == "Round body"
        (one,) = client.search_for_series(series.study_instance_uid, fields=["SeriesDate"])
        assert pydicom.Dataset.from_json(one).NumberOfSeriesRelatedInstances == 6
        instances = client.search_for_instances(series.study_instance_uid, limit=4, get_remaining=True)
        assert [item["00080018"]["Value"][0] for item in instances] == list(series.instances)
        assert client.search_for_studies(fuzzymatching=True, search_filters={"PatientName": "nobody"}) == []

    await asyncio.to_thread(search)


async def test_retrieves_metadata_instances_and_frames(site: Site) -> None:
    client, series = await _filled(site, "client-retrieve")
    study, uid = series.study_instance_uid, series.series_instance_uid
    sop = next(iter(series.instances))

    def retrieve() -> None:
        models = client.retrieve_series_metadata(study, uid)
        assert [pydicom.Dataset.from_json(model).SOPInstanceUID for model in models] == list(series.instances)
        assert len(client.retrieve_study_metadata(study)) == 6
        assert client.retrieve_instance_metadata(study, uid, sop)["00080018"]["Value"] == [sop]
        for found in (client.retrieve_study(study), client.retrieve_series(study, uid)):
            assert [item.SOPInstanceUID for item in found] == list(series.instances)
        for media_types in (None, ("application/dicom",), (("application/dicom", "*"),)):
            instance = client.retrieve_instance(study, uid, sop, media_types=media_types)
            assert np.array_equal(pixel_array(instance), pixel_array(BytesIO(series.instances[sop])))
        raw = pydicom.dcmread(BytesIO(series.instances[sop])).PixelData
        for kinds in (None, ("application/octet-stream",), (("application/octet-stream", "*"),)):
            frames = client.retrieve_instance_frames(study, uid, sop, [1], media_types=kinds)
            assert frames == [raw]
        assert client.retrieve_bulkdata(models[0]["7FE00010"]["BulkDataURI"]) == [raw]
        with pytest.raises(HTTPError):
            client.retrieve_instance(study, uid, "1.2.3")

    await asyncio.to_thread(retrieve)


async def test_retrieves_compressed_frames_by_media_type(site: Site) -> None:
    content = file_bytes("JPEG2000.dcm")
    (instance,) = await site.store(content)
    names = (instance.study_instance_uid, instance.series_instance_uid, instance.sop_instance_uid)

    def retrieve() -> None:
        client = DICOMwebClient(site.dicom_web)
        (frame,) = client.retrieve_instance_frames(
            *names, [1], media_types=(("image/jp2", instance.transfer_syntax_uid),)
        )
        assert frame in content
        (decoded,) = client.retrieve_instance_frames(*names, [1], media_types=("application/octet-stream",))
        assert np.array_equal(np.frombuffer(decoded, "<i2"), pixel_array(BytesIO(content)).ravel())

    await asyncio.to_thread(retrieve)


async def test_stores_and_retrieves_pictures(site: Site) -> None:
    series = ct_series("client-rendered", slices=3, size=32)
    study, uid, sop = series.study_instance_uid, series.series_instance_uid, next(iter(series.instances))

    def run() -> None:
        client = DICOMwebClient(site.dicom_web)
        sent = [pydicom.dcmread(BytesIO(content)) for content in series.instances.values()]
        answer = client.store_instances(sent, study_instance_uid=study)
        assert [item.ReferencedSOPInstanceUID for item in answer.ReferencedSOPSequence] == list(series.instances)
        assert "FailedSOPSequence" not in answer
        window = {"window": "40,400,linear", "viewport": "16,16"}
        for kind, name in (("image/png", "PNG"), ("image/jpeg", "JPEG")):
            content = client.retrieve_instance_rendered(study, uid, sop, media_types=(kind,), params=window)
            assert (Image.open(BytesIO(content)).format, Image.open(BytesIO(content)).size) == (name, (16, 16))
            frame = client.retrieve_instance_frames_rendered(study, uid, sop, [1], media_types=(kind,), params=window)
            assert frame == content
        encoded = client.retrieve_instance(study, uid, sop, media_types=(("application/dicom", JPEG_LS_LOSSLESS),))
        assert encoded.file_meta.TransferSyntaxUID == JPEG_LS_LOSSLESS
        assert np.array_equal(pixel_array(encoded), pixel_array(BytesIO(series.instances[sop])))

    await asyncio.to_thread(run)


async def test_retrieves_bulk_data(site: Site) -> None:
    content = file_bytes("waveform_ecg.dcm")
    (instance,) = await site.store(content)

    def run() -> None:
        client = DICOMwebClient(site.dicom_web)
        model = client.retrieve_instance_metadata(
            instance.study_instance_uid, instance.series_instance_uid, instance.sop_instance_uid
        )
        uri = model["54000100"]["Value"][0]["54001010"]["BulkDataURI"]
        expected = pydicom.dcmread(BytesIO(content)).WaveformSequence[0].WaveformData
        assert client.retrieve_bulkdata(uri) == [expected]
        assert b"".join(client.iter_bulkdata(uri)) == expected

    await asyncio.to_thread(run)
