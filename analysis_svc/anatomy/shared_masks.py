"""Body and lungs of a CT, which several models of one run need, found once.

The models of a recipe are given the same voxels one after the other, each by a request of its own. The masks follow
from the voxels alone, so their digest is the name under which the last few are kept, eight voxels a byte.
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from analysis_svc.anatomy.body_mask import body_mask
from analysis_svc.anatomy.lung_mask import Lungs, lung_mask

MOST_KEPT: Final = 4
"""Body and lungs of two volumes; 39 MiB for 400 slices of 512 x 512."""

Spacing = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class _Packed:
    bits: NDArray[np.uint8]
    shape: tuple[int, ...]

    @classmethod
    def of(cls, mask: NDArray[np.bool_]) -> _Packed:
        return cls(np.packbits(mask.ravel()), mask.shape)

    def mask(self) -> NDArray[np.bool_]:
        return np.unpackbits(self.bits, count=int(np.prod(self.shape))).view(np.bool_).reshape(self.shape)


class Recent:
    """The last few results by name. Who asks while one is being made waits for it."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, Future[Any]] = OrderedDict()

    def get(self, name: str, make: Callable[[], Any]) -> Any:
        """The result of that name, made if it is not kept; what `make` raises is kept by nobody."""
        with self._lock:
            kept = self._kept.get(name)
            if kept is None:
                mine: Future[Any] = Future()
                self._kept[name] = mine
                while len(self._kept) > self._most:
                    self._kept.popitem(last=False)
            else:
                self._kept.move_to_end(name)
        if kept is not None:
            found = kept.result()
            return make() if found is None else found
        result = None
        try:
            result = make()
            return result
        finally:
            if result is None:
                with self._lock:
                    if self._kept.get(name) is mine:
                        del self._kept[name]
            mine.set_result(result)


_recent = Recent(MOST_KEPT)


def shared_body_mask(voxels: NDArray[Any], spacing_mm: Spacing) -> NDArray[np.bool_]:
    """`body_mask` of these voxels; an array of the caller's own."""
    name = f"body {_digest(voxels)} {spacing_mm}"
    packed: _Packed = _recent.get(name, lambda: _Packed.of(body_mask(voxels, spacing_mm)))
    return packed.mask()


def shared_lung_mask(voxels: NDArray[Any], body: NDArray[np.bool_], spacing_mm: Spacing) -> Lungs:
    """`lung_mask` of these voxels and this body; arrays of the caller's own."""

    def make() -> tuple[_Packed, _Packed, float, bool]:
        lungs = lung_mask(voxels, body, spacing_mm)
        return _Packed.of(lungs.right), _Packed.of(lungs.left), lungs.limit_hu, lungs.touching

    name = f"lungs {_digest(voxels)} {_digest(body)} {spacing_mm}"
    right, left, limit_hu, touching = _recent.get(name, make)
    return Lungs(right.mask(), left.mask(), limit_hu, touching)


def _digest(array: NDArray[Any]) -> str:
    """SHA-256 over type, shape and values; slice by slice, for the array may be a turned view."""
    digest = hashlib.sha256(f"{array.dtype.str} {array.shape}".encode())
    for plane in array:
        digest.update(np.ascontiguousarray(plane).data.cast("B"))
    return digest.hexdigest()
