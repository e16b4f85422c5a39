"""The tissue of each voxel of a CT by its Hounsfield value."""

from __future__ import annotations

from enum import IntEnum
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage


class Tissue(IntEnum):
    """Classes of voxels."""

    OUTSIDE = 0
    """Not in the body."""

    GAS = 1
    """Lungs, airways, bowel gas."""

    FAT = 2
    SOFT = 3
    """Muscle, organs, blood."""

    BONE = 4
    """Bone, calcifications, and contrast agent as dense as these."""


FAT_HU: Final = (-190.0, -30.0)
"""Adipose tissue (Sjöström et al.: Am J Physiol 250, E736, 1986; Mitsiopoulos et al.: J Appl Physiol 85, 115, 1998)."""

SOFT_HU: Final = (-29.0, 150.0)
"""Muscle and other lean tissue (Mitsiopoulos 1998; Mourtzakis et al.: Appl Physiol Nutr Metab 33, 997, 2008)."""

GAS_HU: Final = -500.0
"""Half-way between lung or air and soft tissue."""

_VOTING_VOXELS: Final = 5
_SLAB: Final = 24


def classify(voxels: NDArray[Any], body: NDArray[np.bool_], *, with_bone: float = SOFT_HU[1]) -> NDArray[np.uint8]:
    """A `Tissue` for each voxel, axes (z, y, x).

    A voxel between -500 and -190 HU, or one in the range of fat that touches gas, is a mixture at an edge: by its
    value alone the wall of a lung would be fat. It takes the class that most whole voxels around it have (fat, soft
    tissue or bone, in a cube of 5 voxels).

    Parameters
    ----------
    voxels
        Hounsfield units.
    body
        The voxels to classify.
    with_bone
        Over this value it is bone.
    """
    classes = np.zeros(voxels.shape, dtype=np.uint8)
    halo = _VOTING_VOXELS // 2 + 1
    for start in range(0, len(voxels), _SLAB):
        low, high = max(0, start - halo), min(len(voxels), start + _SLAB + halo)
        slab = _classify_slab(voxels[low:high], body[low:high], with_bone)
        classes[start : start + _SLAB] = slab[start - low : start - low + _SLAB]
    return classes


def _classify_slab(voxels: NDArray[Any], body: NDArray[np.bool_], with_bone: float) -> NDArray[np.uint8]:
    gas = voxels < GAS_HU
    fat_range = (voxels >= FAT_HU[0]) & (voxels <= FAT_HU[1])
    # Values are whole in most series, but not in resampled ones: the limits between the named ranges must not gape.
    soft = (voxels > FAT_HU[1]) & (voxels <= with_bone)
    bone = voxels > with_bone
    mixed = body & ~gas & ((voxels < FAT_HU[0]) | (fat_range & ndimage.binary_dilation(gas)))
    whole = {
        Tissue.FAT: body & fat_range & ~mixed,
        Tissue.SOFT: body & soft,
        Tissue.BONE: body & bone,
    }
    classes = np.zeros(voxels.shape, dtype=np.uint8)
    classes[body & gas] = Tissue.GAS
    votes = np.empty((len(whole), int(mixed.sum())), dtype=np.float32)
    for row, (tissue, mask) in enumerate(whole.items()):
        classes[mask] = tissue
        votes[row] = ndimage.uniform_filter(mask.astype(np.float32), _VOTING_VOXELS, mode="constant")[mixed]
    winners = np.array([int(tissue) for tissue in whole], dtype=np.uint8)[votes.argmax(axis=0)]
    # Without a whole voxel near it (a speck, a catheter) the value alone decides between gas and fat.
    alone = votes.max(axis=0) < 1e-3
    winners[alone] = np.where(fat_range[mixed][alone], np.uint8(Tissue.FAT), np.uint8(Tissue.GAS))
    classes[mixed] = winners
    return classes
