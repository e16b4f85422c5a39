"""The main header of a JPEG 2000 codestream, and its tile-parts, read without decoding (ISO/IEC 15444-1 A)."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from imaging.dicom.pixel_description import PixelDescription
from imaging.errors import PixelDataInvalid

_JP2_SIGNATURE = b"\x00\x00\x00\x0cjP  "
_SOC, _SIZ, _COD, _CAP, _SOT, _EOC = 0xFF4F, 0xFF51, 0xFF52, 0xFF50, 0xFF90, 0xFFD9
_EOC_BYTES = b"\xff\xd9"

MANY_TILES = 4096
SMALL_TILE_PIXELS = 32 * 32
"""More than `MANY_TILES` tiles of fewer pixels than this are a way to exhaust a decoder, not an image."""


@dataclass(frozen=True, slots=True)
class J2kHeader:
    """What the SIZ and COD marker segments say."""

    rows: int
    columns: int
    tiles: int
    components: tuple[tuple[int, bool], ...]
    """Precision in bits and signedness of each."""
    is_subsampled: bool
    has_colour_transform: bool
    is_high_throughput: bool

    @property
    def precision(self) -> int:
        """Bits of a sample of the first component."""
        return self.components[0][0]

    @property
    def is_signed(self) -> bool:
        """Whether the first component is signed."""
        return self.components[0][1]


def read_j2k_header(frame_bytes: bytes, *, is_prefix: bool = False) -> J2kHeader:
    """The header of the codestream in that frame (bare, or in a JP2 file as some writers leave it).

    Parameters
    ----------
    is_prefix
        The frame may end after any tile-part.

    Raises
    ------
    PixelDataInvalid
        If it is no JPEG 2000, its header is damaged, or a tile-part goes past the frame.
    """
    view = _codestream(memoryview(frame_bytes))
    if len(view) < 4 or struct.unpack_from(">HH", view) != (_SOC, _SIZ):
        raise _invalid(
            "The frame does not begin with a JPEG 2000 codestream", "The transfer syntax does not fit the data."
        )
    siz = _segment(view, 2)
    if len(siz) < 36:
        raise _invalid("The JPEG 2000 image size (SIZ) is too short", "The codestream is damaged.")
    _, x1, y1, x0, y0, tile_x, tile_y, tile_x0, tile_y0, count = struct.unpack_from(">H8IH", siz)
    if len(siz) != 36 + 3 * count or not count or not tile_x or not tile_y or x1 <= x0 or y1 <= y0:
        raise _invalid("The JPEG 2000 image size (SIZ) contradicts itself", "The codestream is damaged.")
    components = tuple((1 + (siz[36 + 3 * i] & 0x7F), bool(siz[36 + 3 * i] & 0x80)) for i in range(count))

    colour_transform = high_throughput = False
    offset = 4 + len(siz) + 2
    while (marker := _marker(view, offset)) != _SOT:
        segment = _segment(view, offset)
        if marker == _COD and len(segment) >= 5:
            colour_transform = segment[4] == 1
        high_throughput |= marker == _CAP
        offset += 4 + len(segment)
    _check_tile_parts(view, offset, is_prefix=is_prefix)
    return J2kHeader(
        rows=y1 - y0,
        columns=x1 - x0,
        tiles=-(-(x1 - tile_x0) // tile_x) * -(-(y1 - tile_y0) // tile_y),
        components=components,
        is_subsampled=any(siz[37 + 3 * i] != 1 or siz[38 + 3 * i] != 1 for i in range(count)),
        has_colour_transform=colour_transform,
        is_high_throughput=high_throughput,
    )


def check_j2k_header(header: J2kHeader, pixels: PixelDescription) -> None:
    """Pass if the codestream holds the image that the attributes declare, in tiles of a sane number.

    Raises
    ------
    PixelDataInvalid
        Naming both values that contradict each other.
    """
    other_image = "The attributes and the pixel data are of different images."
    if (header.rows, header.columns) != (pixels.rows, pixels.columns):
        raise _invalid(
            f"The codestream is {header.rows} rows x {header.columns} columns, Rows and Columns say"
            f" {pixels.rows} x {pixels.columns}",
            other_image,
        )
    if len(header.components) != pixels.samples_per_pixel:
        raise _invalid(
            f"The codestream has {len(header.components)} components, Samples per Pixel is {pixels.samples_per_pixel}",
            other_image,
        )
    if any(component != header.components[0] for component in header.components) or header.is_subsampled:
        raise _invalid(
            "The components of the codestream differ in precision, sign or sampling",
            "DICOM images have components of one kind; encode the image again.",
        )
    if header.precision > max(pixels.bits_allocated, 1):
        raise _invalid(
            f"The codestream has samples of {header.precision} bits, Bits Allocated is {pixels.bits_allocated}",
            other_image,
        )
    if header.tiles > MANY_TILES and header.tiles * SMALL_TILE_PIXELS > pixels.rows * pixels.columns:
        raise _invalid(
            f"The codestream is cut into {header.tiles} tiles for {pixels.rows} x {pixels.columns} pixels",
            f"More than {MANY_TILES} tiles must have at least {SMALL_TILE_PIXELS} pixels each.",
        )


def _codestream(view: memoryview) -> memoryview:
    """What the contiguous codestream box of a JP2 file holds, or the bytes themselves (15444-1 I.4)."""
    if bytes(view[:8]) != _JP2_SIGNATURE:
        return view
    offset = 0
    while offset + 8 <= len(view):
        length, kind = struct.unpack_from(">I4s", view, offset)
        header = 8
        if length == 1 and offset + 16 <= len(view):
            (length,), header = struct.unpack_from(">Q", view, offset + 8), 16
        if kind == b"jp2c":
            return view[offset + header : offset + length if length else len(view)]
        if length < header:
            break
        offset += length
    raise _invalid("A JP2 file without a codestream", "The pixel data is damaged or was cut.")


def _check_tile_parts(view: memoryview, offset: int, *, is_prefix: bool) -> None:
    """Pass if every tile-part lies in the frame and the codestream ends: decoders accept less and fill in."""
    while _marker(view, offset) == _SOT:
        if offset + 12 > len(view):
            raise _cut(offset)
        (length,) = struct.unpack_from(">I", view, offset + 6)
        if length == 0:  # the last tile-part goes on to the end (15444-1 A.4.2)
            if bytes(view[offset:]).rfind(_EOC_BYTES) < 0:
                raise _cut(offset)
            return
        if length < 14 or offset + length > len(view):
            raise _cut(offset)
        offset += length
        if is_prefix and offset == len(view):
            return
    if _marker(view, offset) != _EOC:
        raise _cut(offset)


def _marker(view: memoryview, offset: int) -> int:
    if offset + 2 > len(view):
        raise _cut(offset)
    return int.from_bytes(view[offset : offset + 2], "big")


def _segment(view: memoryview, offset: int) -> memoryview:
    """The content of the marker segment at `offset`, without marker and length."""
    length = int.from_bytes(view[offset + 2 : offset + 4], "big")
    segment = view[offset + 4 : offset + 2 + length]
    if length < 2 or len(segment) != length - 2 or view[offset] != 0xFF:
        raise _cut(offset)
    return segment


def _cut(offset: int) -> PixelDataInvalid:
    return _invalid(
        f"The JPEG 2000 codestream is damaged at byte {offset}", "It was cut or overwritten: send the whole frame."
    )


def _invalid(what: str, hint: str) -> PixelDataInvalid:
    return PixelDataInvalid(what, where="Pixel Data (7FE0,0010)", hint=hint)
