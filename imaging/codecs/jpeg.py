"""JPEG: baseline and extended (8 and 12 bit) and lossless, by libjpeg-turbo (PS3.5 8.2.1, A.4.1, A.4.2)."""

from __future__ import annotations

import imagecodecs

from imaging.codecs.decoded_samples import DecodedSamples
from imaging.codecs.jpeg_header import (
    SOF_BASELINE,
    SOF_EXTENDED,
    SOF_LOSSLESS,
    SOF_PROGRESSIVE,
    JpegHeader,
    check_jpeg_header,
    read_jpeg_header,
)
from imaging.dicom.pixel_description import PixelDescription
from imaging.dicom.transfer_syntax import JPEG_BASELINE_8BIT, PixelFamily, TransferSyntax
from imaging.errors import PixelDataInvalid

_LOSSY_PROCESSES = frozenset({SOF_BASELINE, SOF_EXTENDED, SOF_PROGRESSIVE})
_LOSSLESS_PROCESSES = frozenset({SOF_LOSSLESS})


def decode(frame_bytes: bytes, syntax: TransferSyntax, pixels: PixelDescription) -> DecodedSamples:
    """The samples of one JPEG frame; chrominance at full resolution, colour space as in the codestream.

    Raises
    ------
    PixelDataInvalid
        If the codestream contradicts the attributes or the transfer syntax, or was cut.
    """
    header = read_jpeg_header(frame_bytes)
    is_lossless = syntax.family is PixelFamily.JPEG_LOSSLESS
    check_jpeg_header(header, pixels, _LOSSLESS_PROCESSES if is_lossless else _LOSSY_PROCESSES, syntax.name)
    if not is_lossless and header.precision != 8 and (syntax.uid == JPEG_BASELINE_8BIT or header.precision != 12):
        raise PixelDataInvalid(
            f"The codestream has samples of {header.precision} bits, which {syntax.name} does not allow",
            where="Pixel Data (7FE0,0010)",
            hint="JPEG Baseline holds 8 bits, JPEG Extended 8 or 12: the transfer syntax is wrong.",
        )
    significant_bits = pixels.bits_stored if pixels.bits_stored < pixels.bits_allocated else None
    if pixels.samples_per_pixel == 1:
        return DecodedSamples(
            imagecodecs.jpeg8_decode(frame_bytes),
            pixels.photometric_interpretation,
            significant_bits,
            pixels.lowest_bit(header.precision),
        )
    if header.adobe_transform == 1 and pixels.photometric_interpretation == "RGB" and not is_lossless:
        # The attributes tell the colour space after decoding: the codec undoes the transform that its marker names.
        samples = imagecodecs.jpeg8_decode(frame_bytes, colorspace="YCBCR", outcolorspace="RGB")
        return DecodedSamples(samples, "RGB", significant_bits)
    samples = imagecodecs.jpeg8_decode(frame_bytes, colorspace="YCBCR", outcolorspace="YCBCR")
    return DecodedSamples(samples, colour_space(header, pixels), significant_bits)


def colour_space(header: JpegHeader, pixels: PixelDescription) -> str:
    """The photometric interpretation of the decoded components, where codestream and attributes may disagree.

    Components named R, G, B are RGB; a JFIF marker means YCbCr (ITU-T T.871); else the attributes are believed.
    """
    declared = pixels.photometric_interpretation
    if pixels.samples_per_pixel != 3:
        return declared
    if header.has_rgb_component_ids:
        return "RGB"
    if header.is_jfif and "YBR" not in declared:
        return "YBR_FULL"
    return declared
