"""The noise of one image, estimated from the image itself."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

_LEAST_PLACES: Final = 400


def image_noise(pixels: NDArray[Any], valid: NDArray[np.bool_] | None = None) -> float | None:
    """Standard deviation of the noise; None if the image is too small or too flat to tell.

    The image is convolved with the difference of two Laplacians, which takes out what varies linearly or slower, and
    whose answer to white noise has 6 times its standard deviation (Immerkær: Comput Vis Image Underst 64, 300, 1996).
    The median absolute deviation takes the place of the mean, so that edges and texture count little. Noise that is
    smooth, as after a soft reconstruction kernel, is underestimated.

    Parameters
    ----------
    pixels
        Shape (rows, columns).
    valid
        Same shape; False where a pixel must not count.
    """
    image = pixels.astype(np.float64)
    if min(image.shape) < 3:
        return None
    answer = (
        image[:-2, :-2] - 2 * image[:-2, 1:-1] + image[:-2, 2:]
        - 2 * image[1:-1, :-2] + 4 * image[1:-1, 1:-1] - 2 * image[1:-1, 2:]
        + image[2:, :-2] - 2 * image[2:, 1:-1] + image[2:, 2:]
    )  # fmt: skip
    # A flat neighbourhood is no measurement: it is a clipped background or a drawn area.
    places = (ndimage.maximum_filter(image, 3) > ndimage.minimum_filter(image, 3))[1:-1, 1:-1]
    if valid is not None:
        places &= ndimage.binary_erosion(valid, np.ones((3, 3)), border_value=1)[1:-1, 1:-1]
    answers = np.abs(answer[places])
    if len(answers) < _LEAST_PLACES or not np.isfinite(answers).all():
        return None
    return float(np.median(answers)) / 0.6745 / 6
