"""A series as one array, with its place in the patient where the frames make a volume."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from imaging.client.frame import Frame
from imaging.client.storage import StorageClient
from imaging.errors import InvalidArgument, NotFound, VolumeRefused

if TYPE_CHECKING:
    from imaging.volume.volume import Volume


@dataclass(frozen=True, slots=True)
class SeriesArray:
    """The pixels of a series. `np.asarray(it)` is its array."""

    array: NDArray[Any]
    """Shape (slices, rows, columns), sorted along the normal, for a volume; else (frames, rows, columns) or (frames,
    rows, columns, samples), in the order of storage."""

    frames: tuple[tuple[str, int], ...]
    """SOP Instance UID and frame number (from 1) of each entry of axis 0."""

    spacing_mm: tuple[float, float, float] | None = None
    """Distance of voxel centres along (slices, rows, columns); None when it is not a volume."""

    origin_mm: tuple[float, float, float] | None = None
    """Patient coordinates (x, y, z) of the centre of voxel [0, 0, 0]."""

    direction: NDArray[np.float64] | None = None
    """Shape (3, 3): rows are unit vectors (x, y, z) along which the index grows for (slices, rows, columns)."""

    units: str = "1"
    """UCUM unit of a value: `[hnsf'U]` for Hounsfield units."""

    not_a_volume: str = ""
    """Why the frames do not make a volume; empty when they do."""

    @property
    def is_volume(self) -> bool:
        """True when `spacing_mm`, `origin_mm` and `direction` are there."""
        return not self.not_a_volume

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the array."""
        return self.array.shape

    @property
    def orientation(self) -> tuple[float, ...] | None:
        """Image Orientation (Patient) (0020,0037): the directions of a row and of a column, six numbers."""
        if self.direction is None:
            return None
        return (*(float(v) for v in self.direction[2]), *(float(v) for v in self.direction[1]))

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        if dtype is None:
            return self.array.copy() if copy else self.array
        return self.array.astype(dtype, copy=bool(copy))


async def series_array(
    storage: StorageClient, series: str, *, rescale: bool = True, sop_instance_uids: tuple[str, ...] = ()
) -> SeriesArray:
    """The array of a series.

    Parameters
    ----------
    rescale
        Apply the Modality LUT (PS3.3 C.11.1), so that CT is in HU. False: stored values, as pydicom's `pixel_array`.
    sop_instance_uids
        Only these instances; empty: all.

    Raises
    ------
    NotFound
        If the series has no frames.
    InvalidArgument
        If the frames have different shapes: they fit into no array.
    """
    from imaging.client.modality_values import modality_values
    from imaging.volume.assemble import assemble
    from imaging.volume.frame_headers import frame_headers

    headers = await storage.read_headers(series, sop_instance_uids)
    with_pixels = [item for item in headers if item.instance.number_of_frames > 0]
    if not with_pixels:
        raise NotFound("The series has no images", where=series, hint="Choose a series with frame_count > 0.")
    frames = [frame async for frame in _frames_of(storage, [item.instance.name for item in with_pixels])]
    try:
        described = {
            (h.sop_instance_uid, h.frame_number): h for item in with_pixels for h in frame_headers(item.dataset)
        }
        pairs = [(described[frame.sop_instance_uid, frame.frame_number], frame.pixels) for frame in frames]
        volume = assemble(pairs, unify_padding=False)
    except (VolumeRefused, KeyError) as refused:
        reason = refused.text if isinstance(refused, VolumeRefused) else "A frame has no attributes of its own"
        datasets = {item.instance.name: item.dataset for item in with_pixels}
        values = [
            modality_values(frame.pixels, datasets[frame.instance], frame.frame_number) if rescale else frame.pixels
            for frame in frames
        ]
        return SeriesArray(
            _stack(values, series),
            tuple((frame.sop_instance_uid, frame.frame_number) for frame in frames),
            not_a_volume=reason,
        )
    return _of_volume(volume, frames, rescale=rescale)


async def _frames_of(storage: StorageClient, instances: list[str]) -> AsyncIterator[Frame]:
    from imaging.client.storage import Selection

    async for frame in storage.read_frames(selections=[Selection(instance=name) for name in instances]):
        yield frame


def _of_volume(volume: Volume, frames: list[Frame], *, rescale: bool) -> SeriesArray:
    order = tuple((frame.sop_instance_uid, frame.frame_number) for frame in volume.frames)
    array: NDArray[Any] = volume.voxels
    if not rescale:
        stored = {(frame.sop_instance_uid, frame.frame_number): frame.pixels for frame in frames}
        array = np.stack([stored[key] for key in order])
    return SeriesArray(
        array,
        order,
        spacing_mm=volume.spacing_mm,
        origin_mm=volume.origin_mm,
        direction=volume.direction,
        units=volume.units if rescale else "1",
    )


def _stack(values: list[NDArray[Any]], series: str) -> NDArray[Any]:
    shapes = sorted({value.shape for value in values})
    if len(shapes) > 1:
        raise InvalidArgument(
            f"The frames have different shapes: {', '.join(map(str, shapes[:4]))}",
            where=series,
            hint="Read them one by one with `client.frames(series)`.",
        )
    return np.stack(values)
