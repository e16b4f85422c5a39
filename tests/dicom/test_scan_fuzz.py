"""Mutated files: only typed errors, in bounded time, and what is taken pydicom reads alike."""

from __future__ import annotations

import time
from io import BytesIO

import pydicom
from hypothesis import given, settings
from hypothesis import strategies as st

from imaging.dicom.header import header_bytes, read_header
from imaging.dicom.scanned_instance import ScannedInstance
from imaging.dicom.scanner import scan
from imaging.errors import InvalidDicom
from tests.dicom.mutation import mutate, mutations
from tests.dicom.wheel_files import wheel_file

SEEDS = (
    "MR_small.dcm",
    "MR_small_implicit.dcm",
    "MR_small_bigendian.dcm",
    "MR_small_RLE.dcm",
    "image_dfl.dcm",
    "test-SR.dcm",
    "rtplan.dcm",
    "SC_rgb_jpeg_dcmtk.dcm",
    "chrH32.dcm",
    "UN_sequence.dcm",
    "DICOMDIR",
)


def taken(data: bytes, *, bare: bool = True) -> ScannedInstance | None:
    """The scan, or None if the file is refused with place and hint. Any other exception goes through."""
    refusal = None
    try:
        return scan(data, require_part10=not bare, require_pixel_data=False)
    except InvalidDicom as error:
        refusal = error
    assert "byte " in refusal.where
    assert refusal.hint
    return None


@given(seed=st.sampled_from(SEEDS), changes=mutations)
@settings(max_examples=800, deadline=None)
def test_mutated_file_is_taken_or_refused_with_a_typed_error(
    seed: str, changes: list[tuple[str, float, int, int]]
) -> None:
    data = mutate(wheel_file(seed), changes)
    started = time.process_time()
    instance = taken(data)
    if instance is not None:
        assert instance.header_end <= len(data) or instance.inflated
        if instance.frames is not None:
            for frame in range(min(instance.frames.frame_count, 3)):
                pieces = instance.frames.ranges(frame)
                assert instance.inflated or all(offset + length <= len(data) for offset, length in pieces)
        read_header(header_bytes(data, instance), instance.transfer_syntax_uid)
    assert time.process_time() - started < 2


@given(seed=st.sampled_from(SEEDS[:8]), changes=mutations)
@settings(max_examples=300, deadline=None)
def test_mutated_file_that_is_taken_has_the_identity_that_pydicom_reads(
    seed: str, changes: list[tuple[str, float, int, int]]
) -> None:
    data = mutate(wheel_file(seed), changes)
    instance = taken(data, bare=False)
    if instance is None:
        return
    reference = pydicom.dcmread(BytesIO(data), stop_before_pixels=True)
    assert instance.sop_instance_uid == str(reference.SOPInstanceUID).rstrip(" ")
    assert instance.study_instance_uid == str(reference.StudyInstanceUID).rstrip(" ")
    assert instance.series_instance_uid == str(reference.SeriesInstanceUID).rstrip(" ")


@given(st.binary(max_size=300))
@settings(max_examples=300, deadline=None)
def test_any_bytes_are_taken_or_refused_with_a_typed_error(data: bytes) -> None:
    taken(data)
    taken(bytes(128) + b"DICM" + data)
