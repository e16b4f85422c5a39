"""Reading the pixel description from the elements of a data set, as checked integers (PS3.3 C.7.6.3)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from struct import Struct
from typing import NoReturn

from imaging.dicom.byte_source import Buffer
from imaging.dicom.pixel_description import PixelDescription, check_pixels
from imaging.dicom.scan_warning import WarningLog
from imaging.dicom.tag_path import place, tag_text
from imaging.dicom.walked_data_set import WalkedDataSet
from imaging.errors import PixelDataInvalid

ROWS = 0x00280010
COLUMNS = 0x00280011
SAMPLES_PER_PIXEL = 0x00280002
PHOTOMETRIC_INTERPRETATION = 0x00280004
PLANAR_CONFIGURATION = 0x00280006
NUMBER_OF_FRAMES = 0x00280008
BITS_ALLOCATED = 0x00280100
BITS_STORED = 0x00280101
HIGH_BIT = 0x00280102
PIXEL_REPRESENTATION = 0x00280103
PIXEL_DATA = 0x7FE00010

_US = {True: Struct("<H").unpack_from, False: Struct(">H").unpack_from}
_INTEGER = re.compile(rb"[+-]?[0-9]{1,11}\Z")
_NAMES = {
    ROWS: "Rows",
    COLUMNS: "Columns",
    SAMPLES_PER_PIXEL: "Samples per Pixel",
    PHOTOMETRIC_INTERPRETATION: "Photometric Interpretation",
    BITS_ALLOCATED: "Bits Allocated",
    BITS_STORED: "Bits Stored",
    PIXEL_REPRESENTATION: "Pixel Representation",
}


@dataclass(frozen=True, slots=True)
class _Reader:
    data: Buffer
    walked: WalkedDataSet
    little: bool
    note: str

    def where(self, tag: int) -> str:
        element = self.walked.elements.get(tag)
        return place(tag, element[1] if element else 0, note=self.note)

    def number(self, tag: int) -> int | None:
        """The first value of a US element, None if it is absent or empty."""
        element = self.walked.elements.get(tag)
        if element is None or element[3] == 0:
            return None
        vr, _, value_offset, length = element
        if length < 2 or length % 2 or vr not in (b"", b"US", b"SS", b"UN"):
            raise PixelDataInvalid(
                f"{_NAMES.get(tag, 'The element')} is not a 16-bit number",
                where=self.where(tag),
                hint="It has VR US (PS3.6): correct it at the source.",
            )
        return int(_US[self.little](self.data, value_offset)[0])

    def text(self, tag: int) -> bytes | None:
        """The value of a short text element without padding, None if it is absent."""
        element = self.walked.elements.get(tag)
        if element is None:
            return None
        return bytes(self.data[element[2] : element[2] + min(element[3], 64)]).strip(b" \0")


def read_pixel_description(
    data: Buffer,
    walked: WalkedDataSet,
    *,
    pixel_tag: int | None,
    little_endian: bool,
    note: str,
    log: WarningLog,
) -> PixelDescription | None:
    """The checked description, None if the data set has no Rows and Columns or lacks other attributes (a warning).

    Parameters
    ----------
    pixel_tag
        The tag of the pixel data element, None if there is none.

    Raises
    ------
    PixelDataInvalid
        If an attribute is there and cannot be true of any image.
    """
    if pixel_tag is None and (ROWS not in walked.elements or COLUMNS not in walked.elements):
        return None
    reader = _Reader(data, walked, little_endian, note)
    is_float = pixel_tag is not None and pixel_tag != PIXEL_DATA
    frames = _number_of_frames(reader)
    numbers = {tag: reader.number(tag) for tag in _NAMES if tag != PHOTOMETRIC_INTERPRETATION}
    if is_float:
        # Float pixel data has no Bits Stored, High Bit and Pixel Representation (PS3.3 C.7.6.24).
        numbers[BITS_STORED] = numbers[BITS_ALLOCATED]
        numbers[PIXEL_REPRESENTATION] = 1
    photometric = reader.text(PHOTOMETRIC_INTERPRETATION) or b""
    missing = [_NAMES[tag] for tag, value in numbers.items() if value is None]
    if not photometric:
        missing.append(_NAMES[PHOTOMETRIC_INTERPRETATION])
    rows, columns = numbers[ROWS], numbers[COLUMNS]
    samples, allocated = numbers[SAMPLES_PER_PIXEL], numbers[BITS_ALLOCATED]
    stored, representation = numbers[BITS_STORED], numbers[PIXEL_REPRESENTATION]
    if (
        missing
        or rows is None
        or columns is None
        or samples is None
        or allocated is None
        or stored is None
        or representation is None
    ):
        if pixel_tag is not None:
            message = f"The pixels cannot be read: {', '.join(missing)} missing or empty"
            log.add("pixel_attributes_missing", tag_text(pixel_tag), message)
        return None
    high_bit = None if is_float else reader.number(HIGH_BIT)
    pixels = PixelDescription(
        rows=rows,
        columns=columns,
        samples_per_pixel=samples,
        photometric_interpretation=photometric.decode("ascii", "replace"),
        bits_allocated=allocated,
        bits_stored=stored,
        high_bit=stored - 1 if high_bit is None else high_bit,
        pixel_representation=representation,
        planar_configuration=reader.number(PLANAR_CONFIGURATION),
        number_of_frames=frames,
        is_float=is_float,
    )
    check_pixels(pixels, where=reader.where(ROWS))
    return pixels


def _number_of_frames(reader: _Reader) -> int:
    """Number of Frames, 1 if the element is absent."""
    text = reader.text(NUMBER_OF_FRAMES)
    if text is None:
        return 1
    if not text:
        _refuse_frames("Number of Frames is empty", reader)
    if not _INTEGER.match(text):
        _refuse_frames("Number of Frames is not an integer", reader)
    frames = int(text)
    if not 1 <= frames < 2**31:
        _refuse_frames(f"Number of Frames is {frames}", reader)
    return frames


def _refuse_frames(what: str, reader: _Reader) -> NoReturn:
    raise PixelDataInvalid(
        what, where=reader.where(NUMBER_OF_FRAMES), hint="It must be 1 to 2147483647: correct it at the source."
    )
