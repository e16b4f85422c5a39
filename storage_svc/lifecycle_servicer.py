"""The part of the gRPC face by which studies, series and instances go, come back, and are held."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import grpc
from google.protobuf.duration_pb2 import Duration
from sqlalchemy import Connection

from imaging.database import clock
from imaging.errors import FailedPrecondition, InvalidArgument
from imaging.storage.v1 import storage_pb2
from imaging.storage.v1 import storage_service_pb2 as pb
from imaging.storage.v1 import storage_service_pb2_grpc as pb_grpc
from storage_svc import resources
from storage_svc.caller import asked_by
from storage_svc.index.change_log import ChangeLog
from storage_svc.index.live import live_study
from storage_svc.lifecycle.delete import delete, restore
from storage_svc.lifecycle.legal_hold import release_hold, set_hold, study_for_update
from storage_svc.names import Name, parse_name

Context = grpc.aio.ServicerContext[Any, Any]
Row = Mapping[str, Any]
_MAX_GRACE_SECONDS = 100 * 366 * 24 * 3600


class LifecycleServicer(pb_grpc.StorageServiceServicer):
    """Implements updating, deleting and restoring of `imaging.storage.v1.StorageService`.

    Parameters
    ----------
    delete_grace
        Time until the purge, where a request gives none.
    quiet_time
        After which a study whose set has changed is complete again.
    """

    def __init__(self, changes: ChangeLog, *, delete_grace: timedelta, quiet_time: timedelta) -> None:
        self._changes = changes
        self._delete_grace = delete_grace
        self._quiet_time_us = clock.microseconds(quiet_time)

    async def UpdateStudy(self, request: pb.UpdateStudyRequest, context: Context) -> pb.UpdateStudyResponse:
        wanted = request.study
        name = parse_name(wanted.name, 1)
        if list(request.update_mask.paths) != ["legal_hold"]:
            raise InvalidArgument(
                "Only the legal hold of a study can be changed",
                where="update_mask",
                hint="Name `legal_hold` and nothing else; all other fields are those of the images.",
            )
        asked = asked_by(context, wanted.legal_hold.reason)

        def write(connection: Connection) -> storage_pb2.Study:
            row = study_for_update(connection, name)
            if wanted.etag and wanted.etag != resources.etag(row):
                raise FailedPrecondition(
                    "The study has changed since its etag was read",
                    where=str(name),
                    hint="Get the study and send its new etag.",
                    metadata={"etag": resources.etag(row)},
                )
            (set_hold if wanted.HasField("legal_hold") else release_hold)(connection, row, asked)
            return _study(connection, name, study_for_update(connection, name))

        return pb.UpdateStudyResponse(study=await self._changes.write(write))

    async def DeleteStudy(self, request: pb.DeleteStudyRequest, context: Context) -> pb.DeleteStudyResponse:
        return pb.DeleteStudyResponse(study=resources.study(await self._delete(request, 1, context)))

    async def DeleteSeries(self, request: pb.DeleteSeriesRequest, context: Context) -> pb.DeleteSeriesResponse:
        return pb.DeleteSeriesResponse(series=resources.series(await self._delete(request, 2, context)))

    async def DeleteInstance(self, request: pb.DeleteInstanceRequest, context: Context) -> pb.DeleteInstanceResponse:
        return pb.DeleteInstanceResponse(instance=resources.instance(await self._delete(request, 3, context)))

    async def RestoreStudy(self, request: pb.RestoreStudyRequest, context: Context) -> pb.RestoreStudyResponse:
        def write(connection: Connection) -> storage_pb2.Study:
            return _study(connection, name, self._restore(connection, name, request, context))

        name = parse_name(request.name, 1)
        return pb.RestoreStudyResponse(study=await self._changes.write(write))

    async def RestoreSeries(self, request: pb.RestoreSeriesRequest, context: Context) -> pb.RestoreSeriesResponse:
        name = parse_name(request.name, 2)
        row = await self._changes.write(lambda connection: self._restore(connection, name, request, context))
        return pb.RestoreSeriesResponse(series=resources.series(row))

    async def RestoreInstance(self, request: pb.RestoreInstanceRequest, context: Context) -> pb.RestoreInstanceResponse:
        name = parse_name(request.name, 3)
        row = await self._changes.write(lambda connection: self._restore(connection, name, request, context))
        return pb.RestoreInstanceResponse(instance=resources.instance(row))

    async def _delete(
        self,
        request: pb.DeleteStudyRequest | pb.DeleteSeriesRequest | pb.DeleteInstanceRequest,
        level: int,
        context: Context,
    ) -> Row:
        name, asked = parse_name(request.name, level), asked_by(context, request.reason)
        given = request.HasField("grace_period")
        grace_us = _grace_us(request.grace_period) if given else clock.microseconds(self._delete_grace)
        return await self._changes.write(
            lambda connection: delete(
                connection,
                name,
                asked,
                expected_etag=request.etag,
                grace_us=grace_us,
                quiet_time_us=self._quiet_time_us,
            )
        )

    def _restore(
        self,
        connection: Connection,
        name: Name,
        request: pb.RestoreStudyRequest | pb.RestoreSeriesRequest | pb.RestoreInstanceRequest,
        context: Context,
    ) -> Row:
        return restore(connection, name, asked_by(context, request.reason), quiet_time_us=self._quiet_time_us)


def _study(connection: Connection, name: Name, row: Row) -> storage_pb2.Study:
    """A study, deleted or not; one that is there has its modalities."""
    return resources.study(live_study(connection, name) if row["instance_count"] else row)


def _grace_us(grace: Duration) -> int:
    if not 0 <= grace.seconds <= _MAX_GRACE_SECONDS or not 0 <= grace.nanos < 1_000_000_000:
        raise InvalidArgument(
            "The grace period is negative or over 100 years", where="grace_period", hint="Leave it out for the default."
        )
    return grace.seconds * 1_000_000 + grace.nanos // 1000
