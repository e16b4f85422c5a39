"""PNG, resizing and drawn masks."""

from __future__ import annotations

import imagecodecs
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import Dataset

from imaging.errors import InvalidArgument
from imaging.render.overlay import border, draw_mask
from imaging.render.picture_file import encode_jpeg, encode_png
from imaging.render.pixel_aspect import pixel_aspect
from imaging.render.resize import Viewport, fit, resize


@given(st.integers(1, 40), st.integers(1, 40), st.booleans(), st.integers(0, 1000))
def test_png_comes_back_and_is_always_the_same(rows: int, columns: int, colour: bool, seed: int) -> None:
    shape = (rows, columns, 3) if colour else (rows, columns)
    pixels = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
    png = encode_png(pixels)
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    assert encode_png(np.asfortranarray(pixels)) == png
    np.testing.assert_array_equal(imagecodecs.png_decode(png).reshape(shape), pixels)
    assert b"tIME" not in png
    assert b"tEXt" not in png


@given(st.integers(1, 40), st.integers(1, 40), st.booleans(), st.integers(50, 100))
def test_jpeg_comes_back_nearly(rows: int, columns: int, colour: bool, quality: int) -> None:
    shape = (rows, columns, 3) if colour else (rows, columns)
    pixels = np.full(shape, 77, np.uint8)
    jpeg = encode_jpeg(pixels, quality=quality)
    assert jpeg[:3] == b"\xff\xd8\xff"
    assert encode_jpeg(pixels, quality=quality) == jpeg
    decoded = imagecodecs.jpeg8_decode(jpeg).reshape(shape)
    assert np.abs(decoded.astype(int) - 77).max() <= 12
    with pytest.raises(InvalidArgument, match="quality"):
        encode_jpeg(pixels, quality=0)


@pytest.mark.parametrize("pixels", [np.zeros((2, 2), np.uint16), np.zeros((2, 2, 4), np.uint8), np.zeros(4, np.uint8)])
def test_what_is_no_picture_is_refused(pixels: np.ndarray) -> None:
    with pytest.raises(InvalidArgument):
        encode_png(pixels)


def test_resizing_keeps_the_aspect_of_pixels_that_are_not_square() -> None:
    pixels = np.zeros((100, 200), np.uint8)
    assert resize(pixels, 100).shape == (50, 100)
    assert resize(pixels, 400, pixel_aspect=4.0).shape == (400, 200)
    assert resize(np.zeros((10, 10, 3), np.uint8), 20, pixel_aspect=0.5).shape == (10, 20, 3)


def test_resizing_to_the_same_size_changes_nothing() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (30, 20), dtype=np.uint8)
    np.testing.assert_array_equal(resize(pixels, 30), pixels)


def test_shrinking_averages() -> None:
    stripes = np.zeros((64, 64), np.uint8)
    stripes[:, ::2] = 200
    shrunk = resize(stripes, 8)
    assert abs(int(shrunk[4, 4]) - 100) < 10


def test_a_viewport_is_filled_in_one_direction_by_its_region() -> None:
    pixels = np.arange(20 * 40, dtype=np.uint16).reshape(20, 40).astype(np.uint8)
    assert fit(pixels, Viewport(100, 100)).shape == (50, 100)
    assert fit(pixels, Viewport(100, 20)).shape == (20, 40)
    assert fit(pixels, Viewport(100, 100), pixel_aspect=4.0).shape == (100, 50)
    part = fit(pixels, Viewport(10, 10, left=5, top=3, width=10, height=10))
    np.testing.assert_array_equal(part, pixels[3:13, 5:15])
    np.testing.assert_array_equal(fit(pixels, Viewport(35, 20, left=5)), pixels[:, 5:])
    mirrored = fit(pixels, Viewport(10, 10, 5, 3, -10, -10))
    np.testing.assert_array_equal(mirrored, part[::-1, ::-1])
    beyond = fit(pixels, Viewport(5, 5, left=35, top=15, width=500, height=500))
    np.testing.assert_array_equal(beyond, pixels[15:, 35:])


@pytest.mark.parametrize(
    "viewport", [(0, 10), (10, 0), (-1, 10), (100_000, 10), (10, 10, float("nan")), (10, 10, 0, 0, float("inf"))]
)
def test_viewports_that_cannot_be_are_refused(viewport: tuple[int, ...]) -> None:
    with pytest.raises(InvalidArgument, match="viewport"):
        Viewport(*viewport)
    with pytest.raises(InvalidArgument, match="region"):
        fit(np.zeros((2, 2), np.uint8), Viewport(10, 10, left=2))


@pytest.mark.parametrize(("side", "aspect"), [(0, 1.0), (100_000, 1.0), (10, 0.0), (10, -1.0)])
def test_impossible_sizes_are_refused(side: int, aspect: float) -> None:
    with pytest.raises(InvalidArgument):
        resize(np.zeros((2, 2), np.uint8), side, pixel_aspect=aspect)


def test_the_aspect_is_row_spacing_over_column_spacing() -> None:
    header = Dataset()
    assert pixel_aspect(header) == 1.0
    header.PixelAspectRatio = [1, 2]
    assert pixel_aspect(header) == 0.5
    header.PixelSpacing = [3.0, 1.5]
    assert pixel_aspect(header) == 2.0
    header.PixelSpacing = [0, 1]
    assert pixel_aspect(header) == 0.5
    measures, group = Dataset(), Dataset()
    measures.PixelSpacing = [1.0, 4.0]
    group.PixelMeasuresSequence = [measures]
    header.SharedFunctionalGroupsSequence = [group]
    assert pixel_aspect(header) == 0.25


def test_a_mask_is_filled_and_outlined() -> None:
    picture = np.full((5, 5), 100, np.uint8)
    mask = np.zeros((5, 5), bool)
    mask[1:4, 1:4] = True
    drawn = draw_mask(picture, mask, (200, 0, 100), alpha=0.5)
    assert drawn[0, 0].tolist() == [100, 100, 100]
    assert drawn[1, 1].tolist() == [200, 0, 100]
    assert drawn[2, 2].tolist() == [150, 50, 100]
    assert picture.max() == 100
    unlined = draw_mask(picture, mask, (200, 0, 100), alpha=0.5, outline=False)
    assert unlined[1, 1].tolist() == [150, 50, 100]


def test_the_border_includes_what_touches_the_edge_of_the_picture() -> None:
    assert border(np.ones((3, 3), bool)).tolist() == [[True] * 3, [True, False, True], [True] * 3]
    assert border(np.zeros((3, 3), bool)).sum() == 0


def test_a_mask_of_another_size_or_opacity_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="shape"):
        draw_mask(np.zeros((2, 2), np.uint8), np.zeros((2, 3)), (1, 2, 3))
    with pytest.raises(InvalidArgument, match="opacity"):
        draw_mask(np.zeros((2, 2), np.uint8), np.zeros((2, 2)), (1, 2, 3), alpha=2)
