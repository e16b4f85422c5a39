"""Which side of a picture is which side of the patient: letters at its edges, as radiologists expect them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib import resources
from io import BytesIO
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from pydicom.dataset import Dataset

from imaging.derived.patient_orientation import direction_letters
from imaging.dicom.header_value import text
from reporting_svc.key_images.image_plane import ImagePlane

_OPPOSITE: Final = str.maketrans("RLAPHF", "LRPAFH")
_SIZE_PART: Final = 0.045
_LEAST_SIZE: Final = 14
_WHITE: Final = (255, 255, 255)
_BLACK: Final = (0, 0, 0)


@dataclass(frozen=True, slots=True)
class EdgeLetters:
    """What of the patient lies towards each edge: `R`, `L`, `A`, `P`, `H`, `F`, up to three of them."""

    left: str
    right: str
    top: str
    bottom: str

    @classmethod
    def of(cls, header: Dataset, frame_number: int) -> EdgeLetters | None:
        """The letters of a frame, counted from 1; None where the header tells no orientation.

        From the image plane, else from PatientOrientation (0020,0020), which projections have (PS3.3 C.7.6.1.1.1).
        """
        plane = ImagePlane.of(header, frame_number)
        if plane is not None:
            return cls._towards(direction_letters(plane.along_row), direction_letters(plane.along_column))
        row, _, column = text(header, "PatientOrientation").partition("\\")
        if row and column and len(row + column) <= 6 and set(row + column) <= set("RLAPHF"):
            return cls._towards(row, column)
        return None

    @classmethod
    def _towards(cls, row: str, column: str) -> EdgeLetters:
        return cls(row.translate(_OPPOSITE), row, column.translate(_OPPOSITE), column)


def draw_edge_letters(pixels: NDArray[np.uint8], letters: EdgeLetters) -> NDArray[np.uint8]:
    """A copy of the picture, shape (rows, columns, 3), with the letters at the middle of its edges."""
    image = Image.fromarray(pixels)
    draw = ImageDraw.Draw(image)
    width, height = image.size
    size = max(_LEAST_SIZE, round(_SIZE_PART * min(width, height)))
    margin = size // 3
    for place, anchor, letter in (
        ((margin, height // 2), "lm", letters.left),
        ((width - margin, height // 2), "rm", letters.right),
        ((width // 2, margin), "mt", letters.top),
        ((width // 2, height - margin), "mb", letters.bottom),
    ):
        draw.text(place, letter, _WHITE, _font(size), anchor, stroke_width=max(1, size // 12), stroke_fill=_BLACK)
    return np.asarray(image)


@cache
def _font(size: int) -> Any:
    content = resources.files("reporting_svc").joinpath("fonts", "NotoSans-Bold.ttf").read_bytes()
    # The basic layout does not depend on what text libraries a machine has: the same picture everywhere.
    return ImageFont.truetype(BytesIO(content), size, layout_engine=ImageFont.Layout.BASIC)
