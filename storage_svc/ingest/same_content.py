"""Are two instances under one UID the same image? Attributes and decoded pixels are compared, not encodings."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import DataElement, Dataset

from imaging.codecs.sandbox import DecodePool
from imaging.dicom.byte_source import Buffer
from imaging.dicom.deflated import inflate_data_set
from imaging.dicom.header import header_bytes, read_header
from imaging.dicom.header_value import UNREADABLE
from imaging.dicom.scanned_instance import ScannedInstance
from imaging.dicom.scanner import scan
from imaging.dicom.transfer_syntax import (
    DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN,
    EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
)
from imaging.errors import ImagingError
from storage_svc.ingest.arrival import Content, opened
from storage_svc.ingest.identity import Sameness
from storage_svc.retrieve.frame_pixels import frame_pixels

_OF_THE_ENCODING = frozenset(
    {
        0x00080005,  # Specific Character Set
        0x00280004,  # Photometric Interpretation: YBR in JPEG, RGB decoded
        0x00280006,  # Planar Configuration
        0xFFFCFFFC,  # Data Set Trailing Padding
        0xFFFAFFFA,  # Digital Signatures Sequence
        0x7FE00001,  # Extended Offset Table
        0x7FE00002,  # Extended Offset Table Lengths
        0x7FE00003,  # Encapsulated Pixel Data Value Total Length
    }
)
"""Elements that may differ between encodings of one image."""

_CONTENT = frozenset(
    {
        0x0040A730,  # Content Sequence (SR)
        0x00420011,  # Encapsulated Document
        0x54000100,  # Waveform Sequence
        0x56000020,  # Spectroscopy Data
        0x30060039,  # ROI Contour Sequence
        0x300A0070,  # Fraction Group Sequence
        0x300A00B0,  # Beam Sequence
        0x00660002,  # Surface Sequence
        0x006A0002,  # Annotation Group Sequence
    }
)
"""What takes the place of the pixels in objects that have none."""


def compare(old: Content, new: Content, pool: DecodePool) -> Sameness:
    """How the instance that is kept and the one that arrived compare. Blocks.

    What cannot be decoded or read counts as other content: nothing is replaced on a guess.
    """
    with opened(old) as old_data, opened(new) as new_data:
        try:
            old_scanned, new_scanned = scan(old_data, require_pixel_data=False), scan(new_data)
            old_header = read_header(header_bytes(old_data, old_scanned), old_scanned.transfer_syntax_uid)
            new_header = read_header(header_bytes(new_data, new_scanned), new_scanned.transfer_syntax_uid)
            differing = set(differing_tags(old_header, new_header))
            if differing & _CONTENT:
                return Sameness.OTHER_CONTENT
            if not _same_pixels(old_data, old_scanned, new_data, new_scanned, pool):
                return Sameness.OTHER_CONTENT
        except (ImagingError, *UNREADABLE):
            return Sameness.OTHER_CONTENT
    return Sameness.OTHER_ATTRIBUTES if differing else Sameness.EQUIVALENT


def differing_tags(one: Dataset, other: Dataset) -> Iterator[int]:
    """Tags whose values differ, apart from those that belong to the encoding."""
    for tag in sorted({*one.keys(), *other.keys()}):
        number = int(tag)
        if number in _OF_THE_ENCODING or number & 0xFFFF == 0 or number >> 16 == 0x7FE0:
            continue
        if tag not in one or tag not in other or not _same_value(one, other, number):
            yield number


def _same_value(one: Dataset, other: Dataset, tag: int) -> bool:
    raw = [data_set.get_item(tag) for data_set in (one, other)]
    try:
        return _same_element(one[tag], other[tag])
    except UNREADABLE:  # a value that pydicom cannot decode is compared as it is written
        return bool(raw[0] is not None and raw[1] is not None and raw[0].value == raw[1].value)


def _same_element(one: DataElement, other: DataElement) -> bool:
    if one.VR == "SQ" and other.VR == "SQ":
        return len(one.value) == len(other.value) and all(
            next(differing_tags(a, b), None) is None for a, b in zip(one.value, other.value, strict=True)
        )
    return bool(_plain(one) == _plain(other))


def _plain(element: DataElement) -> Any:
    """The value in a form that does not depend on VR and padding."""
    value = element.value
    if value is None or value == "" or value == b"":
        return None
    if isinstance(value, bytes):
        return value.rstrip(b"\0 ")
    if isinstance(value, str | int | float):
        text = str(value).rstrip("\0 ")
        # An element of unknown VR (implicit VR, private tags) holds raw bytes.
        return text.encode("utf-8", "surrogateescape") if element.VR != "PN" else text
    if hasattr(value, "__iter__"):
        return "\\".join(str(part).rstrip("\0 ") for part in value).encode("utf-8", "surrogateescape")
    return str(value)


def _same_pixels(
    old_data: Buffer, old: ScannedInstance, new_data: Buffer, new: ScannedInstance, pool: DecodePool
) -> bool:
    if old.pixel_data is None or new.pixel_data is None:
        return old.pixel_data is None and new.pixel_data is None
    if old.pixels is None or new.pixels is None or old.frames is None or new.frames is None:
        return False
    if old.frames.frame_count != new.frames.frame_count:
        return False
    shape = ("rows", "columns", "samples_per_pixel", "bits_stored", "pixel_representation", "is_float")
    if any(getattr(old.pixels, name) != getattr(new.pixels, name) for name in shape):
        return False
    old_bytes, new_bytes = _uninflated(old_data, old), _uninflated(new_data, new)
    for index in range(old.frames.frame_count):
        one, other = _frame_bytes(old_bytes, old, index), _frame_bytes(new_bytes, new, index)
        if one == other and (old.transfer_syntax_uid == new.transfer_syntax_uid or _both_plain(old, new)):
            continue
        one_pixels, other_pixels = _decoded(one, old, index, pool), _decoded(other, new, index, pool)
        if not np.array_equal(one_pixels, other_pixels, equal_nan=one_pixels.dtype.kind == "f"):
            return False
    return True


def _uninflated(data: Buffer, scanned: ScannedInstance) -> Buffer:
    return inflate_data_set(data, scanned.data_set_offset) if scanned.inflated else data


def _both_plain(one: ScannedInstance, other: ScannedInstance) -> bool:
    """True for native little-endian pixels whose bytes mean the same."""
    plain = (IMPLICIT_VR_LITTLE_ENDIAN, EXPLICIT_VR_LITTLE_ENDIAN, DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN)
    return (
        one.transfer_syntax_uid in plain
        and other.transfer_syntax_uid in plain
        and one.pixels is not None
        and other.pixels is not None
        and replace(one.pixels, number_of_frames=1) == replace(other.pixels, number_of_frames=1)
    )


def _frame_bytes(data: Buffer, scanned: ScannedInstance, frame_index: int) -> bytes:
    assert scanned.frames is not None
    return b"".join(bytes(data[start : start + length]) for start, length in scanned.frames.ranges(frame_index))


def _decoded(content: bytes, scanned: ScannedInstance, frame_index: int, pool: DecodePool) -> NDArray[Any]:
    assert scanned.frames is not None
    assert scanned.pixels is not None
    assert scanned.pixel_data is not None
    return frame_pixels(
        content,
        scanned.transfer_syntax_uid,
        scanned.pixels,
        pixel_vr=scanned.pixel_data.vr,
        bit_offset=scanned.frames.bit_offset(frame_index),
        pool=pool,
    )
