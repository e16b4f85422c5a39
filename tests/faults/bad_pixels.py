"""Bad pixels: attributes that no image can have, pixel data that is not what they say, codestreams made to exhaust."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterable
from functools import partial

import imagecodecs
import numpy as np

from imaging.codecs.encode import encode_frame
from imaging.dicom import transfer_syntax as ts
from imaging.dicom.pixel_description import PixelDescription
from imaging.errors import InvalidArgument, PixelDataInvalid, TruncatedDicom
from tests.dicom.part10 import (
    Values,
    data_set,
    element,
    encapsulated,
    file_meta,
    image,
    part10,
    us,
)
from tests.faults.bad_input import BadInput, Refused, Taken

ROWS, COLUMNS, SAMPLES, PHOTOMETRIC, FRAMES = 0x00280010, 0x00280011, 0x00280002, 0x00280004, 0x00280008
ALLOCATED, STORED, HIGH_BIT, REPRESENTATION, PLANAR = 0x00280100, 0x00280101, 0x00280102, 0x00280103, 0x00280006
PIXELS = 0x7FE00010
SIDE = 24

_random = np.random.default_rng(5)
BYTES = _random.integers(0, 256, (SIDE, SIDE), dtype=np.uint8)
WORDS = _random.integers(0, 4096, (SIDE, SIDE), dtype=np.uint16)
DEEP = PixelDescription(SIDE, SIDE, 1, "MONOCHROME2", 16, 12, 11, 0)
GREY = PixelDescription(SIDE, SIDE, 1, "MONOCHROME2", 8, 8, 7, 0)


def numbers(**values: int) -> Values:
    """US elements by the names of this file."""
    return {globals()[name]: ("US", us(value)) for name, value in values.items()}


def colour(rows: int, columns: int) -> Values:
    """The attributes of 8-bit RGB."""
    rgb = numbers(ROWS=rows, COLUMNS=columns, SAMPLES=3, PLANAR=0, ALLOCATED=8, STORED=8, HIGH_BIT=7)
    return rgb | {PHOTOMETRIC: ("CS", b"RGB ")}


def native(values: Values, pixel_data: bytes | None = None) -> bytes:
    """An image of 4 x 4 with some values replaced."""
    return part10(image(pixel_data=pixel_data) | values)


def compressed(syntax: str, frames: Iterable[bytes], values: Values | None = None, *, close: bool = True) -> bytes:
    """An image of 24 x 24 whose pixel data are these fragments."""
    attributes = image(SIDE, SIDE, pixel_data=b"") | (values or {})
    del attributes[PIXELS]
    return file_meta(syntax) + data_set(attributes) + encapsulated(frames, close=close)


EIGHT = numbers(ALLOCATED=8, STORED=8, HIGH_BIT=7)


def jpeg(picture: np.ndarray, **options: object) -> bytes:
    """A JPEG of even length."""
    frame = bytes(imagecodecs.jpeg8_encode(picture, **options))
    return frame + b"\0" * (len(frame) % 2)


def j2k(**size: int) -> bytes:
    """A JPEG 2000 codestream that declares another size (ISO/IEC 15444-1 A.5.1)."""
    offsets = {"columns": 8, "rows": 12, "tile_columns": 24, "tile_rows": 28}
    frame = bytearray(encode_frame(WORDS, ts.JPEG_2000_LOSSLESS, DEEP))
    for name, value in size.items():
        struct.pack_into(">I", frame, offsets[name], value)
    return bytes(frame) + b"\0" * (len(frame) % 2)


def deflated_bomb() -> bytes:
    """A deflated frame that inflates to 512 MiB."""
    deflater = zlib.compressobj(9, wbits=-15)
    stream = b"".join(deflater.compress(bytes(1 << 20)) for _ in range(512)) + deflater.flush()
    return stream + b"\0" * (len(stream) % 2)


def impossible(name: str, values: Values, tag: int = ROWS) -> BadInput:
    """Attributes that no image has."""
    place = f"({tag >> 16:04X},{tag & 0xFFFF:04X})"
    return BadInput(name, partial(native, values), Refused(PixelDataInvalid, place, "must be"))


def undecodable(name: str, make: Callable[[], bytes], *warnings: str) -> BadInput:
    """Kept as sent; asking for its frame is an error."""
    return BadInput(name, make, Taken(warnings, frames=PixelDataInvalid))


PIXEL_DATA = [
    *(
        impossible(f"{count} frames", {FRAMES: ("IS", value)}, FRAMES)
        for count, value in {
            "2^31": b"2147483648",
            "-1": b"-1",
            "0": b"0 ",
            "1e9": b"1e9 ",
            "no": b"",
            "1.0": b"1.0 ",
            "9 x 60": b"9" * 60,
        }.items()
    ),
    *(impossible(f"Bits Allocated {bits}", numbers(ALLOCATED=bits)) for bits in (0, 1, 12, 2048)),
    *(impossible(f"Bits Stored {bits} of 16", numbers(STORED=bits)) for bits in (0, 17, 65535)),
    *(impossible(f"High Bit {bit} of 16", numbers(HIGH_BIT=bit)) for bit in (10, 16, 65535)),
    *(impossible(f"{count} samples a pixel", numbers(SAMPLES=count)) for count in (0, 2, 255)),
    *(impossible(f"{name} 0", numbers(**{name: 0})) for name in ("ROWS", "COLUMNS")),
    impossible("Pixel Representation 2", numbers(REPRESENTATION=2)),
    BadInput("Rows as text", lambda: native({ROWS: ("LO", b"4 ")}), Refused(PixelDataInvalid, "(0028,0010)", "16-bit")),
    BadInput("no pixel data at all", lambda: part10({k: v for k, v in image().items() if k != PIXELS}),
             Refused(TruncatedDicom, says="pixel data")),
    undecodable("2^31 - 1 frames of which none is there", lambda: native({FRAMES: ("IS", b"2147483647")}, bytes(2)),
                "PIXEL_MISMATCH"),
    undecodable("pixel data one row short", lambda: native({}, bytes(24)), "PIXEL_MISMATCH"),
    undecodable("pixel data two bytes short", lambda: native({}, bytes(30)), "PIXEL_MISMATCH"),
    undecodable("1024 x 1024 RGB in a file of 500 bytes", lambda: native(colour(1024, 1024), bytes(2)),
                "PIXEL_MISMATCH"),
    undecodable("65535 x 65535 monochrome", lambda: native(numbers(ROWS=65535, COLUMNS=65535), bytes(2)),
                "PIXEL_MISMATCH"),
    BadInput("pixel data too long", lambda: native({}, bytes(40)), Taken(("PIXEL_PADDING",), frames=1)),
    BadInput("second of three frames cut", lambda: native({FRAMES: ("IS", b"3 ")}, bytes(48)),
             Taken(("PIXEL_MISMATCH",), frames=PixelDataInvalid)),
    BadInput("no Photometric Interpretation", lambda: native({PHOTOMETRIC: ("CS", b"")}),
             Taken(("PIXEL_ATTRIBUTES_MISSING",), frames=InvalidArgument)),
    BadInput("fragments in a native syntax",
             lambda: part10(data_set({k: v for k, v in image().items() if k != PIXELS}) + encapsulated([b"\xff\xd8"])),
             Taken(("PIXEL_ENCODING",), frames=PixelDataInvalid)),
    undecodable("native pixels in a JPEG syntax", lambda: part10(image(), ts.JPEG_BASELINE_8BIT), "PIXEL_ENCODING"),
    BadInput("fragments without an end", lambda: compressed(ts.RLE_LOSSLESS, [bytes(64)], close=False),
             Refused(TruncatedDicom, "(7FE0,0010)")),
    BadInput("a fragment longer than the file",
             lambda: compressed(ts.RLE_LOSSLESS, [], close=False) + element(0xFFFEE000, "", b"", length=1 << 30),
             Refused(TruncatedDicom, "(7FE0,0010)")),
    BadInput("a fragment of odd length", lambda: compressed(ts.JPEG_BASELINE_8BIT, [jpeg(BYTES) + b"\0"], EIGHT),
             Taken(("ODD_LENGTH",), frames=1)),
    undecodable("no fragment at all", lambda: compressed(ts.RLE_LOSSLESS, []), "PIXEL_MISMATCH"),
    undecodable("JPEG of another size", lambda: compressed(ts.JPEG_BASELINE_8BIT, [jpeg(BYTES[:8])], EIGHT)),
    undecodable("JPEG of 12 bits in the 8-bit syntax",
                lambda: compressed(ts.JPEG_BASELINE_8BIT, [jpeg(WORDS, bitspersample=12)])),
    undecodable("JPEG with arithmetic coding",
                lambda: compressed(ts.JPEG_BASELINE_8BIT, [jpeg(BYTES).replace(b"\xff\xc0", b"\xff\xc9", 1)], EIGHT)),
    undecodable("JPEG that declares 65535 x 65535", lambda: compressed(
        ts.JPEG_BASELINE_8BIT, [jpeg(BYTES).replace(struct.pack(">HH", SIDE, SIDE), b"\xff\xff\xff\xff", 1)], EIGHT)),
    undecodable("JPEG 2000 that declares 65535 x 65535",
                lambda: compressed(ts.JPEG_2000_LOSSLESS, [j2k(rows=65535, columns=65535)])),
    undecodable("JPEG 2000 that is 65535 x 65535 as its attributes say", lambda: compressed(
        ts.JPEG_2000_LOSSLESS, [j2k(rows=65535, columns=65535)], numbers(ROWS=65535, COLUMNS=65535))),
    undecodable("JPEG 2000 with tiles of one pixel",
                lambda: compressed(ts.JPEG_2000_LOSSLESS, [j2k(tile_columns=1, tile_rows=1, rows=4096, columns=4096)],
                                   numbers(ROWS=4096, COLUMNS=4096))),
    undecodable("JPEG 2000 cut in the middle", lambda: compressed(ts.JPEG_2000_LOSSLESS, [j2k()[:200]])),
    undecodable("noise in a HTJ2K syntax", lambda: compressed(ts.HTJ2K_LOSSLESS, [_random.bytes(2000)])),
    undecodable("noise in a JPEG-LS syntax", lambda: compressed(ts.JPEG_LS_LOSSLESS, [_random.bytes(2000)])),
    undecodable("noise in the RLE syntax", lambda: compressed(ts.RLE_LOSSLESS, [_random.bytes(2000)])),
    undecodable("RLE segments beyond the frame",
                lambda: compressed(ts.RLE_LOSSLESS, [struct.pack("<16I", 2, 64, 1 << 30, *[0] * 13) + bytes(64)])),
    undecodable("a deflated frame of 512 MiB", lambda: compressed(ts.DEFLATED_IMAGE_FRAME, [deflated_bomb()])),
]  # fmt: skip
