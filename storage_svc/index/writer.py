"""Writes to the index what is durable in the object store: new instances in batches, rarer changes one by one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import BindParameter, Connection, bindparam, delete, insert, literal, select, tuple_, union_all, update

from imaging.database.insert_new import insert_new
from imaging.errors import StaleAttempt
from imaging.storage.v1 import storage_pb2
from storage_svc.index.batching import Batcher
from storage_svc.index.change_log import ChangeLog, record_change
from storage_svc.index.changed_instance import record_stored, touch_study
from storage_svc.index.studies import (
    NewInstance,
    add_to_series,
    add_to_studies,
    lock_or_make_studies,
    lock_studies,
    recount,
)
from storage_svc.ingest.arrival import Arrival
from storage_svc.ingest.contradiction import Contradiction, kept_contradiction
from storage_svc.ingest.origin import DERIVED, RECEIVED, OriginOf
from storage_svc.keeping.condition_record import tell_condition
from storage_svc.keeping.object_check import OK
from storage_svc.schema import DERIVED_INSTANCE, INSTANCE, KEPT_OBJECT, QUARANTINE, STAGE_ATTEMPT
from storage_svc.versions.instance_versions import next_version

_QUARANTINED = storage_pb2.Change.KIND_CONFLICT_QUARANTINED
_UIDS: BindParameter[Any] = bindparam("uids", expanding=True)
_KNOWN = union_all(
    select(INSTANCE.c.sop_instance_uid, literal(True)).where(INSTANCE.c.sop_instance_uid.in_(_UIDS)),
    select(DERIVED_INSTANCE.c.sop_instance_uid, literal(False)).where(DERIVED_INSTANCE.c.sop_instance_uid.in_(_UIDS)),
)
"""UIDs that are served, and those of our own results, of which some were purged."""
_KEEP = insert(KEPT_OBJECT)
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
            If another writer was first: the primary key decides. Also if it is said to be received and is one of our
            own results, which was not asked for.
        StaleAttempt
            If it is derived and a newer attempt of its stage has begun to store.
        """
        return await self._batches.submit(NewInstance(arrival, origin))

    async def _add_batch(self, batch: Sequence[NewInstance]) -> Sequence[Row | Exception]:
        return await self._changes.write(lambda connection: self._add_all(connection, batch))

    def _add_all(self, connection: Connection, batch: Sequence[NewInstance]) -> list[Row | Exception]:
        uids = [new.arrival.examined.sop_instance_uid for new in batch]
        known: set[str] = set()
        ours: set[str] = set()
        for uid, is_served in connection.execute(_KNOWN, {"uids": uids}):
            (known if is_served else ours).add(uid)
        newest = _newest_attempts(connection, (new.origin for new in batch))
        results: list[Row | Exception] = [Overtaken() for _ in batch]
        adding: dict[str, NewInstance] = {}
        rows: dict[str, Row] = {}
        for index, (new, uid) in enumerate(zip(batch, uids, strict=True)):
            if uid in known or uid in adding or (uid in ours and new.origin.kind == RECEIVED):
                continue
            if new.origin.kind == DERIVED and new.origin.attempt < newest.get((new.origin.run, new.origin.stage), 0):
                results[index] = stale(new.origin)
            else:
                adding[uid] = new
                rows[uid] = {**new.arrival.instance_columns, **new.origin.columns, "version": 1}
                results[index] = rows[uid]
        if not adding:
            return results
        studies = lock_or_make_studies(connection, list(adding.values()))
        added = insert_new(connection, INSTANCE, [rows[uid] for uid in sorted(rows)], all_new=True)
        news = [new for uid, new in adding.items() if uid in added]
        add_to_studies(connection, news, studies, add_to_series(connection, news), self._quiet_time_us)
        if news:
            connection.execute(_KEEP, [new.arrival.object_columns(1) for new in news])
            _remember_derived(connection, news)
        for new in news:
            record_stored(connection, new.arrival, new.origin)
        # Another process may have been first with some.
        lost = {id(row) for uid, row in rows.items() if uid not in added}
        return [Overtaken() if id(result) in lost else result for result in results]

    async def begin_attempt(self, origin: OriginOf) -> None:
        """Fence off older attempts of a stage: from now on they can store nothing.

        Raises
        ------
        StaleAttempt
            If this is one of them.
        """

        def write(connection: Connection) -> None:
            insert_new(connection, STAGE_ATTEMPT, [{"run": origin.run, "stage": origin.stage, "attempt": 0}])
            # Waits for what older attempts are committing just now; they wait for this, and are refused then.
            begun = connection.execute(
                update(STAGE_ATTEMPT)
                .where(
                    STAGE_ATTEMPT.c.run == origin.run,
                    STAGE_ATTEMPT.c.stage == origin.stage,
                    STAGE_ATTEMPT.c.attempt <= origin.attempt,
                )
                .values(attempt=origin.attempt)
            )
            if begun.rowcount == 0:
                raise stale(origin)

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
            lock_studies(connection, [replaced["study_instance_uid"]])
            version = next_version(connection, replaced["sop_instance_uid"])
            row = {**arrival.instance_columns, **origin.columns, "version": version}
            _change_current(connection, replaced, row)
            connection.execute(insert(KEPT_OBJECT).values(**arrival.object_columns(version)))
            touch_study(connection, arrival, origin, self._quiet_time_us)
            record_stored(connection, arrival, origin)
            return row

        return await self._changes.write(write)

    async def bring_back(self, arrival: Arrival, deleted: Row) -> Row:
        """The row of a softly deleted instance that was sent again, byte for byte."""

        def write(connection: Connection) -> Row:
            live = {"purge_time": None, "deleted_level": 0}
            row = {**deleted, **live}
            lock_studies(connection, [deleted["study_instance_uid"]])
            _change_current(connection, deleted, live)
            origin = OriginOf(
                deleted["origin_kind"], deleted["origin_run"], deleted["origin_stage"], deleted["origin_attempt"]
            )
            touch_study(connection, arrival, origin, self._quiet_time_us)
            record_stored(connection, arrival, origin)
            return row

        return await self._changes.write(write)

    async def heal(self, arrival: Arrival, damaged: Row) -> Row:
        """The row of an instance whose lost or damaged object was replaced by the same data set, sent again.

        Preamble and file meta information may be others this time: size, checksum and warnings come with them.
        """

        def write(connection: Connection) -> Row:
            columns = arrival.instance_columns
            changed = {name: columns[name] for name in _OF_THE_OBJECT}
            lock_studies(connection, [damaged["study_instance_uid"]])
            _change_current(connection, damaged, changed)
            connection.execute(delete(KEPT_OBJECT).where(KEPT_OBJECT.c.object_key == damaged["object_key"]))
            connection.execute(insert(KEPT_OBJECT).values(**arrival.object_columns(damaged["version"])))
            recount(connection, damaged["study_instance_uid"], damaged["series_instance_uid"])
            tell_condition(connection, arrival.object_key, OK)
            return {**damaged, **changed}

        return await self._changes.write(write)

    async def quarantine(self, arrival: Arrival, reason: Contradiction.ValueType) -> None:
        """Keep an arrival aside under its UID, listed with the reason.

        Raises
        ------
        Overtaken
            If the same bytes are in quarantine by now.
        """

        def write(connection: Connection) -> None:
            examined = arrival.examined
            uid = examined.sop_instance_uid
            # Whoever puts something aside under this UID holds the row of the one that is served.
            connection.execute(select(INSTANCE.c.version).where(INSTANCE.c.sop_instance_uid == uid).with_for_update())
            if is_quarantined(connection, uid, arrival.examined.data_set_sha256):
                raise Overtaken
            connection.execute(insert(KEPT_OBJECT).values(**arrival.object_columns(0)))
            connection.execute(
                insert(QUARANTINE).values(
                    object_key=arrival.object_key,
                    sop_instance_uid=examined.sop_instance_uid,
                    study_instance_uid=examined.study_instance_uid,
                    series_instance_uid=examined.series_instance_uid,
                    data_set_sha256=arrival.examined.data_set_sha256,
                    reason=kept_contradiction(reason),
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


def is_quarantined(connection: Connection, sop_instance_uid: str, data_set_sha256: str) -> bool:
    """True if the same bytes are in quarantine under the UID already."""
    same = (QUARANTINE.c.sop_instance_uid == sop_instance_uid) & (QUARANTINE.c.data_set_sha256 == data_set_sha256)
    return connection.execute(select(QUARANTINE.c.object_key).where(same)).first() is not None


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
    key = tuple_(STAGE_ATTEMPT.c.run, STAGE_ATTEMPT.c.stage)
    # Locked against `begin_attempt` of another process, which waits until this is committed.
    query = select(STAGE_ATTEMPT).where(key.in_(sorted(stages))).order_by(*key).with_for_update(read=True)
    return {(row.run, row.stage): row.attempt for row in connection.execute(query)}


def _remember_derived(connection: Connection, news: Sequence[NewInstance]) -> None:
    derived = {new.arrival.examined.sop_instance_uid: new.origin for new in news if new.origin.kind == DERIVED}
    values = [
        {
            "sop_instance_uid": uid,
            "origin_run": origin.run,
            "origin_stage": origin.stage,
            "origin_attempt": origin.attempt,
        }
        for uid, origin in sorted(derived.items())
    ]
    insert_new(connection, DERIVED_INSTANCE, values)  # some were purged before: the first origin stays


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
