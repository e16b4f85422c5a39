"""Writes to the index what is durable in the object store: new instances in batches, rarer changes one by one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, delete, insert, select, tuple_, update

from imaging.errors import StaleAttempt
from imaging.storage.v1 import storage_pb2
from storage_svc.arrival import Arrival
from storage_svc.batching import Batcher
from storage_svc.change_log import ChangeLog, record_change
from storage_svc.condition_record import tell_condition
from storage_svc.index_studies import (
    NewInstance,
    add_to_series,
    add_to_studies,
    changed_attributes,
    opened_manifest,
    recount,
)
from storage_svc.object_check import OK
from storage_svc.origin import DERIVED, RECEIVED, OriginOf
from storage_svc.schema import DERIVED_INSTANCE, INSTANCE, KEPT_OBJECT, QUARANTINE, STAGE_ATTEMPT, STUDY

_STORED = storage_pb2.Change.KIND_INSTANCE_STORED
_QUARANTINED = storage_pb2.Change.KIND_CONFLICT_QUARANTINED
_OF_THE_OBJECT = ("object_key", "transfer_syntax_uid", "size_bytes", "object_crc32c", "warnings", "condition")
Row = Mapping[str, Any]


class Overtaken(Exception):
    """The UID is no longer in the state that the verdict was made for: judge again."""


class IndexWriter:
    """Each method returns after the durable commit."""

    def __init__(
        self, changes: ChangeLog, *, quiet_time_us: int, linger: Callable[[int], float] = lambda waiting: 0.0
    ) -> None:
        """
        Parameters
        ----------
        linger
            How many seconds a batch waits for more, given how many wait already.
        """
        self._changes = changes
        self._quiet_time_us = quiet_time_us
        self._batches: Batcher[NewInstance, Row] = Batcher(self._add_batch, linger=linger)

    async def add(self, arrival: Arrival, origin: OriginOf) -> Row:
        """The row of an instance under a new UID.

        Raises
        ------
        Overtaken
            If another writer was first: the primary key decides.
        StaleAttempt
            If it is derived and a newer attempt of its stage has begun to store.
        """
        return await self._batches.submit(NewInstance(arrival, origin))

    async def _add_batch(self, batch: Sequence[NewInstance]) -> Sequence[Row | Exception]:
        return await self._changes.write(lambda connection: self._add_all(connection, batch))

    def _add_all(self, connection: Connection, batch: Sequence[NewInstance]) -> list[Row | Exception]:
        uids = [new.arrival.examined.sop_instance_uid for new in batch]
        column = INSTANCE.c.sop_instance_uid
        known = set(connection.execute(select(column).where(column.in_(uids))).scalars())
        newest = _newest_attempts(connection, (new.origin for new in batch))
        results: list[Row | Exception] = []
        adding: dict[str, NewInstance] = {}
        rows: list[Row] = []
        for new, uid in zip(batch, uids, strict=True):
            if uid in known or uid in adding:
                results.append(Overtaken())
            elif new.origin.kind == DERIVED and new.origin.attempt < newest.get((new.origin.run, new.origin.stage), 0):
                results.append(stale(new.origin))
            else:
                adding[uid] = new
                rows.append({**new.arrival.instance_columns, **new.origin.columns, "version": 1})
                results.append(rows[-1])
        if adding:
            news = list(adding.values())
            add_to_studies(connection, news, add_to_series(connection, news), self._quiet_time_us)
            connection.execute(insert(KEPT_OBJECT), [new.arrival.object_columns(1) for new in news])
            connection.execute(insert(INSTANCE), rows)
            _remember_derived(connection, news)
            for new in news:
                _record_stored(connection, new.arrival, new.origin)
        return results

    async def begin_attempt(self, origin: OriginOf) -> None:
        """Fence off older attempts of a stage: from now on they can store nothing.

        Raises
        ------
        StaleAttempt
            If this is one of them.
        """

        def write(connection: Connection) -> None:
            newest = _newest_attempts(connection, [origin]).get((origin.run, origin.stage))
            if newest is None:
                values = {"run": origin.run, "stage": origin.stage, "attempt": origin.attempt}
                connection.execute(insert(STAGE_ATTEMPT).values(**values))
            elif newest > origin.attempt:
                raise stale(origin)
            else:
                own = (STAGE_ATTEMPT.c.run == origin.run) & (STAGE_ATTEMPT.c.stage == origin.stage)
                connection.execute(update(STAGE_ATTEMPT).where(own).values(attempt=origin.attempt))

        await self._changes.write(write)

    async def replace(self, arrival: Arrival, replaced: Row) -> Row:
        """The row of an instance whose attributes were corrected, or that takes a deleted one's place.

        Raises
        ------
        Overtaken
            If it is no longer the `replaced` version that is served.
        """

        def write(connection: Connection) -> Row:
            origin = OriginOf(
                replaced["origin_kind"], replaced["origin_run"], replaced["origin_stage"], replaced["origin_attempt"]
            )
            version = replaced["version"] + 1
            row = {**arrival.instance_columns, **origin.columns, "version": version}
            _change_current(connection, replaced, row)
            connection.execute(insert(KEPT_OBJECT).values(**arrival.object_columns(version)))
            self._touch_study(connection, arrival, origin)
            _record_stored(connection, arrival, origin)
            return row

        return await self._changes.write(write)

    async def bring_back(self, arrival: Arrival, deleted: Row) -> Row:
        """The row of a softly deleted instance that was sent again, byte for byte."""

        def write(connection: Connection) -> Row:
            live = {"purge_time": None, "deleted_level": 0}
            row = {**deleted, **live}
            _change_current(connection, deleted, live)
            origin = OriginOf(
                deleted["origin_kind"], deleted["origin_run"], deleted["origin_stage"], deleted["origin_attempt"]
            )
            self._touch_study(connection, arrival, origin)
            _record_stored(connection, arrival, origin)
            return row

        return await self._changes.write(write)

    async def heal(self, arrival: Arrival, damaged: Row) -> Row:
        """The row of an instance whose lost or damaged object was replaced by the same data set, sent again.

        Preamble and file meta information may be others this time: size, checksum and warnings come with them.
        """

        def write(connection: Connection) -> Row:
            columns = arrival.instance_columns
            changed = {name: columns[name] for name in _OF_THE_OBJECT}
            _change_current(connection, damaged, changed)
            connection.execute(delete(KEPT_OBJECT).where(KEPT_OBJECT.c.object_key == damaged["object_key"]))
            connection.execute(insert(KEPT_OBJECT).values(**arrival.object_columns(damaged["version"])))
            recount(connection, damaged["study_instance_uid"], damaged["series_instance_uid"])
            tell_condition(connection, arrival.object_key, OK)
            return {**damaged, **changed}

        return await self._changes.write(write)

    async def quarantine(self, arrival: Arrival, reason: str) -> None:
        """Keep an arrival aside under its UID, listed with the reason."""

        def write(connection: Connection) -> None:
            examined = arrival.examined
            connection.execute(insert(KEPT_OBJECT).values(**arrival.object_columns(0)))
            connection.execute(
                insert(QUARANTINE).values(
                    object_key=arrival.object_key,
                    sop_instance_uid=examined.sop_instance_uid,
                    study_instance_uid=examined.study_instance_uid,
                    series_instance_uid=examined.series_instance_uid,
                    data_set_sha256=arrival.examined.data_set_sha256,
                    reason=reason,
                    source=arrival.source,
                    create_time=arrival.time,
                )
            )
            record_change(
                connection,
                _QUARANTINED,
                str(arrival.name),
                digest=arrival.examined.data_set_sha256,
                size_bytes=examined.size_bytes,
                origin=arrival.origin.parts,
                traceparent=arrival.traceparent,
            )

        await self._changes.write(write)

    def _touch_study(self, connection: Connection, arrival: Arrival, origin: OriginOf) -> None:
        uid = arrival.examined.study_instance_uid
        recount(connection, uid, arrival.examined.series_instance_uid)
        if origin.kind == RECEIVED:
            study = connection.execute(select(STUDY).where(STUDY.c.study_instance_uid == uid)).mappings().one()
            values = {**opened_manifest(self._quiet_time_us), **changed_attributes(connection, study, arrival)}
            connection.execute(update(STUDY).where(STUDY.c.study_instance_uid == uid).values(**values))


def stale(origin: OriginOf) -> StaleAttempt:
    """The error for an attempt that was overtaken."""
    return StaleAttempt(
        f"Attempt {origin.attempt} of stage {origin.stage} was overtaken by a newer one",
        where=origin.run,
        hint="Stop this attempt; the newer one goes on from what is stored.",
    )


def _newest_attempts(connection: Connection, origins: Iterable[OriginOf]) -> dict[tuple[str, str], int]:
    stages = {(origin.run, origin.stage) for origin in origins if origin.kind == DERIVED}
    if not stages:
        return {}
    query = select(STAGE_ATTEMPT).where(tuple_(STAGE_ATTEMPT.c.run, STAGE_ATTEMPT.c.stage).in_(sorted(stages)))
    return {(row.run, row.stage): row.attempt for row in connection.execute(query)}


def _remember_derived(connection: Connection, news: Sequence[NewInstance]) -> None:
    derived = {new.arrival.examined.sop_instance_uid: new.origin for new in news if new.origin.kind == DERIVED}
    if not derived:
        return
    column = DERIVED_INSTANCE.c.sop_instance_uid
    there = set(connection.execute(select(column).where(column.in_(list(derived)))).scalars())
    values = [
        {
            "sop_instance_uid": uid,
            "origin_run": origin.run,
            "origin_stage": origin.stage,
            "origin_attempt": origin.attempt,
        }
        for uid, origin in derived.items()
        if uid not in there
    ]
    if values:
        connection.execute(insert(DERIVED_INSTANCE), values)


def _change_current(connection: Connection, expected: Row, values: Mapping[str, Any]) -> None:
    """Change the row of an instance, if it is still the one that was judged."""
    changed = connection.execute(
        update(INSTANCE)
        .where(
            INSTANCE.c.sop_instance_uid == expected["sop_instance_uid"],
            INSTANCE.c.object_key == expected["object_key"],
            INSTANCE.c.purge_time.is_not_distinct_from(expected["purge_time"]),
        )
        .values(**values)
    )
    if changed.rowcount != 1:
        raise Overtaken


def _record_stored(connection: Connection, arrival: Arrival, origin: OriginOf) -> None:
    record_change(
        connection,
        _STORED,
        str(arrival.name),
        digest=arrival.examined.data_set_sha256,
        size_bytes=arrival.examined.size_bytes,
        origin=origin.parts,
        traceparent=arrival.traceparent,
    )
