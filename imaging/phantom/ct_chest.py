"""A CT of a chest that nobody has: ellipses of fat, muscle, lung and bone, and three lesions."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from imaging.dicom.uid import derived_uid
from imaging.phantom.shape import Column, Ellipsoid, Grid, Shape, coverage
from imaging.phantom.truth import Component, LesionTruth, PhantomTruth, fraction_below, percentile
from imaging.volume.volume import SourceFrame, Volume

CT_IMAGE_STORAGE = "1.2.840.10008.5.1.4.1.1.2"
DEFAULT_SPACING_MM = (1.5, 1.2, 1.2)
"""120 slices of 175 x 250, 10.5 MB. Rows, columns and slices all differ, so that a mixed-up axis shows at once."""

FIELD_MM: Final = (180.0, 210.0, 300.0)
"""Extent along (z, y, x)."""

AIR_HU: Final = -1000.0
FAT_HU: Final = -100.0
SOFT_TISSUE_HU: Final = 40.0
BONE_HU: Final = 260.0
"""Half-way voxels between bone and soft tissue have 150 HU, the usual limit: the edge is not counted twice."""

LUNG_HU: Final = -870.0
EMPHYSEMA_HU: Final = -985.0
LESION_HU: Final = 30.0
TABLE_HU: Final = -150.0
"""As dense as fat, so that a measurement which does not look for the body counts it."""

NOISE_HU: Final = 10.0
LUNG_NOISE_HU: Final = 20.0
LOWEST_HU: Final = -1024.0

LUNGS: Final = {
    "right": Ellipsoid((-60.0, 0.0, 0.0), (44.0, 56.0, 70.0)),
    "left": Ellipsoid((60.0, 0.0, 0.0), (44.0, 56.0, 70.0)),
}
"""The patient's right is at negative x (PS3.3 C.7.6.2.1.1)."""

EMPHYSEMA: Final = (
    Ellipsoid((-60.0, 18.0, 6.0), (24.0, 26.0, 24.0)),
    Ellipsoid((60.0, 8.0, -26.0), (24.0, 26.0, 24.0)),
)
LESIONS: Final = {
    "left sphere": Ellipsoid((62.2, -11.4, 30.3), (12.0, 12.0, 12.0)),
    "right sphere": Ellipsoid((-56.3, 8.2, -41.2), (8.0, 8.0, 8.0)),
    "right ellipsoid": Ellipsoid((-64.1, -23.3, 30.2), (15.0, 10.0, 9.0), turn_degrees=30.0),
}
_LENGTH = (-FIELD_MM[0] / 2, FIELD_MM[0] / 2)
BODY: Final = Column((0.0, 0.0), (144.0, 99.0), _LENGTH)
INNER_BODY: Final = Column((0.0, 0.0), (121.0, 78.0), _LENGTH)
SPINE: Final = Column((0.0, 60.0), (15.0, 15.0), _LENGTH)
TRACHEA: Final = Column((0.0, 0.0), (7.0, 7.0), (10.0, _LENGTH[1]))
TABLE: Final = Column((0.0, 103.2), (120.0, 1.6), _LENGTH, rectangular=True)


def ct_chest_phantom(
    seed: int = 1, spacing_mm: tuple[float, float, float] = DEFAULT_SPACING_MM
) -> tuple[Volume, PhantomTruth]:
    """The phantom in whole Hounsfield units (int16), and its truth; the same seed gives the same voxels.

    Parameters
    ----------
    seed
        Of the noise; the shapes are always the same.
    spacing_mm
        (slices, rows, columns). Coarser ones are for quick tests; the field, 180 x 210 x 300 mm, stays about the same.
    """
    grid = chest_grid(spacing_mm)
    density = np.full(grid.shape, AIR_HU)
    noise = np.full(grid.shape, NOISE_HU)
    layers: list[tuple[Shape, float, float]] = [
        (BODY, FAT_HU, NOISE_HU),
        (INNER_BODY, SOFT_TISSUE_HU, NOISE_HU),
        (SPINE, BONE_HU, NOISE_HU),
        (TRACHEA, AIR_HU, NOISE_HU),
        (TABLE, TABLE_HU, NOISE_HU),
        *((lung, LUNG_HU, LUNG_NOISE_HU) for lung in LUNGS.values()),
        *((bulla, EMPHYSEMA_HU, LUNG_NOISE_HU) for bulla in EMPHYSEMA),
        *((lesion, LESION_HU, NOISE_HU) for lesion in LESIONS.values()),
    ]
    # Every layer lies wholly inside the one that it covers, so that blending gives the exact mean of each voxel.
    for shape, value, deviation in layers:
        box, fraction = coverage(shape, grid)
        density[box] += fraction * (value - density[box])
        noise[box] += fraction * (deviation - noise[box])
    # RandomState and not Generator: numpy promises its stream for all versions to come.
    density += noise * np.random.RandomState(seed).standard_normal(grid.shape)
    voxels: NDArray[np.int16] = np.clip(np.rint(density), LOWEST_HU, 3071).astype(np.int16)
    return _volume(voxels, grid, seed), phantom_truth(grid)


