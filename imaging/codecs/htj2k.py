"""High-Throughput JPEG 2000 by OpenJPH (ISO/IEC 15444-15; PS3.5 8.2.17, A.4.11)."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from imaging.codecs.decoded_samples import DecodedSamples
from imaging.codecs.j2k_header import check_j2k_header, read_j2k_header
from imaging.codecs.jpeg_2000 import check_encodable, described
from imaging.codecs.resolution_levels import resolution_prefixes
from imaging.dicom.pixel_description import PixelDescription
from imaging.dicom.transfer_syntax import TransferSyntax
from imaging.errors import PixelDataInvalid

_TILE_PARTS_BY_RESOLUTION = 1
_lock = threading.Lock()
"""One decoding at a time in a process: `_ignored_errors` replaces a hook that is global."""
_first = threading.Lock()
"""One thread alone fills OpenJPH's tables."""


def decode(
    frame_bytes: bytes, syntax: TransferSyntax, pixels: PixelDescription, *, resolution_level: int = 0
) -> DecodedSamples:
    """The samples of one HTJ2K frame, after the inverse of the codestream's own colour transform.

    Parameters
    ----------
    resolution_level
        Not 0: `frame_bytes` is the frame or a prefix of it, and the image of that level is given (see
        `imaging.codecs.resolution_levels`).

    Raises
    ------
    PixelDataInvalid
        If the codestream contradicts the attributes, was cut, or is classic JPEG 2000.
    """
    if resolution_level:
        frame_bytes = _prefix(frame_bytes, syntax, resolution_level)
    header = read_j2k_header(frame_bytes, is_prefix=resolution_level > 0)
    check_j2k_header(header, pixels)
    if not header.is_high_throughput:
        raise PixelDataInvalid(
            "The codestream is classic JPEG 2000",
            where="Pixel Data (7FE0,0010)",
            hint=f"{syntax.name} needs high-throughput block coding: the transfer syntax is wrong.",
        )
    _prepare()
    with _lock, _ignored_errors() as ignored:
        if resolution_level:
            samples = imagecodecs.htj2k_decode(frame_bytes, planar=False, skipres=resolution_level, resilient=True)
        else:
            samples = imagecodecs.htj2k_decode(frame_bytes, planar=False)
    if ignored:
        raise PixelDataInvalid(
            f"The HTJ2K decoder gave up inside the frame: {ignored[0]}",
            where="Pixel Data (7FE0,0010)",
            hint="The pixel data is damaged: send the whole frame again.",
        )
    return described(samples, header, pixels)


def encode(samples: NDArray[Any], syntax: TransferSyntax, pixels: PixelDescription) -> bytes:
    """One frame in reversible HTJ2K: RPCL order, a tile-part for each resolution and a TLM marker.

    A prefix of these bytes is a smaller image. The precision is that of Bits Allocated, which the encoder cannot
    narrow; decoders take it from the codestream.

    Raises
    ------
    InvalidArgument
        If the samples have more than 16 bits.
    """
    check_encodable(pixels)
    _prepare()
    codestream = imagecodecs.htj2k_encode(
        np.ascontiguousarray(samples),
        reversible=True,
        rgb=pixels.photometric_interpretation == "YBR_RCT",
        planar=False,
        tlm=True,
        tilepart=_TILE_PARTS_BY_RESOLUTION,
    )
    return bytes(codestream)


def _prepare() -> None:
    """Have OpenJPH fill its tables before threads share them.

    Up to version 0.26.3 its first call does so without a lock: of frames that several threads encoded at that moment,
    one in some hundred held wrong codewords, and decoded to an error or to other pixels.
    """
    with _first:
        _fill_tables()


@cache
def _fill_tables() -> None:
    imagecodecs.htj2k_encode(np.zeros((1, 1), np.uint8), reversible=True)


def _prefix(frame_bytes: bytes, syntax: TransferSyntax, resolution_level: int) -> bytes:
    prefixes = resolution_prefixes(frame_bytes, syntax.uid)
    if resolution_level >= len(prefixes) or prefixes[resolution_level] > len(frame_bytes):
        raise PixelDataInvalid(
            f"The frame does not hold resolution level {resolution_level}",
            where="Pixel Data (7FE0,0010)",
            hint="Decode it at the level that was told with it.",
        )
    return frame_bytes[: prefixes[resolution_level]]


@contextmanager
def _ignored_errors() -> Iterator[list[str]]:
    """Collects what OpenJPH raises half-way through: imagecodecs loses it and returns a half-filled image."""
    ignored: list[str] = []
    previous = sys.unraisablehook

    def notice(unraisable: sys.UnraisableHookArgs) -> None:
        if "imagecodecs" in str(unraisable.object):
            ignored.append(str(unraisable.exc_value))
        else:
            previous(unraisable)

    sys.unraisablehook = notice
    try:
        yield ignored
    finally:
        sys.unraisablehook = previous
