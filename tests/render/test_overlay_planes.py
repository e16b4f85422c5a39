"""Overlay planes stand where the header says, for the frames that it says, and broken ones harm no picture."""

from __future__ import annotations

from typing import Any

import numpy as np
import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset

from imaging.render.display import render_frame
from imaging.render.overlay_planes import draw_overlay_planes

GREY = np.full((6, 8), 7, np.uint8)


def with_plane(mask: NDArray[Any], origin: tuple[int, int] = (1, 1), group: int = 0x6000, **frames: int) -> Dataset:
    header = Dataset()
    header.add_new(group << 16 | 0x0010, "US", mask.shape[-2])
    header.add_new(group << 16 | 0x0011, "US", mask.shape[-1])
    header.add_new(group << 16 | 0x0050, "SS", list(origin))
    if frames:
        header.add_new(group << 16 | 0x0015, "IS", frames["count"])
        header.add_new(group << 16 | 0x0051, "US", frames["first"])
    packed = np.packbits(mask.ravel(), bitorder="little").tobytes()
    header.add_new(group << 16 | 0x3000, "OW", packed + bytes(len(packed) % 2))
    return header


@given(
    st.integers(1, 9), st.integers(1, 9), st.integers(-9, 12), st.integers(-9, 12), st.randoms(use_true_random=False)
)
def test_each_pixel_of_a_plane_is_where_the_origin_says(
    rows: int, columns: int, top: int, left: int, random: Any
) -> None:
    mask = np.array([[random.random() < 0.5 for _ in range(columns)] for _ in range(rows)])
    drawn = draw_overlay_planes(GREY, with_plane(mask, (top, left)))
    for row in range(6):
        for column in range(8):
            at = row - (top - 1), column - (left - 1)
            inside = 0 <= at[0] < rows and 0 <= at[1] < columns and mask[at]
            assert drawn[row, column] == (255 if inside else 7)
    assert (GREY == 7).all()


def test_a_real_overlay_is_what_pydicom_reads() -> None:
    image = pydicom.dcmread(str(get_testdata_file("examples_overlay.dcm")))
    plain = render_frame(image.pixel_array, image)
    drawn = draw_overlay_planes(plain, image)
    mask = image.overlay_array(0x6000) != 0
    assert mask.any()
    assert (drawn[mask] == 255).all()
    assert (drawn[~mask] == plain[~mask]).all()


def test_planes_of_several_frames_go_to_their_frames() -> None:
    mask = np.zeros((2, 5, 5), bool)
    mask[0, 0, 0] = mask[1, 4, 4] = True
    header = with_plane(mask, count=2, first=3)
    white = [np.argwhere(draw_overlay_planes(GREY, header, number) == 255).tolist() for number in range(1, 6)]
    assert white == [[], [], [[0, 0]], [[4, 4]], []]


def test_planes_of_several_groups_are_drawn_into_colour() -> None:
    one = np.zeros((6, 8), bool)
    one[1, 2] = True
    header = with_plane(one)
    header.update(with_plane(one, (2, 2), 0x601E))
    drawn = draw_overlay_planes(np.stack([GREY] * 3, axis=2), header)
    assert np.argwhere((drawn == 255).all(axis=2)).tolist() == [[1, 2], [2, 3]]


@pytest.mark.parametrize(
    ("element", "vr", "value"),
    [(0x3000, "OW", b"\1\0"), (0x0010, "US", 0), (0x0011, "US", 65535), (0x0050, "SS", [1]), (0x0015, "IS", "-3")],
)
def test_a_plane_that_contradicts_itself_is_left_out(element: int, vr: str, value: Any) -> None:
    header = with_plane(np.ones((6, 8), bool))
    header.add_new(0x60000000 | element, vr, value)
    assert (draw_overlay_planes(GREY, header) == GREY).all()
