"""Checks of the codecs: a known picture through each family, by way of the decoding processes."""

from __future__ import annotations

from typing import Any, Final

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from imaging.cli.check import Check
from imaging.codecs.encode import encode_frame
from imaging.codecs.sandbox import DecodePool
from imaging.dicom import transfer_syntax as ts
from imaging.dicom.pixel_description import PixelDescription
from imaging.errors import ImagingError

_LOSSLESS: Final = {
    "native": ts.EXPLICIT_VR_LITTLE_ENDIAN,
    "RLE": ts.RLE_LOSSLESS,
    "JPEG-LS": ts.JPEG_LS_LOSSLESS,
    "JPEG 2000": ts.JPEG_2000_LOSSLESS,
    "HTJ2K": ts.HTJ2K_LOSSLESS_RPCL,
}
_SIZE: Final = 64
_HINT: Final = "Reinstall imagecodecs (`make setup`); images in this syntax can be stored but not measured."


async def codec_checks() -> list[Check]:
    """One check a family: equal pixels for lossless ones, nearly equal ones for JPEG."""
    pool = DecodePool()
    try:
        checks = [await _lossless(pool, name, uid) for name, uid in _LOSSLESS.items()]
        return [*checks, await _jpeg(pool, lossless=True), await _jpeg(pool, lossless=False)]
    finally:
        await pool.close()


async def _lossless(pool: DecodePool, name: str, uid: str) -> Check:
    picture = _picture(12)
    description = _description(12)
    try:
        encoded = encode_frame(picture, uid, description)
        decoded = await pool.decode(encoded, uid, description)
    except ImagingError as error:
        return Check("codecs", name, "failed", error.text, _HINT)
    return _compared(name, picture, decoded, 0, len(encoded))


async def _jpeg(pool: DecodePool, *, lossless: bool) -> Check:
    name = "JPEG lossless" if lossless else "JPEG baseline"
    uid = ts.JPEG_LOSSLESS_SV1 if lossless else ts.JPEG_BASELINE_8BIT
    picture = _picture(8).astype(np.uint8)
    try:
        encoded = imagecodecs.ljpeg_encode(picture) if lossless else imagecodecs.jpeg8_encode(picture, level=95)
        decoded = await pool.decode(bytes(encoded), uid, _description(8))
    except (ImagingError, RuntimeError, ValueError) as error:
        return Check("codecs", name, "failed", str(error)[:200], _HINT)
    return _compared(name, picture, decoded, 0 if lossless else 6, len(encoded))


def _compared(name: str, picture: NDArray[Any], decoded: NDArray[Any], allowed: int, size: int) -> Check:
    difference = int(np.abs(picture.astype(np.int64) - decoded.astype(np.int64)).max())
    if difference > allowed:
        return Check("codecs", name, "failed", f"pixels differ by up to {difference}", _HINT)
    equal = "equal pixels" if allowed == 0 else f"pixels within {allowed}"
    return Check("codecs", name, "ok", f"{equal}; {picture.nbytes} bytes as {size}")


def _picture(bits: int) -> NDArray[np.uint16]:
    """A smooth ramp with an edge, shape (64, 64), over the whole range."""
    row, column = np.mgrid[:_SIZE, :_SIZE]
    smooth = (row + column) / (2 * _SIZE - 2) * 0.8 + 0.2 * (column > _SIZE // 2)
    return np.asarray(smooth * (2**bits - 1), dtype=np.uint16)


def _description(bits: int) -> PixelDescription:
    return PixelDescription(
        rows=_SIZE,
        columns=_SIZE,
        samples_per_pixel=1,
        photometric_interpretation="MONOCHROME2",
        bits_allocated=16 if bits > 8 else 8,
        bits_stored=bits,
        high_bit=bits - 1,
        pixel_representation=0,
    )
