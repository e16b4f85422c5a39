"""Looking after what storage keeps: verifying, deleting, restoring, holding."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

import grpc
from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask

from imaging.client.kept_object import KeptObject, kept_object, time_of
from imaging.client.kept_versions import AsyncKeptVersions
from imaging.errors import InvalidArgument
from imaging.rpc.status import domain_errors
from imaging.storage.v1 import storage_admin_service_pb2 as pb
from imaging.storage.v1 import storage_pb2, storage_service_pb2
from imaging.storage.v1 import storage_service_pb2_grpc as storage_grpc

if TYPE_CHECKING:
    from imaging.client.stub import StorageStub


@dataclass(frozen=True, slots=True)
class Verified:
    """How far verifying is, and what was found since the last step."""

    objects_done: int
    objects_total: int
    bytes_done: int
    bytes_total: int
    damaged: tuple[KeptObject, ...]
    recovered: tuple[KeptObject, ...]


@dataclass(frozen=True, slots=True)
class ScrubStatus:
    """How far the background scrub is."""

    period_days: float
    bytes_per_second: int
    object_count: int
    size_bytes: int
    overdue_count: int
    missing_count: int
    differing_count: int
    wanted_count: int
    """Objects that are still to be verified because somebody wants everything verified now."""

    oldest_verify_time: datetime | None


@dataclass(frozen=True, slots=True)
class Orphan:
    """An object that nothing names."""

    object_key: str
    size_bytes: int
    modify_time: datetime | None
    removed: bool


@dataclass(frozen=True, slots=True)
class Sweep:
    """What a sweep has found until now."""

    object_count: int
    """Objects in the store, and their bytes."""

    size_bytes: int
    orphan_count: int
    """Objects that nothing names and that are older than the grace time, and their bytes."""

    orphan_bytes: int
    oldest_orphan_time: datetime | None
    removed_count: int
    removed_bytes: int
    young_count: int
    """Objects that nothing names, but something may yet, and their bytes."""

    young_bytes: int
    grace_seconds: float
    orphans: tuple[Orphan, ...]
    """Found since the last step."""


class AsyncStorageAdmin(AsyncKeptVersions):
    """The administration of storage. Names are resource names, or the UID of a study."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        super().__init__(channel)
        self._storage: StorageStub = storage_grpc.StorageServiceStub(channel)

    async def verify(self, names: Sequence[str] = (), *, only_size: bool = False) -> AsyncGenerator[Verified]:
        """Verify now what is kept below the names, or everything; each step tells what it found.

        Parameters
        ----------
        only_size
            Look only whether objects are there with their size.
        """
        depth = pb.VerifyObjectsRequest.DEPTH_SIZE if only_size else pb.VerifyObjectsRequest.DEPTH_CONTENT
        request = pb.VerifyObjectsRequest(names=map(_name, names), depth=depth)
        with domain_errors("storage"):
            async for step in self._admin.VerifyObjects(request):
                yield Verified(
                    step.objects_done,
                    step.objects_total,
                    step.bytes_done,
                    step.bytes_total,
                    tuple(map(kept_object, step.damaged)),
                    tuple(map(kept_object, step.recovered)),
                )

    async def sweep(self, *, dry_run: bool = False) -> AsyncGenerator[Sweep]:
        """Look for objects that nothing names, and remove those that are older than the grace time, with this call.

        Each step tells what was found until now, and its own orphans; the last one is the outcome.

        Parameters
        ----------
        dry_run
            Remove nothing.
        """
        with domain_errors("storage"):
            async for step in self._admin.SweepStorage(pb.SweepStorageRequest(dry_run=dry_run)):
                yield _sweep(step)

    async def scrub_status(self) -> ScrubStatus:
        """How far the background scrub is, and what it has found."""
        with domain_errors("storage"):
            return _status((await self._admin.GetScrubStatus(pb.GetScrubStatusRequest())).status)

    async def start_scrub(self) -> ScrubStatus:
        """Let the background scrub verify everything now, as fast as its rate allows."""
        with domain_errors("storage"):
            return _status((await self._admin.StartScrub(pb.StartScrubRequest())).status)

    async def damaged(self) -> list[KeptObject]:
        """All objects that are known to be damaged."""
        request = pb.ListDamagedObjectsRequest(page_size=1000)
        found: list[KeptObject] = []
        while True:
            with domain_errors("storage"):
                page = await self._admin.ListDamagedObjects(request)
            found.extend(map(kept_object, page.objects))
            request.page_token = page.next_page_token
            if not page.next_page_token:
                return found

    async def delete(self, name: str, *, reason: str = "", grace_days: float | None = None) -> datetime | None:
        """Delete a study, series or instance softly; when it will be purged.

        Raises
        ------
        OnHold
            If its study is under legal hold.
        """
        name = _name(name)
        grace = None if grace_days is None else Duration(seconds=round(grace_days * 86400))
        with domain_errors(name):
            match _level(name):
                case 1:
                    study = storage_service_pb2.DeleteStudyRequest(name=name, reason=reason, grace_period=grace)
                    return time_of((await self._storage.DeleteStudy(study)).study.purge_time)
                case 2:
                    series = storage_service_pb2.DeleteSeriesRequest(name=name, reason=reason, grace_period=grace)
                    return time_of((await self._storage.DeleteSeries(series)).series.purge_time)
                case _:
                    one = storage_service_pb2.DeleteInstanceRequest(name=name, reason=reason, grace_period=grace)
                    return time_of((await self._storage.DeleteInstance(one)).instance.purge_time)

    async def restore(self, name: str, *, reason: str = "") -> None:
        """Bring a softly deleted study, series or instance back."""
        name = _name(name)
        with domain_errors(name):
            match _level(name):
                case 1:
                    await self._storage.RestoreStudy(storage_service_pb2.RestoreStudyRequest(name=name, reason=reason))
                case 2:
                    series = storage_service_pb2.RestoreSeriesRequest(name=name, reason=reason)
                    await self._storage.RestoreSeries(series)
                case _:
                    instance = storage_service_pb2.RestoreInstanceRequest(name=name, reason=reason)
                    await self._storage.RestoreInstance(instance)

    async def hold(self, study: str, *, reason: str) -> None:
        """Put a study under legal hold: nothing of it can be deleted or purged."""
        await self._update(storage_pb2.Study(name=_name(study), legal_hold=storage_pb2.LegalHold(reason=reason)))

    async def release(self, study: str) -> None:
        """End the legal hold of a study."""
        await self._update(storage_pb2.Study(name=_name(study)))

    async def _update(self, study: storage_pb2.Study) -> None:
        mask = FieldMask(paths=["legal_hold"])
        with domain_errors(study.name):
            await self._storage.UpdateStudy(storage_service_pb2.UpdateStudyRequest(study=study, update_mask=mask))


