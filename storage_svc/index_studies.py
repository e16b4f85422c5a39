"""The rows of studies and series: kept up with each new instance, counted anew after anything rarer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, func, insert, select, tuple_, update

from imaging.storage.v1 import storage_pb2
from storage_svc import clock
from storage_svc.arrival import Arrival
from storage_svc.change_log import record_change
from storage_svc.names import study_name
from storage_svc.origin import RECEIVED, OriginOf
from storage_svc.schema import INSTANCE, MANIFEST, SERIES, STUDY

_STUDY_CHANGED = storage_pb2.Change.KIND_STUDY_CHANGED


@dataclass(frozen=True, slots=True)
class NewInstance:
    """An instance to add, with the origin that counts for its UID."""

    arrival: Arrival
    origin: OriginOf


def add_to_series(connection: Connection, adding: Sequence[NewInstance]) -> dict[str, int]:
    """Count new instances in their series, making those that are not there; the new live series of each study."""
    groups: dict[tuple[str, str], list[NewInstance]] = {}
    for new in adding:
        examined = new.arrival.examined
        groups.setdefault((examined.study_instance_uid, examined.series_instance_uid), []).append(new)
    key = tuple_(SERIES.c.study_instance_uid, SERIES.c.series_instance_uid)
    query = select(SERIES).where(key.in_(sorted(groups))).order_by(*key).with_for_update()
    rows = {
        (row["study_instance_uid"], row["series_instance_uid"]): row for row in connection.execute(query).mappings()
    }
    new_live: dict[str, int] = {}
    for uids in sorted(groups):
        group, row = groups[uids], rows.get(uids)
        values = _grown_series(row, group)
        if row is None or row["instance_count"] == 0:
            new_live[uids[0]] = new_live.get(uids[0], 0) + 1
        if row is None:
            connection.execute(insert(SERIES).values(study_instance_uid=uids[0], series_instance_uid=uids[1], **values))
        else:
            connection.execute(
                update(SERIES)
                .where(SERIES.c.study_instance_uid == uids[0], SERIES.c.series_instance_uid == uids[1])
                .values(**values)
            )
    return new_live


def _grown_series(row: Any, group: Sequence[NewInstance]) -> dict[str, Any]:
    values = (
        {**group[0].arrival.series_columns(), **group[0].origin.columns}
        if row is None
        else {"rows": row["rows"], "columns": row["columns"]}
    )
    for name in ("instance_count", "frame_count", "size_bytes"):
        values[name] = 0 if row is None else row[name]
    image_types = set(row["image_types"].split("\n")) if row and row["image_types"] else set()
    classes = set(row["sop_class_uids"].split("\n")) if row and row["sop_class_uids"] else set()
    for new in group:
        examined, columns = new.arrival.examined, new.arrival.instance_columns
        values["instance_count"] += 1
        values["frame_count"] += columns["number_of_frames"]
        values["size_bytes"] += examined.size_bytes
        if not values["rows"]:
            values["rows"], values["columns"] = columns["rows"], columns["columns"]
        classes.add(examined.sop_class_uid)
        if columns["image_type"]:
            image_types.add(columns["image_type"].replace("\n", " "))
    values["generation"] = (0 if row is None else row["generation"]) + 1
    return {**values, "image_types": "\n".join(sorted(image_types)), "sop_class_uids": "\n".join(sorted(classes))}


def add_to_studies(
    connection: Connection, adding: Sequence[NewInstance], new_series: dict[str, int], quiet_time_us: int
) -> None:
    """Count new instances in their studies, making those that are not there; received ones open the manifest."""
    groups: dict[str, list[NewInstance]] = {}
    for new in adding:
        groups.setdefault(new.arrival.examined.study_instance_uid, []).append(new)
    query = (
        select(STUDY)
        .where(STUDY.c.study_instance_uid.in_(sorted(groups)))
        .order_by(STUDY.c.study_instance_uid)
        .with_for_update()
    )
    rows = {row["study_instance_uid"]: row for row in connection.execute(query).mappings()}
    for uid in sorted(groups):  # sorted: two writers lock rows in the same order
        group, row = groups[uid], rows.get(uid)
        received = [new.arrival for new in group if new.origin.kind == RECEIVED]
        values: dict[str, Any] = {
            "update_time": clock.now(),
            "purge_time": None,
            "instance_count": (row["instance_count"] if row else 0) + len(group),
            "size_bytes": (row["size_bytes"] if row else 0) + sum(new.arrival.examined.size_bytes for new in group),
            "series_count": (row["series_count"] if row else 0) + new_series.get(uid, 0),
            "generation": (row["generation"] if row else 0) + 1,
        }
        if received:
            values |= opened_manifest(quiet_time_us)
        if row is None:
            attributes = (received[-1] if received else group[-1].arrival).study_columns()
            connection.execute(
                insert(STUDY).values(
                    study_instance_uid=uid,
                    create_time=group[0].arrival.time,
                    **attributes,
                    **values,
                    **_last_manifest(connection, uid),
                )
            )
            continue
        if received:
            values |= changed_attributes(connection, row, received[-1])
        connection.execute(update(STUDY).where(STUDY.c.study_instance_uid == uid).values(**values))


def opened_manifest(quiet_time_us: int) -> dict[str, Any]:
    """What a study gets when its set of received instances changes."""
    return {"manifest_open": True, "quiet_due": clock.now() + quiet_time_us}


def changed_attributes(connection: Connection, row: Any, arrival: Arrival) -> dict[str, Any]:
    """Patient and study attributes that the instance stored last tells anew; a change row says so."""
    attributes = arrival.study_columns()
    if all(row[name] == value for name, value in attributes.items()):
        return {}
    record_change(connection, _STUDY_CHANGED, study_name(row["study_instance_uid"]))
    return dict(attributes)


def _last_manifest(connection: Connection, study_instance_uid: str) -> dict[str, Any]:
    """A study that comes back after its purge goes on with the version numbers that it had."""
    version = connection.execute(
        select(func.max(MANIFEST.c.version)).where(MANIFEST.c.study_instance_uid == study_instance_uid)
    ).scalar()
    return {"manifest_version": version or 0}


def lock_series(connection: Connection, study_instance_uid: str, series_instance_uid: str = "") -> list[str]:
    """The UIDs of the series of a study, or of the one that is named if it is there; held until the commit.

    Writers that change a study hold its series first, in the order of their UIDs, and then the study.
    """
    own = [SERIES.c.study_instance_uid == study_instance_uid]
    if series_instance_uid:
        own.append(SERIES.c.series_instance_uid == series_instance_uid)
    query = select(SERIES.c.series_instance_uid).where(*own).order_by(SERIES.c.series_instance_uid).with_for_update()
    return list(connection.execute(query).scalars())


def recount(connection: Connection, study_instance_uid: str, series_instance_uid: str = "") -> None:
    """Count the live instances of all series of a study anew, or of the one that has changed, and of the study."""
    changed = lock_series(connection, study_instance_uid, series_instance_uid)
    own = INSTANCE.c.study_instance_uid == study_instance_uid
    if series_instance_uid:
        own &= INSTANCE.c.series_instance_uid == series_instance_uid
    counted = {
        row[0]: row
        for row in connection.execute(
            select(
                INSTANCE.c.series_instance_uid,
                func.count(),
                func.coalesce(func.sum(INSTANCE.c.number_of_frames), 0),
                func.coalesce(func.sum(INSTANCE.c.size_bytes), 0),
            )
            .where(own, INSTANCE.c.purge_time.is_(None))
            .group_by(INSTANCE.c.series_instance_uid)
        )
    }
    for uid in changed:
        _, instances, frames, size = counted.get(uid, (uid, 0, 0, 0))
        connection.execute(
            update(SERIES)
            .where(SERIES.c.study_instance_uid == study_instance_uid, SERIES.c.series_instance_uid == uid)
            .values(instance_count=instances, frame_count=frames, size_bytes=size, generation=SERIES.c.generation + 1)
        )
    live = SERIES.c.instance_count > 0
    series, instances, size = connection.execute(
        select(
            func.count(),
            func.coalesce(func.sum(SERIES.c.instance_count), 0),
            func.coalesce(func.sum(SERIES.c.size_bytes), 0),
        ).where(SERIES.c.study_instance_uid == study_instance_uid, live)
    ).one()
    connection.execute(
        update(STUDY)
        .where(STUDY.c.study_instance_uid == study_instance_uid)
        .values(
            instance_count=instances,
            series_count=series,
            size_bytes=size,
            generation=STUDY.c.generation + 1,
            update_time=clock.now(),
            purge_time=None if instances else STUDY.c.purge_time,
        )
    )
