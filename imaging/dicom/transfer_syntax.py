"""The transfer syntaxes: how data sets are encoded and which family of codecs their pixels need (PS3.5 10, PS3.6 A)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from imaging.dicom.uid import is_valid_uid
from imaging.errors import UnsupportedTransferSyntax

IMPLICIT_VR_LITTLE_ENDIAN = "1.2.840.10008.1.2"
EXPLICIT_VR_LITTLE_ENDIAN = "1.2.840.10008.1.2.1"
ENCAPSULATED_UNCOMPRESSED = "1.2.840.10008.1.2.1.98"
DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN = "1.2.840.10008.1.2.1.99"
EXPLICIT_VR_BIG_ENDIAN = "1.2.840.10008.1.2.2"
RLE_LOSSLESS = "1.2.840.10008.1.2.5"
JPEG_BASELINE_8BIT = "1.2.840.10008.1.2.4.50"
JPEG_EXTENDED_12BIT = "1.2.840.10008.1.2.4.51"
JPEG_LOSSLESS = "1.2.840.10008.1.2.4.57"
JPEG_LOSSLESS_SV1 = "1.2.840.10008.1.2.4.70"
JPEG_LS_LOSSLESS = "1.2.840.10008.1.2.4.80"
JPEG_LS_NEAR_LOSSLESS = "1.2.840.10008.1.2.4.81"
JPEG_2000_LOSSLESS = "1.2.840.10008.1.2.4.90"
JPEG_2000 = "1.2.840.10008.1.2.4.91"
HTJ2K_LOSSLESS = "1.2.840.10008.1.2.4.201"
HTJ2K_LOSSLESS_RPCL = "1.2.840.10008.1.2.4.202"
HTJ2K = "1.2.840.10008.1.2.4.203"
DEFLATED_IMAGE_FRAME = "1.2.840.10008.1.2.8.1"
GE_PRIVATE_IMPLICIT = "1.2.840.113619.5.2"


class PixelFamily(StrEnum):
    """Which kind of codec the pixels need."""

    NATIVE = "native"
    RLE = "rle"
    JPEG = "jpeg"
    JPEG_LOSSLESS = "jpeg_lossless"
    JPEG_LS = "jpeg_ls"
    JPEG_2000 = "jpeg_2000"
    JPEG_XL = "jpeg_xl"
    HTJ2K = "htj2k"
    MPEG = "mpeg"
    DEFLATED_FRAME = "deflated_frame"
    REFERENCED = "referenced"
    """The pixels are elsewhere, named by a URL (JPIP)."""


@dataclass(frozen=True, slots=True)
class TransferSyntax:
    """One transfer syntax. `lossless` means: no pixel value was lost by this encoding itself.

    `pixels_little_endian` differs from `little_endian` only in GE's private syntax.
    """

    uid: str
    name: str
    family: PixelFamily
    implicit_vr: bool = False
    little_endian: bool = True
    deflated: bool = False
    encapsulated: bool = False
    lossless: bool = True
    pixels_little_endian: bool = True


def _encapsulated(uid: str, name: str, family: PixelFamily, *, lossless: bool = True) -> TransferSyntax:
    return TransferSyntax(uid, name, family, encapsulated=True, lossless=lossless)


_JPEG = "1.2.840.10008.1.2.4."

_RETIRED_LOSSY_JPEG = {
    52: "JPEG Extended (Process 3 & 5)",
    53: "JPEG Spectral Selection, Non-Hierarchical (Process 6 & 8)",
    54: "JPEG Spectral Selection, Non-Hierarchical (Process 7 & 9)",
    55: "JPEG Full Progression, Non-Hierarchical (Process 10 & 12)",
    56: "JPEG Full Progression, Non-Hierarchical (Process 11 & 13)",
    59: "JPEG Extended, Hierarchical (Process 16 & 18)",
    60: "JPEG Extended, Hierarchical (Process 17 & 19)",
    61: "JPEG Spectral Selection, Hierarchical (Process 20 & 22)",
    62: "JPEG Spectral Selection, Hierarchical (Process 21 & 23)",
    63: "JPEG Full Progression, Hierarchical (Process 24 & 26)",
    64: "JPEG Full Progression, Hierarchical (Process 25 & 27)",
}
_RETIRED_LOSSLESS_JPEG = {
    58: "JPEG Lossless, Non-Hierarchical (Process 15)",
    65: "JPEG Lossless, Hierarchical (Process 28)",
    66: "JPEG Lossless, Hierarchical (Process 29)",
}
_MPEG = {
    "100": "MPEG2 Main Profile / Main Level",
    "100.1": "Fragmentable MPEG2 Main Profile / Main Level",
    "101": "MPEG2 Main Profile / High Level",
    "101.1": "Fragmentable MPEG2 Main Profile / High Level",
    "102": "MPEG-4 AVC/H.264 High Profile / Level 4.1",
    "102.1": "Fragmentable MPEG-4 AVC/H.264 High Profile / Level 4.1",
    "103": "MPEG-4 AVC/H.264 BD-compatible High Profile / Level 4.1",
    "103.1": "Fragmentable MPEG-4 AVC/H.264 BD-compatible High Profile / Level 4.1",
    "104": "MPEG-4 AVC/H.264 High Profile / Level 4.2 For 2D Video",
    "104.1": "Fragmentable MPEG-4 AVC/H.264 High Profile / Level 4.2 For 2D Video",
    "105": "MPEG-4 AVC/H.264 High Profile / Level 4.2 For 3D Video",
    "105.1": "Fragmentable MPEG-4 AVC/H.264 High Profile / Level 4.2 For 3D Video",
    "106": "MPEG-4 AVC/H.264 Stereo High Profile / Level 4.2",
    "106.1": "Fragmentable MPEG-4 AVC/H.264 Stereo High Profile / Level 4.2",
    "107": "HEVC/H.265 Main Profile / Level 5.1",
    "108": "HEVC/H.265 Main 10 Profile / Level 5.1",
}

_ALL = (
    TransferSyntax(IMPLICIT_VR_LITTLE_ENDIAN, "Implicit VR Little Endian", PixelFamily.NATIVE, implicit_vr=True),
    TransferSyntax(EXPLICIT_VR_LITTLE_ENDIAN, "Explicit VR Little Endian", PixelFamily.NATIVE),
    TransferSyntax(
        ENCAPSULATED_UNCOMPRESSED,
        "Encapsulated Uncompressed Explicit VR Little Endian",
        PixelFamily.NATIVE,
        encapsulated=True,
    ),
    TransferSyntax(
        DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN,
        "Deflated Explicit VR Little Endian",
        PixelFamily.NATIVE,
        deflated=True,
    ),
    TransferSyntax(
        EXPLICIT_VR_BIG_ENDIAN,
        "Explicit VR Big Endian",
        PixelFamily.NATIVE,
        little_endian=False,
        pixels_little_endian=False,
    ),
    TransferSyntax(
        GE_PRIVATE_IMPLICIT,
        "GE Private Implicit VR Little Endian With Big Endian Pixels",
        PixelFamily.NATIVE,
        implicit_vr=True,
        pixels_little_endian=False,
    ),
    _encapsulated(RLE_LOSSLESS, "RLE Lossless", PixelFamily.RLE),
    _encapsulated(JPEG_BASELINE_8BIT, "JPEG Baseline (Process 1)", PixelFamily.JPEG, lossless=False),
    _encapsulated(JPEG_EXTENDED_12BIT, "JPEG Extended (Process 2 & 4)", PixelFamily.JPEG, lossless=False),
    *(_encapsulated(f"{_JPEG}{n}", name, PixelFamily.JPEG, lossless=False) for n, name in _RETIRED_LOSSY_JPEG.items()),
    _encapsulated(JPEG_LOSSLESS, "JPEG Lossless, Non-Hierarchical (Process 14)", PixelFamily.JPEG_LOSSLESS),
    *(_encapsulated(f"{_JPEG}{n}", name, PixelFamily.JPEG_LOSSLESS) for n, name in _RETIRED_LOSSLESS_JPEG.items()),
    _encapsulated(
        JPEG_LOSSLESS_SV1,
        "JPEG Lossless, Non-Hierarchical, First-Order Prediction (Process 14, Selection Value 1)",
        PixelFamily.JPEG_LOSSLESS,
    ),
    _encapsulated(JPEG_LS_LOSSLESS, "JPEG-LS Lossless", PixelFamily.JPEG_LS),
    _encapsulated(JPEG_LS_NEAR_LOSSLESS, "JPEG-LS Near-Lossless", PixelFamily.JPEG_LS, lossless=False),
    _encapsulated(JPEG_2000_LOSSLESS, "JPEG 2000 Lossless", PixelFamily.JPEG_2000),
    _encapsulated(JPEG_2000, "JPEG 2000", PixelFamily.JPEG_2000, lossless=False),
    _encapsulated(f"{_JPEG}92", "JPEG 2000 Part 2 Multi-component Lossless", PixelFamily.JPEG_2000),
    _encapsulated(f"{_JPEG}93", "JPEG 2000 Part 2 Multi-component", PixelFamily.JPEG_2000, lossless=False),
    TransferSyntax(f"{_JPEG}94", "JPIP Referenced", PixelFamily.REFERENCED, lossless=False),
    TransferSyntax(f"{_JPEG}95", "JPIP Referenced Deflate", PixelFamily.REFERENCED, deflated=True, lossless=False),
    *(_encapsulated(f"{_JPEG}{n}", name, PixelFamily.MPEG, lossless=False) for n, name in _MPEG.items()),
    _encapsulated(f"{_JPEG}110", "JPEG XL Lossless", PixelFamily.JPEG_XL),
    _encapsulated(f"{_JPEG}111", "JPEG XL JPEG Recompression", PixelFamily.JPEG_XL, lossless=False),
    _encapsulated(f"{_JPEG}112", "JPEG XL", PixelFamily.JPEG_XL, lossless=False),
    _encapsulated(HTJ2K_LOSSLESS, "High-Throughput JPEG 2000 Lossless", PixelFamily.HTJ2K),
    _encapsulated(HTJ2K_LOSSLESS_RPCL, "High-Throughput JPEG 2000 with RPCL Options Lossless", PixelFamily.HTJ2K),
    _encapsulated(HTJ2K, "High-Throughput JPEG 2000", PixelFamily.HTJ2K, lossless=False),
    TransferSyntax(f"{_JPEG}204", "JPIP HTJ2K Referenced", PixelFamily.REFERENCED, lossless=False),
    TransferSyntax(
        f"{_JPEG}205", "JPIP HTJ2K Referenced Deflate", PixelFamily.REFERENCED, deflated=True, lossless=False
    ),
    _encapsulated(DEFLATED_IMAGE_FRAME, "Deflated Image Frame Compression", PixelFamily.DEFLATED_FRAME),
)

TRANSFER_SYNTAXES: Mapping[str, TransferSyntax] = MappingProxyType({syntax.uid: syntax for syntax in _ALL})
"""Every transfer syntax that can be scanned, by UID."""


def transfer_syntax(uid: str, *, where: str = "") -> TransferSyntax:
    """The transfer syntax of that UID.

    Raises
    ------
    UnsupportedTransferSyntax
        If it is not in the table: how the data set is encoded is then unknown.
    """
    syntax = TRANSFER_SYNTAXES.get(uid)
    if syntax is None:
        raise UnsupportedTransferSyntax(
            "The transfer syntax is unknown",
            where=where,
            hint="Send it in a standard transfer syntax, such as Explicit VR Little Endian (1.2.840.10008.1.2.1).",
            metadata={"transfer_syntax_uid": uid} if is_valid_uid(uid) else None,
        )
    return syntax