def _name(name: str) -> str:
    return name if "/" in name else f"studies/{name}"


def _level(name: str) -> int:
    """1 study, 2 series, 3 instance; storage refuses what is none of them in full."""
    level = len(name.split("/")) // 2
    if level not in (1, 2, 3):
        raise InvalidArgument(
            "The name is not valid", where=name, hint="Give studies/UID[/series/UID[/instances/UID]]."
        )
    return level


def _sweep(message: pb.SweepStorageResponse) -> Sweep:
    report = message.report
    return Sweep(
        report.object_count,
        report.size_bytes,
        report.orphan_count,
        report.orphan_bytes,
        time_of(report.oldest_orphan_time),
        report.removed_count,
        report.removed_bytes,
        report.young_count,
        report.young_bytes,
        report.grace_period.ToTimedelta().total_seconds(),
        tuple(
            Orphan(item.object_key, item.size_bytes, time_of(item.modify_time), item.removed)
            for item in message.orphans
        ),
    )


def _status(message: pb.ScrubStatus) -> ScrubStatus:
    return ScrubStatus(
        message.period.ToTimedelta().total_seconds() / 86400,
        message.bytes_per_second,
        message.object_count,
        message.size_bytes,
        message.overdue_count,
        message.missing_count,
        message.differing_count,
        message.wanted_count,
        time_of(message.oldest_verify_time),
    )
