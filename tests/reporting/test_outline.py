"""Outlines in the coordinates of SCOORD."""

from __future__ import annotations

import numpy as np

from reporting_svc.places.outline import frame_outline, mask_outline


def _points(outline: tuple[float, ...]) -> np.ndarray:
    return np.asarray(outline).reshape(-1, 2)


def _area(points: np.ndarray) -> float:
    x, y = points[:, 0], points[:, 1]
    return abs(float(x[:-1] @ y[1:] - y[:-1] @ x[1:])) / 2


def test_an_outline_is_closed_and_lies_round_its_pixels() -> None:
    mask = np.zeros((40, 60), dtype=np.bool_)
    rows, columns = np.mgrid[:40, :60]
    mask[(rows - 12) ** 2 + (columns - 41) ** 2 <= 64] = True
    points = _points(mask_outline(mask))
    assert (points[0] == points[-1]).all()
    assert ((points.min(axis=0) + points.max(axis=0)) / 2).tolist() == [41.5, 12.5]
    assert abs(_area(points) - mask.sum()) < 0.1 * mask.sum()


def test_of_several_parts_the_largest_is_outlined() -> None:
    mask = np.zeros((20, 20), dtype=np.bool_)
    mask[2:4, 2:4] = True
    mask[8:18, 8:18] = True
    assert _points(mask_outline(mask)).min() > 7


def test_a_single_pixel_and_a_corner_have_outlines_within_the_image() -> None:
    mask = np.zeros((4, 4), dtype=np.bool_)
    mask[0, 3] = True
    points = _points(mask_outline(mask))
    assert points.min() >= 0
    assert points.max() <= 4
    assert len(points) > 5
    assert mask_outline(np.zeros((4, 4), dtype=np.bool_)) == ()


def test_the_border_of_a_frame_is_no_rectangle_of_a_drawing_tool() -> None:
    points = _points(frame_outline(30, 50))
    assert _area(points) == 1500
    assert len(points) > 5
    assert points.max(axis=0).tolist() == [50, 30]
