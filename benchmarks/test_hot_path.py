"""Single steps of the hot paths by pytest-benchmark: `pytest benchmarks`. They are no part of `make test`."""

from __future__ import annotations

import hashlib
from itertools import cycle

import google_crc32c
import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.work import Work
from imaging.codecs.decode import decode_frame
from imaging.dicom.digest import data_set_digest
from imaging.dicom.json_model import JsonModels
from imaging.dicom.scanner import scan
from imaging.storage.v1 import storage_service_pb2 as pb
from imaging.volume.resample import resample
from imaging.volume.volume import SourceFrame, Volume
from storage_svc.ingest.examine import Expected, examine
from storage_svc.retrieve.wire_message import data_message


@pytest.fixture(scope="module")
def slice_bytes() -> bytes:
    """One CT slice, 512 x 512 x 16 bit."""
    return Work().ct(1).files[0]


def test_scan(benchmark: BenchmarkFixture, slice_bytes: bytes) -> None:
    assert benchmark(scan, slice_bytes).pixels is not None


def test_digests(benchmark: BenchmarkFixture, slice_bytes: bytes) -> None:
    digest = benchmark(data_set_digest, slice_bytes, scan(slice_bytes))
    assert digest.object_crc32c == google_crc32c.value(slice_bytes)


def test_sha256_alone(benchmark: BenchmarkFixture, slice_bytes: bytes) -> None:
    assert len(benchmark(lambda: hashlib.sha256(slice_bytes).digest()) or b"") == 32


def test_crc32c_alone(benchmark: BenchmarkFixture, slice_bytes: bytes) -> None:
    assert benchmark(google_crc32c.value, slice_bytes) >= 0


def test_examine(benchmark: BenchmarkFixture, slice_bytes: bytes) -> None:
    examined = benchmark(examine, slice_bytes, Expected())
    assert examined.size_bytes == len(slice_bytes)


def test_frame_message_by_protobuf(benchmark: BenchmarkFixture) -> None:
    content = bytes(512 * 512 * 2)

    def build() -> bytes:
        return pb.RetrieveFramesResponse(data=pb.RetrieveFramesResponse.Data(content=content)).SerializeToString()

    assert len(benchmark(build)) > len(content)


def test_frame_message_joined(benchmark: BenchmarkFixture) -> None:
    content, nothing = bytes(512 * 512 * 2), pb.RetrieveFramesResponse()
    assert len(benchmark(data_message, nothing, 0, content, 0, nothing)) > len(content)


def test_native_decode(benchmark: BenchmarkFixture, slice_bytes: bytes) -> None:
    scanned = scan(slice_bytes)
    assert scanned.frames is not None
    assert scanned.pixels is not None
    ((offset, length),) = scanned.frames.ranges(0)
    frame = slice_bytes[offset : offset + length]
    pixels = benchmark(decode_frame, frame, scanned.transfer_syntax_uid, scanned.pixels)
    assert pixels.shape == (512, 512)


def test_json_model_of_a_further_slice(benchmark: BenchmarkFixture) -> None:
    files = Work().ct(100).files
    scans = [scan(file) for file in files]
    headers = [file[found.data_set_offset : found.header_end] for file, found in zip(files, scans, strict=True)]
    syntax, models, turns = scans[0].transfer_syntax_uid, JsonModels(), cycle(headers)
    assert b"00100010" in benchmark(lambda: models.model(next(turns), syntax)).content


def test_resample(benchmark: BenchmarkFixture) -> None:
    frames = tuple(SourceFrame(f"1.2.{number}", "1.2.840.10008.5.1.4.1.1.2", 1) for number in range(40))
    volume = Volume(np.zeros((40, 128, 128), np.float32), (2.0, 0.8, 0.8), (0.0, 0.0, 0.0), np.eye(3), frames)
    assert benchmark(resample, volume, (1.0, 1.0, 1.0)).voxels.ndim == 3
