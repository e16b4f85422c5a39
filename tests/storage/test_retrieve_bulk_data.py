"""Bulk values: named by the JSON model, streamed by their path."""

from __future__ import annotations

import copy
import json
from io import BytesIO
from typing import Any

import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRBigEndian

from imaging.errors import InvalidArgument, LimitExceeded, NotFound
from imaging.storage.v1 import storage_service_pb2 as pb
from storage_svc.retrieve import bulk_data as retrieve_bulk_data
from tests.storage.storage_under_test import Storage, ct, encoded, file_bytes

JSON = pb.RetrieveMetadataRequest.FORMAT_DICOM_JSON
PDF_TAG = "00420011"


async def _model(storage: Storage, name: str) -> dict[str, Any]:
    (message,) = await storage.stream("RetrieveMetadata", name=name, format=JSON)
    model: dict[str, Any] = json.loads(message.content)
    return model


async def _value(storage: Storage, name: str, path: str) -> tuple[pb.RetrieveBulkDataResponse.Header, bytes]:
    first, *others = await storage.stream("RetrieveBulkData", name=name, path=path)
    content = first.content + b"".join(message.content for message in others)
    assert first.header.size_bytes == len(content)
    assert all(len(message.content) <= 1 << 20 for message in (first, *others))
    return first.header, content


def _document(size: int) -> bytes:
    data_set = pydicom.dcmread(BytesIO(ct()))
    for keyword in ("PixelData", "Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation"):
        delattr(data_set, keyword)
    data_set.SOPClassUID = data_set.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.104.1"
    data_set.MIMETypeOfEncapsulatedDocument = "application/pdf"
    data_set.EncapsulatedDocument = bytes(range(256)) * (size // 256)
    return encoded(data_set)


@pytest.mark.parametrize("size", [2048, 3 << 20], ids=["in the model", "over what a model holds"])
async def test_encapsulated_document_is_named_and_comes_whole(storage: Storage, size: int) -> None:
    name = (await storage.store_one(_document(size))).instance.name
    assert (await _model(storage, name))[PDF_TAG] == {"vr": "OB", "BulkDataURI": f"bulkdata/{PDF_TAG}"}
    header, content = await _value(storage, name, PDF_TAG)
    assert content == bytes(range(256)) * (size // 256)
    assert (header.vr, header.media_type) == ("OB", "application/pdf")


async def test_value_inside_of_sequences_has_the_numbers_of_its_items_in_its_path(storage: Storage) -> None:
    content = file_bytes("waveform_ecg.dcm")
    name = (await storage.store_one(content)).instance.name
    groups = (await _model(storage, name))["54000100"]["Value"]
    assert [group["54001010"]["BulkDataURI"] for group in groups] == [
        f"bulkdata/54000100/{number}/54001010" for number in range(1, len(groups) + 1)
    ]
    whole = pydicom.dcmread(BytesIO(content))
    for number, item in enumerate(whole.WaveformSequence, 1):
        _, found = await _value(storage, name, f"54000100/{number}/54001010")
        assert found == item.WaveformData


async def test_words_of_a_big_endian_object_come_little_endian(storage: Storage) -> None:
    data_set = copy.deepcopy(pydicom.dcmread(BytesIO(file_bytes("MR_small_bigendian.dcm"))))
    assert data_set.file_meta.TransferSyntaxUID == ExplicitVRBigEndian
    item = Dataset()
    item.add_new(0x00283006, "OW", b"\x01\x02" * 1000)
    data_set.ModalityLUTSequence = [item]
    name = (await storage.store_one(encoded(data_set))).instance.name
    _, content = await _value(storage, name, "00283000/1/00283006")
    assert content == b"\x02\x01" * 1000


@pytest.mark.parametrize(
    "path", ["00420011", "00280010", "00081140/1/00081155", "00081140/9/00420011", "7FE00010", "00100010/1/00420011"]
)
async def test_path_without_bytes_is_not_found(storage: Storage, path: str) -> None:
    name = (await storage.store_one(ct())).instance.name
    with pytest.raises(NotFound):
        await _value(storage, name, path)


@pytest.mark.parametrize("path", ["", "0042001", "00420011/", "00420011/0/00420011", "../00420011", "00420011/1"])
async def test_malformed_path_is_refused(storage: Storage, path: str) -> None:
    name = (await storage.store_one(ct())).instance.name
    with pytest.raises(InvalidArgument, match="malformed"):
        await _value(storage, name, path)


async def test_other_study_or_too_large_a_header_is_refused(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    name = (await storage.store_one(_document(4096))).instance.name
    with pytest.raises(NotFound):
        await _value(storage, name.replace("studies/1.2.3/", "studies/1.2.4/"), PDF_TAG)
    monkeypatch.setattr(retrieve_bulk_data, "MAX_HEADER_BYTES", 4096)
    with pytest.raises(LimitExceeded, match="Retrieve the instance"):
        await _value(storage, name, PDF_TAG)
