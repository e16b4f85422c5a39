"""Images of many frames in every compressed transfer syntax that can be made here, in memory."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from functools import cache

import imagecodecs
import numpy as np

from imaging.codecs.encode import encode_frame
from imaging.dicom import transfer_syntax as ts
from imaging.dicom.pixel_description import PixelDescription
from tests.dicom.part10 import data_set, encapsulated, file_meta, image
from tests.faults.bad_pixels import FRAMES, PIXELS, numbers


def _ours(syntax: str) -> Callable[[np.ndarray], bytes]:
    def encode(frame: np.ndarray) -> bytes:
        return encode_frame(frame, syntax, PixelDescription(*frame.shape, 1, "MONOCHROME2", 16, 12, 11, 0))

    return encode


ENCODERS: Mapping[str, Callable[[np.ndarray], bytes]] = {
    ts.RLE_LOSSLESS: _ours(ts.RLE_LOSSLESS),
    ts.JPEG_BASELINE_8BIT: lambda frame: bytes(imagecodecs.jpeg8_encode((frame >> 4).astype(np.uint8))),
    ts.JPEG_EXTENDED_12BIT: lambda frame: bytes(imagecodecs.jpeg8_encode(frame, bitspersample=12)),
    ts.JPEG_LOSSLESS_SV1: lambda frame: bytes(
        imagecodecs.jpeg8_encode(frame, lossless=True, predictor=1, bitspersample=12)
    ),
    ts.JPEG_LS_LOSSLESS: _ours(ts.JPEG_LS_LOSSLESS),
    ts.JPEG_2000_LOSSLESS: _ours(ts.JPEG_2000_LOSSLESS),
    ts.HTJ2K_LOSSLESS_RPCL: _ours(ts.HTJ2K_LOSSLESS_RPCL),
    ts.DEFLATED_IMAGE_FRAME: _ours(ts.DEFLATED_IMAGE_FRAME),
}
"""By transfer syntax: a frame of 12 bits to its bytes."""


@cache
def compressed_image(transfer_syntax_uid: str, frames: int = 8, side: int = 64) -> bytes:
    """An image of so many different frames of `side` x `side` pixels, with a Basic Offset Table."""
    fragments = []
    for index in range(frames):
        rows, columns = np.mgrid[:side, :side]
        noise = np.random.default_rng(index).integers(0, 64, (side, side))
        frame = (((rows * 31 + columns * 17 + index * 101) % 2048) + noise).astype(np.uint16)
        fragment = ENCODERS[transfer_syntax_uid](frame)
        fragments.append(fragment + b"\0" * (len(fragment) % 2))
    offsets, position = [], 0
    for fragment in fragments:
        offsets.append(position)
        position += len(fragment) + 8
    attributes = image(side, side, pixel_data=b"")
    if transfer_syntax_uid == ts.JPEG_BASELINE_8BIT:
        attributes |= numbers(ALLOCATED=8, STORED=8, HIGH_BIT=7)
    text = str(frames).encode()
    attributes[FRAMES] = ("IS", text + b" " * (len(text) % 2))
    del attributes[PIXELS]
    table = struct.pack(f"<{frames}I", *offsets)
    return file_meta(transfer_syntax_uid) + data_set(attributes) + encapsulated(fragments, table=table)
