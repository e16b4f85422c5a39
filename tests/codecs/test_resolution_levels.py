"""A prefix of a progressive frame is a smaller image, and what is no such prefix is told apart."""

from __future__ import annotations

from typing import Any

import imagecodecs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from imaging.codecs.decode import decode_frame
from imaging.codecs.encode import encode_frame
from imaging.codecs.resolution_levels import resolution_prefixes
from imaging.codecs.sandbox import DecodePool
from imaging.dicom.pixel_description import PixelDescription
from imaging.dicom.transfer_syntax import HTJ2K_LOSSLESS, HTJ2K_LOSSLESS_RPCL
from imaging.errors import PixelDataInvalid


def smooth(rows: int, columns: int, colours: int = 1, *, signed: int = 0) -> tuple[NDArray[Any], PixelDescription]:
    """A bright round thing in the middle, with noise of some percent."""
    y, x = np.mgrid[:rows, :columns]
    round_thing = 900 * np.exp(-(((y - rows / 2) / rows) ** 2 + ((x - columns / 2) / columns) ** 2) * 12)
    values = round_thing + np.random.default_rng(1).normal(0, 8, (rows, columns)) + (0 if signed else 100)
    kind = np.int16 if signed else np.uint16
    image = np.rint(values).astype(kind)
    if colours == 3:
        image = np.stack([image >> 2, image >> 3, image >> 4], axis=-1).astype(np.uint8)
    bits = 8 if colours == 3 else 16
    photometric = "YBR_RCT" if colours == 3 else "MONOCHROME2"
    return image, PixelDescription(rows, columns, colours, photometric, bits, bits, bits - 1, signed)


@settings(max_examples=30)
@given(st.integers(1, 300), st.integers(1, 300), st.sampled_from([1, 3]), st.booleans())
def test_each_prefix_decodes_to_the_image_of_its_level(rows: int, columns: int, colours: int, signed: bool) -> None:
    image, pixels = smooth(rows, columns, colours, signed=int(signed and colours == 1))
    frame = encode_frame(image, HTJ2K_LOSSLESS_RPCL, pixels)
    prefixes = resolution_prefixes(frame, HTJ2K_LOSSLESS_RPCL)
    assert prefixes[0] == len(frame)
    assert list(prefixes) == sorted(prefixes, reverse=True)
    assert np.array_equal(decode_frame(frame, HTJ2K_LOSSLESS_RPCL, pixels), image)
    for level, size in enumerate(prefixes[1:], 1):
        small = decode_frame(frame[:size], HTJ2K_LOSSLESS_RPCL, pixels, resolution_level=level)
        assert small.shape[:2] == (-(-rows // 2**level), -(-columns // 2**level))
        expected = imagecodecs.htj2k_decode(frame, skipres=level, planar=False)
        assert np.array_equal(small, expected.reshape(small.shape))
        assert resolution_prefixes(frame[:size], HTJ2K_LOSSLESS_RPCL)[level] == size


@pytest.mark.parametrize(("side", "signed"), [(512, 1), (2048, 0)])
def test_a_quarter_of_the_sides_is_a_twelfth_of_the_bytes(side: int, signed: int) -> None:
    image, pixels = smooth(side, side, signed=signed)
    frame = encode_frame(image, HTJ2K_LOSSLESS_RPCL, pixels)
    size = resolution_prefixes(frame, HTJ2K_LOSSLESS_RPCL)[2]
    assert size <= 0.08 * len(frame)
    small = decode_frame(frame[:size], HTJ2K_LOSSLESS_RPCL, pixels, resolution_level=2)
    near = image.reshape(side // 4, 4, side // 4, 4).mean((1, 3))
    assert np.abs(small - near).mean() < 8


def test_other_frames_cannot_be_cut() -> None:
    image, pixels = smooth(64, 64)
    whole = encode_frame(image, HTJ2K_LOSSLESS_RPCL, pixels)
    assert resolution_prefixes(whole, HTJ2K_LOSSLESS) == (len(whole),)
    for bare in (
        imagecodecs.htj2k_encode(image, reversible=True),  # no TLM
        imagecodecs.htj2k_encode(image, reversible=True, tlm=True),  # one tile-part
        imagecodecs.htj2k_encode(image, reversible=True, tlm=True, tilepart=1, tile=(32, 32)),
        image.tobytes(),
        b"",
    ):
        assert resolution_prefixes(bytes(bare), HTJ2K_LOSSLESS_RPCL) == (len(bare),)


@given(st.integers(0, 156), st.integers(0, 255))
def test_a_damaged_header_never_cuts_past_the_frame(position: int, value: int) -> None:
    image, pixels = smooth(64, 64)
    frame = bytearray(encode_frame(image, HTJ2K_LOSSLESS_RPCL, pixels))
    frame[position] = value
    prefixes = resolution_prefixes(bytes(frame), HTJ2K_LOSSLESS_RPCL)
    assert prefixes[0] == len(frame)


@pytest.mark.parametrize("kept", [0, 20, 100, 200, 1000])
def test_a_cut_prefix_is_refused_in_a_worker_and_the_next_one_decodes(kept: int) -> None:
    image, pixels = smooth(64, 64)
    frame = encode_frame(image, HTJ2K_LOSSLESS_RPCL, pixels)
    size = resolution_prefixes(frame, HTJ2K_LOSSLESS_RPCL)[1]
    with DecodePool(1) as pool:
        with pytest.raises(PixelDataInvalid):
            pool.decode_blocking(frame[: min(kept, size - 1)], HTJ2K_LOSSLESS_RPCL, pixels, resolution_level=1)
        with pytest.raises(PixelDataInvalid, match="level 9"):
            pool.decode_blocking(frame, HTJ2K_LOSSLESS_RPCL, pixels, resolution_level=9)
        small = pool.decode_blocking(frame[:size], HTJ2K_LOSSLESS_RPCL, pixels, resolution_level=1)
    assert small.shape == (32, 32)
