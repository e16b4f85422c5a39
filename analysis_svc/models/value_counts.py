"""How often each value occurs over many frames, in bounded memory."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

_MOST_DISTINCT: Final = 1 << 20
_COARSE_BINS: Final = 1 << 16


class ValueCounts:
    """Counts of values, exact up to a million distinct ones; beyond that, values are put into 65536 bins.

    Mean and standard deviation are always exact: they are merged frame by frame (Chan, Golub, LeVeque: COMPSTAT 1982).
    """

    def __init__(self) -> None:
        self.count = 0
        self.mean = 0.0
        self.is_binned = False
        self._squares = 0.0
        self._values: NDArray[np.float64] = np.empty(0)
        self._counts: NDArray[np.int64] = np.empty(0, dtype=np.int64)
        self._minimum, self._maximum = np.inf, -np.inf

    def add(self, values: NDArray[Any]) -> None:
        """Count finite values of any shape."""
        if not values.size:
            return
        distinct, counts = _distinct(values.ravel())
        count = int(counts.sum())
        mean = float(np.average(distinct, weights=counts))
        squares = float((counts * np.square(distinct - mean)).sum())
        total = self.count + count
        self._squares += squares + (mean - self.mean) ** 2 * self.count * count / total
        self.mean += (mean - self.mean) * count / total
        self.count = total
        self._minimum, self._maximum = min(self._minimum, float(distinct[0])), max(self._maximum, float(distinct[-1]))
        self._merge(distinct, counts)

    @property
    def standard_deviation(self) -> float:
        """Of the values as a whole population."""
        return float(np.sqrt(self._squares / self.count)) if self.count else 0.0

    @property
    def minimum(self) -> float:
        """The least value."""
        return self._minimum

    @property
    def maximum(self) -> float:
        """The largest value."""
        return self._maximum

    def percentile(self, percent: float) -> float:
        """The value under or at which this part of all values lies (nearest rank)."""
        cumulated = np.cumsum(self._counts)
        rank = int(np.searchsorted(cumulated, percent / 100 * self.count))
        return float(self._values[min(rank, len(self._values) - 1)])

    def histogram(self, bins: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """(edges, counts) of equal bins from the 0.1th to the 99.9th percentile; the rest is in the outer bins.

        Whole values get bins of a whole width, so that no bin is higher only because it holds one value more.
        """
        low, high = self.percentile(0.1), self.percentile(99.9)
        whole = bool(np.array_equal(self._values, np.rint(self._values)))
        if whole:
            width = max(1.0, float(np.ceil((high - low + 1) / bins)))
            edges = low - 0.5 + width * np.arange(int((high - low) // width) + 2)
        else:
            edges = np.linspace(low, high if high > low else low + 1.0, bins + 1)
        counts, _ = np.histogram(np.clip(self._values, edges[0], edges[-1]), bins=edges, weights=self._counts)
        return np.asarray(edges, dtype=np.float64), counts.astype(np.int64)

    def _merge(self, distinct: NDArray[np.float64], counts: NDArray[np.int64]) -> None:
        values, places = np.unique(np.concatenate([self._values, distinct]), return_inverse=True)
        merged = np.zeros(len(values), dtype=np.int64)
        np.add.at(merged, places, np.concatenate([self._counts, counts]))
        if len(values) > _MOST_DISTINCT:
            self.is_binned = True
            binned, edges = np.histogram(values, bins=_COARSE_BINS, weights=merged)
            filled = binned > 0
            values, merged = ((edges[:-1] + edges[1:]) / 2)[filled], binned[filled].astype(np.int64)
        self._values, self._counts = values, merged


def _distinct(values: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Sorted distinct values and how often each occurs."""
    if values.dtype.kind in "iu":
        low = int(values.min())
        if int(values.max()) - low < _MOST_DISTINCT:
            counts = np.bincount(values.astype(np.int64) - low)
            present = np.flatnonzero(counts)
            return (present + low).astype(np.float64), counts[present].astype(np.int64)
    distinct, counts = np.unique(values, return_counts=True)
    return distinct.astype(np.float64), counts.astype(np.int64)
