"""One key image: the frame rendered, masks and axes drawn in, a small thing shown larger, the patient's sides told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from pydicom.dataset import Dataset

from imaging.render.display import render_frame
from imaging.render.overlay import as_rgb, draw_mask
from imaging.render.picture_file import encode_png
from imaging.render.pixel_aspect import pixel_aspect
from imaging.render.resize import resize
from reporting_svc.key_images.image_plane import ImagePlane, Point
from reporting_svc.key_images.orientation_marks import EdgeLetters, draw_edge_letters
from reporting_svc.key_images.segmentation_index import Segment

LONGEST_SIDE = 768
_SMALLEST_SIDE = 512
"""Pictures are drawn at least so large: thin outlines of 64 x 64 images would be as thick as what they show."""

_FILL = 0.22
_INSET_PART = 0.36
"""Side of the corner picture, of the shorter side of the image."""

_SMALL_PART = 0.12
"""A thing smaller than this part of the image is shown larger in a corner."""

_WHITE = (255, 255, 255)
_LINE_WIDTH = 2


@dataclass(frozen=True, slots=True)
class Picture:
    """A drawn frame."""

    png: bytes
    width: int
    height: int
    drawn: tuple[Segment, ...]
    orientation: tuple[str, str] = ("", "")
    """What of the patient lies to the right and below."""


@dataclass(frozen=True, slots=True)
class Layer:
    """A segment on the frame."""

    mask: NDArray[np.bool_]
    """Shape (rows, columns) of the image."""

    segment: Segment
    in_focus: bool = False
    """It is what the picture is about: shown larger in a corner if it is small."""


@dataclass(slots=True)
class _Canvas:
    """The picture in display pixels, and how to get there from image pixels."""

    pixels: NDArray[np.uint8]
    scale_rows: float
    scale_columns: float
    layers: list[Layer] = field(default_factory=list)


def draw_key_image(
    stored: NDArray[Any],
    header: Dataset,
    *,
    frame_number: int,
    window: tuple[float, float] | None,
    layers: Sequence[Layer],
    lines_mm: Sequence[tuple[float, ...]],
) -> Picture:
    """The frame with everything drawn in; the same bytes for the same arguments.

    Parameters
    ----------
    stored
        Stored values, shape (rows, columns) or (rows, columns, samples).
    window
        Center and width; None: as the header says.
    lines_mm
        Axes as x y z x y z in patient coordinates.
    """
    plain = render_frame(stored, header, window=window, frame_number=frame_number)
    aspect = pixel_aspect(header, frame_number)
    rows, columns = plain.shape[:2]
    longest = max(rows * aspect, columns)
    target = int(min(max(longest, _SMALLEST_SIDE), LONGEST_SIDE))
    rgb = as_rgb(resize(plain, target, pixel_aspect=aspect))
    canvas = _Canvas(rgb, rgb.shape[0] / rows, rgb.shape[1] / columns)
    canvas.layers = [replace(layer, mask=_stretched(layer.mask, canvas)) for layer in layers]
    for layer in canvas.layers:
        canvas.pixels = draw_mask(canvas.pixels, layer.mask, layer.segment.colour, _FILL)
    plane = ImagePlane.of(header, frame_number)
    if plane is not None:
        _draw_lines(canvas, [line for each in lines_mm if (line := plane.line_in_image(each)) is not None])
    focus = [layer for layer in canvas.layers if layer.in_focus]
    if focus:
        _draw_inset(canvas, focus)
    letters = EdgeLetters.of(header, frame_number)
    if letters is not None:
        canvas.pixels = draw_edge_letters(canvas.pixels, letters)
    drawn = tuple(dict.fromkeys(layer.segment for layer in canvas.layers))
    height, width = canvas.pixels.shape[:2]
    orientation = (letters.right, letters.bottom) if letters is not None else ("", "")
    return Picture(encode_png(canvas.pixels), width, height, drawn, orientation)


def _stretched(mask: NDArray[np.bool_], canvas: _Canvas) -> NDArray[np.bool_]:
    """The mask in display pixels, each taking the value of the image pixel that it lies in."""
    height, width = canvas.pixels.shape[:2]
    rows = np.minimum((np.arange(height) + 0.5) / canvas.scale_rows, mask.shape[0] - 1).astype(int)
    columns = np.minimum((np.arange(width) + 0.5) / canvas.scale_columns, mask.shape[1] - 1).astype(int)
    stretched: NDArray[np.bool_] = mask[np.ix_(rows, columns)]
    return stretched


def _draw_lines(canvas: _Canvas, lines: Sequence[tuple[Point, Point]]) -> None:
    if not lines:
        return
    image = Image.fromarray(canvas.pixels)
    draw = ImageDraw.Draw(image)
    for line in lines:
        points = [((x + 0.5) * canvas.scale_columns, (y + 0.5) * canvas.scale_rows) for x, y in line]
        draw.line(points, fill=_WHITE, width=1)
    canvas.pixels = np.asarray(image)


def _draw_inset(canvas: _Canvas, focus: Sequence[Layer]) -> None:
    """Show the things in focus larger, in the corner that is farthest from them."""
    together = np.logical_or.reduce([layer.mask for layer in focus])
    rows, columns = np.flatnonzero(together.any(axis=1)), np.flatnonzero(together.any(axis=0))
    height, width = together.shape
    extent = max(rows[-1] - rows[0], columns[-1] - columns[0]) + 1
    if extent > _SMALL_PART * min(height, width):
        return
    centre_row, centre_column = (rows[0] + rows[-1]) // 2, (columns[0] + columns[-1]) // 2
    half = max(int(extent * 1.1), 12)
    top = int(np.clip(centre_row - half, 0, max(0, height - 2 * half)))
    left = int(np.clip(centre_column - half, 0, max(0, width - 2 * half)))
    part = canvas.pixels[top : top + 2 * half, left : left + 2 * half]
    side = int(_INSET_PART * min(height, width))
    inset = np.asarray(Image.fromarray(part).resize((side, side), Image.Resampling.BICUBIC)).copy()
    inset[:_LINE_WIDTH], inset[-_LINE_WIDTH:] = _WHITE, _WHITE
    inset[:, :_LINE_WIDTH], inset[:, -_LINE_WIDTH:] = _WHITE, _WHITE
    pixels = canvas.pixels.copy()
    low, right = centre_row < height / 2, centre_column < width / 2
    pixels[
        (height - side if low else 0) : (height if low else side),
        (width - side if right else 0) : (width if right else side),
    ] = inset
    image = Image.fromarray(pixels)
    frame = [left, top, left + 2 * half - 1, top + 2 * half - 1]
    ImageDraw.Draw(image).rectangle(frame, outline=_WHITE, width=1)
    canvas.pixels = np.asarray(image)