def chest_grid(spacing_mm: tuple[float, float, float] = DEFAULT_SPACING_MM) -> Grid:
    """The grid of the phantom: as many voxels as fit into the field, at least two along each axis."""
    slices, rows, columns = (max(2, round(extent / step)) for extent, step in zip(FIELD_MM, spacing_mm, strict=True))
    return Grid(shape=(slices, rows, columns), spacing_mm=spacing_mm)


def phantom_truth(grid: Grid) -> PhantomTruth:
    """The measures that follow from the shapes, over the length that the grid covers."""
    length = grid.shape[0] * grid.spacing_mm[0] / FIELD_MM[0]
    lungs = {
        side: lung.volume_mm3
        - sum(lesion.volume_mm3 for lesion in LESIONS.values() if lesion.centre_mm[0] * lung.centre_mm[0] > 0)
        for side, lung in LUNGS.items()
    }
    lung_volume = sum(lungs.values())
    emphysema = sum(bulla.volume_mm3 for bulla in EMPHYSEMA)
    mixture = (
        Component(lung_volume - emphysema, LUNG_HU, LUNG_NOISE_HU),
        Component(emphysema, EMPHYSEMA_HU, LUNG_NOISE_HU),
    )
    body, inner, spine = (column.volume_mm3 * length for column in (BODY, INNER_BODY, SPINE))
    return PhantomTruth(
        lesions=tuple(
            LesionTruth(name, lesion.volume_mm3, lesion.long_axis_mm, lesion.centre_mm)
            for name, lesion in LESIONS.items()
        ),
        lung_volume_mm3=lung_volume,
        right_lung_volume_mm3=lungs["right"],
        left_lung_volume_mm3=lungs["left"],
        emphysema_volume_mm3=emphysema,
        laa_950_percent=100 * fraction_below(-950.0, mixture),
        perc15_hu=percentile(0.15, mixture),
        fat_volume_mm3=body - inner,
        soft_tissue_volume_mm3=inner - spine - TRACHEA.volume_mm3 - lung_volume,
        bone_volume_mm3=spine,
        trachea_volume_mm3=TRACHEA.volume_mm3,
        body_volume_mm3=body,
        soft_tissue_hu=SOFT_TISSUE_HU,
        fat_hu=FAT_HU,
        bone_hu=BONE_HU,
        lung_hu=LUNG_HU,
        emphysema_hu=EMPHYSEMA_HU,
        lesion_hu=LESION_HU,
        noise_hu=NOISE_HU,
        lung_noise_hu=LUNG_NOISE_HU,
    )


def _volume(voxels: NDArray[np.int16], grid: Grid, seed: int) -> Volume:
    parts = ("phantom", "ct-chest", str(seed), *(f"{step:g}" for step in grid.spacing_mm))
    return Volume(
        voxels=voxels,
        spacing_mm=grid.spacing_mm,
        origin_mm=grid.origin_mm,
        direction=np.array([[0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0]]),
        frames=tuple(
            SourceFrame(derived_uid(*parts, "instance", str(index)), CT_IMAGE_STORAGE, 1)
            for index in range(grid.shape[0])
        ),
        modality="CT",
        units="[hnsf'U]",
        frame_of_reference_uid=derived_uid(*parts, "frame of reference"),
        slice_thickness_mm=grid.spacing_mm[0],
        series_instance_uid=derived_uid(*parts, "series"),
        study_instance_uid=derived_uid(*parts, "study"),
        attributes={
            "BodyPartExamined": "CHEST",
            "ConvolutionKernel": "SOFT",
            "ImageType": r"ORIGINAL\PRIMARY\AXIAL",
            "KVP": "120",
            "Manufacturer": "Imaging Pipeline open-source project",
        },
    )
