"""A network over a volume, patch by patch; what patches say of the same voxel is averaged."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

Network = Callable[[NDArray[np.float32]], NDArray[Any]]
"""Patches of shape (batch, 1, z, y, x) to activations of shape (batch, channels, z, y, x)."""

Progress = Callable[[int, int], None]
"""Called with (done, total) in patches."""


class WrongOutput(Exception):
    """The network gives back what it must not."""


def slide(
    volume: NDArray[np.float32],
    network: Network,
    *,
    patch: tuple[int, int, int],
    overlap: float,
    batch: int,
    channels: int,
    progress: Progress,
) -> NDArray[np.float32]:
    """Mean activations of shape (channels, z, y, x).

    Patches weigh as a Gaussian round their middle, where a network sees the most on all sides (Isensee et al.: Nat
    Methods 18, 203, 2021). A volume that is smaller than a patch is padded with 0.

    Parameters
    ----------
    volume
        Shape (z, y, x).
    overlap
        Of neighbouring patches, as a part of the patch, 0 to 0.9.
    channels
        At least so many channels must come back; those beyond are part of the answer too.

    Raises
    ------
    WrongOutput
        If the activations have another shape, or are not finite.
    """
    padded = np.pad(volume, [(0, max(0, size - length)) for size, length in zip(patch, volume.shape, strict=True)])
    weights = _weights(patch)
    places = list(_places(padded.shape, patch, overlap))
    total: NDArray[np.float32] | None = None
    weight_sum = np.zeros(padded.shape, dtype=np.float32)
    for start in range(0, len(places), batch):
        group = places[start : start + batch]
        given = np.stack([padded[place] for place in group])[:, None]
        answer = np.asarray(network(np.ascontiguousarray(given)))
        found = answer.shape[1] if answer.ndim == 5 else 0
        if answer.ndim != 5 or answer.shape != (len(group), found, *patch) or found < channels:
            raise WrongOutput(
                f"the output has the shape {answer.shape}, not ({len(group)}, {channels} or more, "
                f"{', '.join(str(size) for size in patch)})"
            )
        if not np.isfinite(answer).all():
            raise WrongOutput("the output holds numbers that are not finite")
        if total is None:
            total = np.zeros((found, *padded.shape), dtype=np.float32)
        for place, activations in zip(group, answer, strict=True):
            total[:, *place] += activations * weights
            weight_sum[place] += weights
        progress(min(start + batch, len(places)), len(places))
    assert total is not None  # a volume has at least one patch
    total /= weight_sum
    z, y, x = volume.shape
    return total[:, :z, :y, :x]


def _places(
    shape: tuple[int, ...], patch: tuple[int, int, int], overlap: float
) -> Iterator[tuple[slice, slice, slice]]:
    """Patches that cover all of the volume, the last one of each row ending with it."""
    starts = []
    for length, size in zip(shape, patch, strict=True):
        step = max(1, int(size * (1 - overlap)))
        starts.append(sorted({*range(0, length - size, step), length - size}))
    for z, y, x in itertools.product(*starts):
        yield slice(z, z + patch[0]), slice(y, y + patch[1]), slice(x, x + patch[2])


def _weights(patch: tuple[int, int, int]) -> NDArray[np.float32]:
    curves = []
    for size in patch:
        place = np.arange(size) - (size - 1) / 2
        curves.append(np.exp(-0.5 * (place / max(size / 8, 0.5)) ** 2))
    weights = np.einsum("i,j,k->ijk", *curves)
    # What only the rim of a patch covers must not be divided by nothing.
    least: NDArray[np.float32] = np.maximum(weights / weights.max(), 1e-3).astype(np.float32)
    return least
