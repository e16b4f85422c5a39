"""A small storage service over real gRPC: its studies, headers and change log are as a test says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any

from pydicom.dataset import Dataset
from pydicom.filewriter import dcmwrite

from imaging.errors import ImagingError, NotFound, RevisionTooOld
from imaging.storage.v1 import storage_pb2, storage_service_pb2, storage_service_pb2_grpc

EXPLICIT_LITTLE_ENDIAN = "1.2.840.10008.1.2.1"
CT_IMAGE = "1.2.840.10008.5.1.4.1.1.2"
TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def slice_header(position: int, *, orientation: Sequence[float] = (1, 0, 0, 0, 1, 0), acquisition: int = 1) -> Dataset:
    """The geometry of one slice; `position` in millimetres along the normal."""
    dataset = Dataset()
    dataset.SOPClassUID = CT_IMAGE
    dataset.SOPInstanceUID = "1.2.3"
    dataset.ImageOrientationPatient = list(orientation)
    dataset.ImagePositionPatient = [0, 0, position] if orientation[4] else [0, position, 0]
    dataset.PixelSpacing = [1, 1]
    dataset.AcquisitionNumber = acquisition
    return dataset


@dataclass(slots=True)
class ScriptedSeries:
    """A series of single-frame instances, one for each header."""

    message: storage_pb2.Series
    headers: list[Dataset] = field(default_factory=list)
    image_types: list[str] = field(default_factory=list)

    def instances(self) -> list[storage_pb2.Instance]:
        uid = self.message.series_instance_uid
        return [
            storage_pb2.Instance(
                name=f"{self.message.name}/instances/{uid}.{number}",
                sop_instance_uid=f"{uid}.{number}",
                series_instance_uid=uid,
                instance_number=number,
                rows=64,
                columns=64,
                number_of_frames=1 if self.message.frame_count else 0,
                image_type=self.image_types[number - 1] if self.image_types else "ORIGINAL\\PRIMARY\\AXIAL",
            )
            for number in range(1, len(self.headers) + 1)
        ]


def ct_series(
    study: str, number: int = 1, *, slices: int = 24, body_part: str = "CHEST", **more: Any
) -> ScriptedSeries:
    """A CT series of axial slices, 1 mm apart."""
    uid = f"1.2.3.{number}"
    message = storage_pb2.Series(
        name=f"{study}/series/{uid}",
        series_instance_uid=uid,
        modality="CT",
        series_number=number,
        body_part_examined=body_part,
        instance_count=slices,
        frame_count=slices,
        rows=64,
        columns=64,
        image_types=["ORIGINAL\\PRIMARY\\AXIAL"],
        sop_class_uids=[CT_IMAGE],
    )
    return ScriptedSeries(message, [slice_header(position) for position in range(slices)])


class ScriptedStorage(storage_service_pb2_grpc.StorageServiceServicer):
    """Studies as a test says, and a change log."""

    def __init__(self) -> None:
        self.studies: dict[str, storage_pb2.Study] = {}
        self.series: dict[str, list[ScriptedSeries]] = {}
        self.log: list[storage_pb2.Change] = []
        self.oldest_revision = 1
        self.search_errors: list[ImagingError] = []
        """What the next searches for instances are answered, one each."""

        self._changed = asyncio.Event()
        self.watch_begun = asyncio.Event()

    def complete(self, study: str, *series: ScriptedSeries) -> None:
        """A study is complete (again): a new manifest version."""
        self.series[study] = list(series) or self.series.get(study) or [ct_series(study)]
        message = self.studies.setdefault(study, storage_pb2.Study(name=study))
        message.manifest.version += 1
        message.manifest.traceparent = TRACEPARENT
        self.announce(
            storage_pb2.Change(
                kind=storage_pb2.Change.KIND_STUDY_COMPLETED,
                name=study,
                manifest_version=message.manifest.version,
                traceparent=TRACEPARENT,
            )
        )

    def delete(self, study: str) -> None:
        """A study is gone."""
        del self.studies[study]
        self.announce(storage_pb2.Change(kind=storage_pb2.Change.KIND_STUDY_DELETED, name=study))

    def announce(self, change: storage_pb2.Change) -> None:
        """The next entry of the change log."""
        change.revision = len(self.log) + 1
        self.log.append(change)
        self._changed.set()

    async def GetStudy(self, request: Any, context: Any) -> Any:
        if request.name not in self.studies:
            raise NotFound("no such study", where=request.name)
        return storage_service_pb2.GetStudyResponse(study=self.studies[request.name])

    async def SearchStudies(self, request: Any, context: Any) -> Any:
        return storage_service_pb2.SearchStudiesResponse(studies=list(self.studies.values()))

    async def SearchSeries(self, request: Any, context: Any) -> Any:
        return storage_service_pb2.SearchSeriesResponse(
            series=[one.message for one in self.series.get(request.parent, [])]
        )

    async def SearchInstances(self, request: Any, context: Any) -> Any:
        if self.search_errors:
            raise self.search_errors.pop(0)
        return storage_service_pb2.SearchInstancesResponse(instances=self._series(request.parent).instances())

    async def RetrieveMetadata(self, request: Any, context: Any) -> AsyncIterator[Any]:
        series = self._series(request.name)
        for instance, header in zip(series.instances(), series.headers, strict=True):
            if instance.sop_instance_uid in request.sop_instance_uids:
                buffer = BytesIO()
                dcmwrite(buffer, header, implicit_vr=False, little_endian=True)
                yield storage_service_pb2.RetrieveMetadataResponse(
                    instance=instance, content=buffer.getvalue(), transfer_syntax_uid=EXPLICIT_LITTLE_ENDIAN
                )

    async def WatchChanges(self, request: Any, context: Any) -> AsyncIterator[Any]:
        start = request.start_revision or len(self.log) + 1
        if start < self.oldest_revision:
            raise RevisionTooOld("too old", metadata={"oldest_revision": str(self.oldest_revision)})
        while True:
            changes = self.log[start - 1 :]
            yield storage_service_pb2.WatchChangesResponse(
                changes=[change for change in changes if change.kind in request.kinds], revision=len(self.log)
            )
            self.watch_begun.set()
            start = max(start, len(self.log) + 1)
            self._changed.clear()
            await self._changed.wait()

    def _series(self, name: str) -> ScriptedSeries:
        return next(one for series in self.series.values() for one in series if one.message.name == name)
