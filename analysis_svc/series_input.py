"""What of a series is analysed, and whether the model takes it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from pydicom.dataset import Dataset

from analysis_svc.analysis_request import AnalysisRequest
from analysis_svc.frame_values import series_units
from imaging.client.storage import StorageClient
from imaging.errors import MeasurementRefused, NotFound
from imaging.storage.v1 import storage_pb2

_MOST_VOXELS: Final = 750_000_000
"""1.5 GB as int16, 2850 slices of 512 x 512; a model needs several times that."""


async def find_instances(storage: StorageClient, request: AnalysisRequest) -> list[storage_pb2.Instance]:
    """The instances to analyse, in the order of their UIDs.

    Raises
    ------
    NotFound
        If the series, or one of the instances that the request names, is not stored.
    """
    wanted = set(request.sop_instance_uids)
    found = [
        instance
        async for instance in storage.search_instances(request.series)
        if not wanted or instance.sop_instance_uid in wanted
    ]
    if not found:
        await storage.get_series(request.series)  # of a series that is not there, storage tells so itself
    missing = len(wanted) - len(found) if wanted else 0
    if missing or not found:
        raise NotFound(
            f"{missing or 'All'} of the instances to analyse are not stored",
            where=request.series,
            hint="They were never stored, are deleted, or belong to another series.",
        )
    return sorted(found, key=lambda instance: instance.sop_instance_uid)


async def require_suitable(
    storage: StorageClient, request: AnalysisRequest, images: Sequence[storage_pb2.Instance]
) -> None:
    """Pass if the model takes such a series.

    Raises
    ------
    MeasurementRefused
        Rule `NO_IMAGES`, `MODALITY` or `TOO_MANY_VOXELS`.
    """
    series = await storage.get_series(request.series)
    if not images:
        raise MeasurementRefused(
            f"The series holds no images (modality {series.modality or 'unknown'})",
            hint="Take a series of images.",
            metadata={"rule": "NO_IMAGES"},
        )
    modalities = request.model.modalities
    if modalities and series.modality not in modalities:
        raise MeasurementRefused(
            f"The modality is {series.modality or 'unknown'}; the model takes {', '.join(modalities)}",
            hint="Take a series of that modality, or another model.",
            metadata={"rule": "MODALITY"},
        )
    voxels = sum(image.number_of_frames * image.rows * image.columns for image in images)
    if request.model.requires != "frames" and voxels > _MOST_VOXELS:
        raise MeasurementRefused(
            f"The series has {voxels / 1e6:.0f} million voxels; the limit is {_MOST_VOXELS / 1e6:.0f} million",
            hint="Take a part of it, or resample it.",
            metadata={"rule": "TOO_MANY_VOXELS"},
        )


def require_one_unit(headers: Sequence[Dataset]) -> None:
    """Pass if the values of all instances have the same unit: else they cannot be told in one number.

    Raises
    ------
    MeasurementRefused
        Rule `MIXED_UNITS`.
    """
    units = {series_units(header) for header in headers}
    if len(units) > 1:
        raise MeasurementRefused(
            f"The images have values of different units ({', '.join(sorted(units))}): in some of them Rescale Slope,"
            " Intercept or Type is missing or differs",
            hint="Correct the sender, or take the images of one unit.",
            metadata={"rule": "MIXED_UNITS"},
        )
