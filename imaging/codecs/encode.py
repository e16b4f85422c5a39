"""One frame's stored values to one frame's bytes, without loss."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from imaging.codecs.decode import check_decodable, frame_shape
from imaging.codecs.registry import CODECS, codec_for
from imaging.codecs.sample_type import sample_type
from imaging.dicom.pixel_description import PixelDescription
from imaging.dicom.transfer_syntax import transfer_syntax
from imaging.errors import InvalidArgument, UnsupportedTransferSyntax


def encode_frame(samples: NDArray[Any], transfer_syntax_uid: str, pixels: PixelDescription) -> bytes:
    """The bytes of one frame in that transfer syntax, without padding to an even length, lossless.

    RGB is written as RGB, and with YBR_RCT as photometric interpretation (JPEG 2000 family only) RGB samples are
    written with the reversible colour transform; nothing else is converted.

    Parameters
    ----------
    samples
        Stored values, shape (rows, columns) or (rows, columns, samples), of any integer or float type that holds them.
    pixels
        What the header of the new image says.

    Raises
    ------
    InvalidArgument
        If the samples are not what `pixels` describes, or the codec cannot hold them.
    UnsupportedTransferSyntax
        If nothing is encoded in that transfer syntax.
    """
    codec = codec_for(transfer_syntax_uid)
    syntax = transfer_syntax(transfer_syntax_uid)
    if codec.encode is None or not syntax.lossless:
        raise UnsupportedTransferSyntax(
            f"Nothing is encoded in {syntax.name}",
            where="Transfer Syntax UID (0002,0010)",
            hint="Lossless ones that are written: "
            + ", ".join(uid for uid, each in CODECS.items() if each.encode is not None)
            + ".",
        )
    check_decodable(pixels)
    if samples.shape != frame_shape(pixels):
        raise InvalidArgument(
            f"Samples of shape {samples.shape} where the description says {frame_shape(pixels)}",
            where="encode_frame",
            hint="Axes are (rows, columns) or (rows, columns, samples).",
        )
    _check_range(samples, pixels)
    stored = np.ascontiguousarray(samples, dtype=sample_type(pixels))
    return codec.encode(stored, syntax, pixels)


def _check_range(samples: NDArray[Any], pixels: PixelDescription) -> None:
    if pixels.is_float:
        return
    if samples.dtype.kind not in "iub":
        raise InvalidArgument(
            f"Samples of type {samples.dtype} cannot be stored as integers",
            where="encode_frame",
            hint="Round them first.",
        )
    lowest, highest = 0, (1 << pixels.bits_stored) - 1
    if pixels.pixel_representation:
        lowest, highest = -(1 << (pixels.bits_stored - 1)), (1 << (pixels.bits_stored - 1)) - 1
    if int(samples.min()) < lowest or int(samples.max()) > highest:
        raise InvalidArgument(
            f"Samples from {int(samples.min())} to {int(samples.max())} do not fit into {lowest} to {highest}",
            where="Bits Stored (0028,0101)",
            hint="Store more bits, or rescale the samples.",
        )
