"""What a person decides: a quarantined instance is accepted or discarded, an older version is served again."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from functools import partial
from typing import Any

from sqlalchemy import Connection, delete, insert, select

from imaging.database import Database, clock
from imaging.errors import DataLoss, FailedPrecondition, ImagingError, NotFound
from imaging.objectstore import ObjectStore
from imaging.storage.v1 import storage_pb2
from storage_svc.index.change_log import ChangeLog, record_change
from storage_svc.index.studies import lock_studies
from storage_svc.index.writer import Overtaken
from storage_svc.ingest.arrival import Arrival
from storage_svc.ingest.examine import Expected, examine_file
from storage_svc.ingest.origin import FROM_OUTSIDE
from storage_svc.keeping.local_copy import local_copy
from storage_svc.keeping.verified_object import damaged
from storage_svc.lifecycle.audit import Action, Asked, record_audit
from storage_svc.lifecycle.legal_hold import require_no_hold
from storage_svc.names import Name, instance_name
from storage_svc.schema import INSTANCE, KEPT_OBJECT, QUARANTINE, RESOLUTION
from storage_svc.versions.current_version import lock_current, make_current, require_etag
from storage_svc.versions.instance_versions import next_version, require_version
from storage_svc.versions.kept_name import no_such_quarantined, quarantine_id, quarantine_name, version_name
from storage_svc.versions.kept_objects import is_kept
from storage_svc.versions.quarantine import find_quarantined

_RESOLVED = storage_pb2.Change.KIND_CONFLICT_RESOLVED
Row = Mapping[str, Any]
_log = logging.getLogger(__name__)


class Resolution(IntEnum):
    """What became of a quarantined instance, as the table keeps it."""

    ACCEPTED = 1
    DISCARDED = 2


@dataclass(frozen=True, slots=True)
class Decisions:
    """Carries them out. Of several over one quarantined instance the first stands; the same again gets its answer.

    Parameters
    ----------
    quiet_time_us
        After which a study whose set has changed is complete again.
    """

    database: Database
    store: ObjectStore
    changes: ChangeLog
    quiet_time_us: int

    async def accept(self, wanted_id: str, asked: Asked, *, expected_etag: str) -> Row:
        """The row of the instance that is served, now that a quarantined one is its newest version.

        Raises
        ------
        NotFound
            If it is not in quarantine.
        FailedPrecondition
            If it was discarded, or the instance is not what the caller has looked at.
        OnHold
            If the instance would leave a study that is under legal hold.
        DataLoss
            If its bytes are not those that arrived.
        """

        while True:
            row = await self.database.read(partial(find_quarantined, wanted_id=wanted_id))
            if row is None:
                return await self.database.read(partial(_accepted, wanted_id=wanted_id))
            try:
                arrival = await self._examine(row)
                accept = partial(self._accept, row=row, arrival=arrival, asked=asked, expected_etag=expected_etag)
                return await self.changes.write(accept)
            except Overtaken:
                continue

    def _accept(self, connection: Connection, row: Row, arrival: Arrival, asked: Asked, expected_etag: str) -> Row:
        current = lock_current(connection, arrival)
        _resolve(connection, arrival.object_key, Resolution.ACCEPTED)
        require_etag(current, expected_etag)
        version = next_version(connection, row["sop_instance_uid"])
        served = make_current(connection, current, arrival, version, self.quiet_time_us)
        _tell(connection, Action.ACCEPT, row, str(arrival.name), asked)
        return served

    async def discard(self, wanted_id: str, asked: Asked) -> None:
        """Forget a quarantined instance and its object.

        Raises
        ------
        NotFound
            If it is not in quarantine.
        FailedPrecondition
            If it was accepted.
        OnHold
            If the study that it names, or that of the stored instance, is under legal hold.
        """

        def write(connection: Connection) -> str | None:
            row = find_quarantined(connection, wanted_id)
            if row is None:
                _require(connection, wanted_id, Resolution.DISCARDED)
                return None
            for study in lock_studies(connection, {row["claimed_study"], row["stored_study"]} - {None}).values():
                require_no_hold(study)
            _resolve(connection, row["object_key"], Resolution.DISCARDED)
            connection.execute(delete(KEPT_OBJECT).where(KEPT_OBJECT.c.object_key == row["object_key"]))
            claimed = instance_name(row["claimed_study"], row["claimed_series"], row["sop_instance_uid"])
            _tell(connection, Action.DISCARD, row, claimed, asked)
            return str(row["object_key"])

        while True:
            try:
                key = await self.changes.write(write)
                break
            except Overtaken:
                continue
        if key is not None:
            try:
                await asyncio.to_thread(self.store.delete, key)
            except ImagingError as error:  # no row knows it any more: it is swept
                _log.warning("the object of a discarded instance stays for now: %s", error.text)

    async def restore_version(self, instance: Name, version: int, asked: Asked, *, expected_etag: str) -> Row:
        """The row of the instance, which serves that version from now on.

        Raises
        ------
        NotFound
            If the version is not kept.
        FailedPrecondition
            If the instance is deleted, or is not what the caller has looked at.
        OnHold
            If the instance would leave a study that is under legal hold.
        DataLoss
            If the bytes of the version are not those that were stored.
        """

        def write(connection: Connection) -> Row:
            current = lock_current(connection, arrival)
            if current is None or current["purge_time"] != row["purge_time"]:
                raise Overtaken
            if current["object_key"] == arrival.object_key:
                return current
            require_etag(current, expected_etag)
            served = make_current(connection, current, arrival, version, self.quiet_time_us)
            record_audit(connection, Action.RESTORE_VERSION, version_name(arrival.name, version), asked)
            return served

        while True:
            row = await self.database.read(partial(require_version, instance=instance, version=version))
            if row["purge_time"] is not None:
                raise FailedPrecondition(
                    "The instance is deleted", where=str(instance), hint="Restore it first: `imaging storage restore`."
                )
            try:
                arrival = await self._examine(row)
                return await self.changes.write(write)
            except Overtaken:
                continue

    async def _examine(self, row: Row) -> Arrival:
        try:
            return await asyncio.to_thread(self._examined, row)
        except DataLoss:
            if await self.database.read(partial(is_kept, object_key=row["object_key"])):
                raise
            raise Overtaken from None  # discarded or purged while it was read

    def _examined(self, row: Row) -> Arrival:
        """A kept object as it was when it arrived: all that the index keeps of it is in its bytes. Blocks."""
        with local_copy(self.store, row) as path:
            examined = examine_file(path, Expected())
        if examined.data_set_sha256 != row["data_set_sha256"]:
            raise damaged(row)
        return Arrival(
            content=path,
            examined=examined,
            origin=FROM_OUTSIDE,
            source=row["source"],
            traceparent=row["traceparent"],
            kept_key=row["object_key"],
        )


def _resolve(connection: Connection, object_key: str, resolution: Resolution) -> None:
    """Take an instance out of quarantine; of two who do so, in whatever process, one is overtaken."""
    if connection.execute(delete(QUARANTINE).where(QUARANTINE.c.object_key == object_key)).rowcount != 1:
        raise Overtaken
    connection.execute(
        insert(RESOLUTION).values(
            quarantine_id=quarantine_id(object_key), resolution=resolution, create_time=clock.now()
        )
    )


def _tell(connection: Connection, action: Action, row: Row, instance: str, asked: Asked) -> None:
    name = quarantine_name(quarantine_id(row["object_key"]))
    record_change(connection, _RESOLVED, name, digest=row["data_set_sha256"], size_bytes=row["size_bytes"])
    record_audit(connection, action, f"{name} {instance}", asked)


def _require(connection: Connection, wanted_id: str, resolution: Resolution) -> None:
    """Pass if that was decided before over what is no longer in quarantine."""
    query = select(RESOLUTION.c.resolution).where(RESOLUTION.c.quarantine_id == wanted_id)
    decided = connection.execute(query).scalar()
    if decided is None:
        raise no_such_quarantined(wanted_id)
    if decided != resolution:
        raise FailedPrecondition(
            f"The quarantined instance was {Resolution(decided).name.lower()} already",
            where=quarantine_name(wanted_id),
            hint="Serve another version by `imaging storage versions restore`."
            if decided == Resolution.ACCEPTED
            else "Its bytes are gone: send it again from its source.",
        )


def _accepted(connection: Connection, wanted_id: str) -> Row:
    """The row of the instance that was accepted before, as it is now."""
    _require(connection, wanted_id, Resolution.ACCEPTED)
    found = KEPT_OBJECT.c.object_key.endswith(f"_{wanted_id}.dcm", autoescape=True)
    of_it = select(KEPT_OBJECT.c.sop_instance_uid).where(found)
    row = connection.execute(select(INSTANCE).where(INSTANCE.c.sop_instance_uid.in_(of_it))).mappings().first()
    if row is None:
        raise NotFound(
            "What was accepted was replaced or purged since", where=quarantine_name(wanted_id), hint="Send it again."
        )
    return dict(row)
