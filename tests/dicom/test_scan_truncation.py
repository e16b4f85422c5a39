"""A file whose end is missing is never taken, wherever it was cut."""

from __future__ import annotations

from pathlib import Path

import pytest

from imaging.dicom.scanner import scan
from imaging.dicom.transfer_syntax import (
    DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN,
    EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
    JPEG_BASELINE_8BIT,
)
from imaging.errors import InvalidDicom, NotDicom, TruncatedDicom
from tests.dicom.part10 import ITEM, RT_PLAN, data_set, element, encapsulated, file_meta, identity, image, part10, text
from tests.dicom.test_scan_wheel_files import INSTANCES, WITHOUT_PIXELS, name

IMAGES = tuple(path for path in INSTANCES if path.name not in WITHOUT_PIXELS and path.stat().st_size != 740)


def encapsulated_image() -> bytes:
    values = image()
    del values[0x7FE00010]
    fragment = b"\xff\xd8\xff\xe0" + bytes(20)
    return file_meta(JPEG_BASELINE_8BIT) + data_set(values) + encapsulated([fragment])


@pytest.mark.parametrize(
    "whole",
    [
        part10(image()),
        part10(image(), IMPLICIT_VR_LITTLE_ENDIAN),
        part10(image(), DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN),
        encapsulated_image(),
    ],
    ids=["explicit", "implicit", "deflated", "encapsulated"],
)
def test_image_cut_at_any_byte_is_refused(whole: bytes) -> None:
    scan(whole)
    for size in range(len(whole)):
        if size == len(whole) - 1 and whole.endswith(b"\0") and b".99" in whole[:400]:
            continue  # The NUL after a deflated stream may be missing.
        with pytest.raises(InvalidDicom) as caught:
            scan(whole[:size])
        assert isinstance(caught.value, TruncatedDicom | NotDicom) or "missing" in caught.value.what
        assert "byte " in caught.value.where
        assert caught.value.hint


def test_other_instance_is_taken_only_if_it_is_cut_between_two_elements() -> None:
    values = identity(RT_PLAN) | {0x00400555: ("SQ", element(ITEM, "", b"")), 0x0040A160: ("UT", text("words"))}
    whole = part10(values)
    boundary = len(whole) - len(element(0x0040A160, "UT", text("words")))
    for size in range(len(whole)):
        try:
            scan(whole[:size])
        except InvalidDicom:
            continue
        # After the last UID, after the sequence: nothing tells that there was more.
        assert size in (boundary, boundary - len(element(0x00400555, "SQ", element(ITEM, "", b""))))


def test_image_cut_off_before_its_pixels_may_be_taken_as_a_header_when_asked() -> None:
    values = image()
    del values[0x7FE00010]
    with pytest.raises(TruncatedDicom, match="no pixel data"):
        scan(part10(values))
    instance = scan(part10(values), require_pixel_data=False)
    assert instance.pixel_data is None
    assert instance.pixels is not None
    assert instance.header_end == len(part10(values))
    assert [warning.code for warning in instance.warnings] == ["no_pixel_data"]


def test_image_whose_pixels_are_named_by_a_url_needs_none() -> None:
    values = image() | {0x00287FE0: ("UR", b"http://example.org/pixels")}
    del values[0x7FE00010]
    assert scan(part10(values)).pixel_data is None


@pytest.mark.parametrize("path", IMAGES, ids=name)
def test_wheel_file_cut_at_every_sixty_fourth_is_refused(path: Path) -> None:
    whole = path.read_bytes()
    scanned = scan(whole)
    for part in range(64):
        cut = whole[: len(whole) * part // 64]
        if scanned.pixel_data is None:
            # Not an image: a cut between two elements cannot be seen.
            try:
                instance = scan(cut)
            except InvalidDicom:
                continue
            assert instance.header_end == len(cut)
        else:
            with pytest.raises(InvalidDicom):
                scan(cut)


def test_every_explicit_length_is_checked_against_the_bytes_there() -> None:
    whole = part10(image(), EXPLICIT_VR_LITTLE_ENDIAN)
    with pytest.raises(TruncatedDicom, match=r"declares 32 bytes, 31 are there \(at \(7FE0,0010\), byte \d+\)"):
        scan(whole[:-1])
