"""The gate before copies of received images: the same pixels and places in another transfer syntax."""

from __future__ import annotations

from io import BytesIO

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import HTJ2KLosslessRPCL

from imaging.derived.deterministic import part10_bytes
from imaging.errors import ObjectRefused
from imaging.gate.check import Outgoing, check_object
from tests.gate.made_objects import (
    damaged,
    derived_slice,
)


def _encapsulated_copy(fragments: int, **changes: object) -> tuple[bytes, Dataset]:
    """A copy, and the header of its source."""
    copy = dcmread(BytesIO(derived_slice()[0]))
    for keyword, value in changes.items():
        setattr(copy, keyword, value)
    source = dcmread(BytesIO(part10_bytes(copy)), stop_before_pixels=True)
    copy.file_meta.TransferSyntaxUID = HTJ2KLosslessRPCL
    copy.PixelData = encapsulate([b"bytes of a frame"] * fragments)
    copy["PixelData"].VR = "OB"
    copy["PixelData"].is_undefined_length = True
    return part10_bytes(copy), source


def test_a_copy_has_the_pixels_of_each_frame() -> None:
    for frames in (1, 3):
        content, source = _encapsulated_copy(frames, NumberOfFrames=frames)
        assert check_object(Outgoing(content, copy_of=source)).compared["pixels"] == frames
    content, source = _encapsulated_copy(2, NumberOfFrames=3)
    with pytest.raises(ObjectRefused, match="pixels: PixelData has 2 fragments for 3 frames"):
        check_object(Outgoing(content, copy_of=source))
    for damage, told in (
        (lambda d: d.__delattr__("PixelData"), "pixels: a copy of an image has no PixelData"),
        (lambda d: setattr(d, "PixelData", encapsulate([b"ab"])[:12]), "pixels: PixelData has 0 fragments"),
    ):
        with pytest.raises(ObjectRefused, match=told):
            check_object(Outgoing(damaged(content, damage), copy_of=source))


def _header_of_unknown_class(**changes: object) -> Dataset:
    header = dcmread(BytesIO(derived_slice()[0]))
    header.SOPClassUID = header.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.481.2"
    for keyword, value in changes.items():
        setattr(header, keyword, value)
    return header


def test_a_copy_of_any_class_may_lack_what_its_source_lacks_but_not_move() -> None:
    copy = part10_bytes(_header_of_unknown_class())
    passed = check_object(Outgoing(copy, copy_of=_header_of_unknown_class()))
    assert passed.compared == {"pixels": 1, "places": 1}
    with pytest.raises(ObjectRefused, match="places: PixelSpacing is not that of the source"):
        check_object(Outgoing(copy, copy_of=_header_of_unknown_class(PixelSpacing=[4, 5])))
    damaged = dcmread(BytesIO(derived_slice()[0]))
    del damaged.Modality
    check_object(Outgoing(part10_bytes(damaged), copy_of=damaged))
    with pytest.raises(ObjectRefused, match="Modality"):
        check_object(Outgoing(part10_bytes(damaged), copy_of=dcmread(BytesIO(derived_slice()[0]))))
