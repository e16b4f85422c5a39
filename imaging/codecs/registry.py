"""Which codec decodes which transfer syntax."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from numpy.typing import NDArray

from imaging.codecs import deflated_frame, htj2k, jpeg, jpeg_2000, jpeg_ls, native, rle
from imaging.codecs.decoded_samples import DecodedSamples
from imaging.dicom import transfer_syntax as ts
from imaging.dicom.pixel_description import PixelDescription
from imaging.errors import UnsupportedTransferSyntax

DecodeFunction = Callable[[bytes, ts.TransferSyntax, PixelDescription], DecodedSamples]
EncodeFunction = Callable[[NDArray[Any], ts.TransferSyntax, PixelDescription], bytes]


@dataclass(frozen=True, slots=True)
class Codec:
    """How one family of transfer syntaxes is decoded, and encoded where that is needed."""

    name: str
    decode: DecodeFunction
    encode: EncodeFunction | None = None
    is_foreign: bool = True
    """Whether foreign native code parses the bytes, which then belongs into a process of its own."""


_NATIVE = Codec("native", native.decode, native.encode, is_foreign=False)
_DEFLATED = Codec("deflated frame", deflated_frame.decode, deflated_frame.encode, is_foreign=False)
_RLE = Codec("RLE", rle.decode, rle.encode)
_JPEG = Codec("JPEG", jpeg.decode)
_JPEG_LS_LOSSLESS = Codec("JPEG-LS", jpeg_ls.decode, jpeg_ls.encode)
_JPEG_2000_LOSSLESS = Codec("JPEG 2000", jpeg_2000.decode, jpeg_2000.encode)
_HTJ2K_LOSSLESS = Codec("HTJ2K", htj2k.decode, htj2k.encode)

CODECS: Mapping[str, Codec] = MappingProxyType(
    {
        ts.IMPLICIT_VR_LITTLE_ENDIAN: _NATIVE,
        ts.EXPLICIT_VR_LITTLE_ENDIAN: _NATIVE,
        ts.ENCAPSULATED_UNCOMPRESSED: _NATIVE,
        ts.DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN: _NATIVE,
        ts.EXPLICIT_VR_BIG_ENDIAN: _NATIVE,
        ts.GE_PRIVATE_IMPLICIT: _NATIVE,
        ts.DEFLATED_IMAGE_FRAME: _DEFLATED,
        ts.RLE_LOSSLESS: _RLE,
        ts.JPEG_BASELINE_8BIT: _JPEG,
        ts.JPEG_EXTENDED_12BIT: _JPEG,
        ts.JPEG_LOSSLESS: _JPEG,
        ts.JPEG_LOSSLESS_SV1: _JPEG,
        ts.JPEG_LS_LOSSLESS: _JPEG_LS_LOSSLESS,
        ts.JPEG_LS_NEAR_LOSSLESS: Codec("JPEG-LS", jpeg_ls.decode),
        ts.JPEG_2000_LOSSLESS: _JPEG_2000_LOSSLESS,
        ts.JPEG_2000: Codec("JPEG 2000", jpeg_2000.decode),
        ts.HTJ2K_LOSSLESS: _HTJ2K_LOSSLESS,
        ts.HTJ2K_LOSSLESS_RPCL: _HTJ2K_LOSSLESS,
        ts.HTJ2K: Codec("HTJ2K", htj2k.decode),
    }
)
"""Every transfer syntax whose pixels can be decoded, by UID."""


def codec_for(transfer_syntax_uid: str) -> Codec:
    """The codec of that transfer syntax.

    Raises
    ------
    UnsupportedTransferSyntax
        If its pixels cannot be decoded here, or it is unknown.
    """
    codec = CODECS.get(transfer_syntax_uid)
    if codec is None:
        syntax = ts.transfer_syntax(transfer_syntax_uid)
        raise UnsupportedTransferSyntax(
            f"Pixel data in {syntax.name} cannot be decoded",
            where="Transfer Syntax UID (0002,0010)",
            hint="It is stored as it is; send it in another transfer syntax to have it processed.",
            metadata={"transfer_syntax_uid": transfer_syntax_uid},
        )
    return codec
