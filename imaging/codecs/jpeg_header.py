"""The header of a JPEG or JPEG-LS codestream, read without decoding (ISO/IEC 10918-1 B, 14495-1 C)."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from imaging.dicom.pixel_description import PixelDescription
from imaging.errors import PixelDataInvalid

SOF_BASELINE = 0xC0
SOF_EXTENDED = 0xC1
SOF_PROGRESSIVE = 0xC2
SOF_LOSSLESS = 0xC3
SOF_JPEG_LS = 0xF7
_PROCESS_NAMES = {
    SOF_BASELINE: "baseline",
    SOF_EXTENDED: "extended sequential",
    SOF_PROGRESSIVE: "progressive",
    SOF_LOSSLESS: "lossless",
    SOF_JPEG_LS: "JPEG-LS",
    0xC5: "hierarchical",
    0xC6: "hierarchical progressive",
    0xC7: "hierarchical lossless",
    0xC9: "arithmetic-coded",
    0xCA: "arithmetic-coded progressive",
    0xCB: "arithmetic-coded lossless",
    0xCD: "arithmetic-coded hierarchical",
    0xCE: "arithmetic-coded hierarchical progressive",
    0xCF: "arithmetic-coded hierarchical lossless",
}
_SOI, _EOI, _SOS, _APP0, _APP14 = 0xD8, 0xD9, 0xDA, 0xE0, 0xEE
_EOI_BYTES = b"\xff\xd9"


@dataclass(frozen=True, slots=True)
class JpegHeader:
    """What the frame header (SOF) and the application markers before it say."""

    process: int
    """Second byte of the SOF marker."""
    precision: int
    rows: int
    columns: int
    component_ids: tuple[int, ...]
    is_jfif: bool
    adobe_transform: int | None
    """0: no colour transform, 1: YCbCr; None without Adobe's APP14 marker."""
    components_in_scan: int
    """Of the first scan: 1 where each component has one of its own."""

    @property
    def process_name(self) -> str:
        """The coding process in words."""
        return _PROCESS_NAMES[self.process]

    @property
    def has_rgb_component_ids(self) -> bool:
        """Whether the components are named R, G, B (or r, g, b) in ASCII."""
        return bytes(self.component_ids) in (b"RGB", b"rgb")


def read_jpeg_header(codestream: bytes) -> JpegHeader:
    """The header of that codestream, which must also hold the marker that ends an image.

    Raises
    ------
    PixelDataInvalid
        If it is no JPEG, its marker segments are damaged, or it was cut: the decoders would fill in grey silently.
    """
    view = memoryview(codestream)
    if len(view) < 4 or view[0] != 0xFF or view[1] != _SOI:
        raise _invalid("The frame does not begin with a JPEG codestream", "The transfer syntax does not fit the data.")
    frame: tuple[int, int, int, int, tuple[int, ...]] | None = None
    is_jfif, adobe_transform = False, None
    offset = 2
    while True:
        while offset + 1 < len(view) and view[offset] == 0xFF and view[offset + 1] == 0xFF:
            offset += 1  # fill bytes may stand before any marker (10918-1 B.1.1.2)
        if offset + 4 > len(view) or view[offset] != 0xFF:
            raise _invalid(f"No JPEG marker at byte {offset} of the frame", "The codestream is damaged or was cut.")
        marker = view[offset + 1]
        (length,) = struct.unpack_from(">H", view, offset + 2)
        segment = view[offset + 4 : offset + 2 + length]
        if length < 2 or len(segment) != length - 2:
            raise _invalid(
                f"JPEG marker segment of {length} bytes at byte {offset} goes past the frame",
                "The codestream is damaged or was cut.",
            )
        if marker in _PROCESS_NAMES:
            frame = frame or _read_frame_header(marker, segment, offset)
        elif marker == _APP0 and bytes(segment[:4]) == b"JFIF":
            is_jfif = True
        elif marker == _APP14 and bytes(segment[:5]) == b"Adobe" and len(segment) >= 12:
            adobe_transform = segment[11]
        elif marker == _SOS:
            components_in_scan = segment[0] if segment else 0
            break
        offset += 2 + length
    if frame is None:
        raise _invalid("A JPEG scan without a frame header", "The codestream is damaged.")
    if codestream.rfind(_EOI_BYTES, offset) < 0:
        raise _invalid("The JPEG codestream does not end", "It was cut: send the whole frame.")
    return JpegHeader(*frame, is_jfif=is_jfif, adobe_transform=adobe_transform, components_in_scan=components_in_scan)


def check_jpeg_header(
    header: JpegHeader, pixels: PixelDescription, processes: frozenset[int], syntax_name: str
) -> None:
    """Pass if the codestream is of an allowed process and holds the image that the attributes declare.

    Raises
    ------
    PixelDataInvalid
        Naming both values that contradict each other.
    """
    if header.process not in processes:
        raise _invalid(
            f"The codestream is {header.process_name} JPEG, which {syntax_name} does not allow",
            "The transfer syntax is wrong, or the sender encoded in another one.",
        )
    if (header.rows, header.columns) != (pixels.rows, pixels.columns):
        raise _invalid(
            f"The codestream is {header.rows} rows x {header.columns} columns, Rows and Columns say"
            f" {pixels.rows} x {pixels.columns}",
            "The attributes and the pixel data are of different images.",
        )
    if len(header.component_ids) != pixels.samples_per_pixel:
        raise _invalid(
            f"The codestream has {len(header.component_ids)} components, Samples per Pixel is"
            f" {pixels.samples_per_pixel}",
            "The attributes and the pixel data are of different images.",
        )
    if not 2 <= header.precision <= pixels.bits_allocated:
        raise _invalid(
            f"The codestream has samples of {header.precision} bits, Bits Allocated is {pixels.bits_allocated}",
            "The attributes and the pixel data are of different images.",
        )


def _read_frame_header(marker: int, segment: memoryview, offset: int) -> tuple[int, int, int, int, tuple[int, ...]]:
    if len(segment) < 6 or len(segment) < 6 + 3 * segment[5]:
        raise _invalid(f"JPEG frame header at byte {offset} is too short", "The codestream is damaged.")
    precision, rows, columns, count = struct.unpack_from(">BHHB", segment)
    return marker, precision, rows, columns, tuple(segment[6 : 6 + 3 * count : 3])


def _invalid(what: str, hint: str) -> PixelDataInvalid:
    return PixelDataInvalid(what, where="Pixel Data (7FE0,0010)", hint=hint)
