"""The rows of studies and series: locked, kept up with each new instance, counted anew after anything rarer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import BindParameter, Connection, bindparam, delete, func, insert, select, tuple_, update

from imaging.database import clock
from imaging.database.insert_new import insert_new
from imaging.storage.v1 import storage_pb2
from storage_svc.index.change_log import record_change
from storage_svc.ingest.arrival import Arrival
from storage_svc.ingest.origin import RECEIVED, OriginOf
from storage_svc.names import study_name
from storage_svc.schema import INSTANCE, MANIFEST, SERIES, STUDY
from storage_svc.search.study_list import update_list

Row = Mapping[str, Any]
_STUDY_CHANGED = storage_pb2.Change.KIND_STUDY_CHANGED

# Made once: making a statement costs more than running it. What the last two set are the other parameters.
_UIDS: BindParameter[Any] = bindparam("uids", expanding=True)
_LOCK = (
    select(STUDY).where(STUDY.c.study_instance_uid.in_(_UIDS)).order_by(STUDY.c.study_instance_uid).with_for_update()
)
_SERIES = select(SERIES).where(tuple_(SERIES.c.study_instance_uid, SERIES.c.series_instance_uid).in_(_UIDS))
_CHANGE_STUDY = update(STUDY).where(STUDY.c.study_instance_uid == bindparam("of_study"))
_CHANGE_SERIES = update(SERIES).where(
    SERIES.c.study_instance_uid == bindparam("of_study"), SERIES.c.series_instance_uid == bindparam("of_series")
)


@dataclass(frozen=True, slots=True)
class NewInstance:
    """An instance to add, with the origin that counts for its UID."""

    arrival: Arrival
    origin: OriginOf


def lock_studies(connection: Connection, study_instance_uids: Iterable[str]) -> dict[str, Row]:
    """The rows of studies that are there, locked until the end of the transaction.

    Who has locked a study is the only one to change anything below it. Whatever changes series or instances does this
    first; in sorted order, so that two processes do not wait for each other.
    """
    asked = {"uids": sorted(study_instance_uids)}
    return {row["study_instance_uid"]: dict(row) for row in connection.execute(_LOCK, asked).mappings()}


def lock_or_make_studies(connection: Connection, adding: Sequence[NewInstance]) -> dict[str, Row | None]:
    """The rows of the studies of instances that are to be added, locked; None for those that were made for them."""
    of_study = _by_study(adding)
    found: dict[str, Row | None] = {**lock_studies(connection, of_study)}
    if len(found) == len(of_study):
        return found
    missing = [
        {
            "study_instance_uid": uid,
            "create_time": group[0].arrival.time,
            "update_time": group[0].arrival.time,
            **_attributes(group),
            **_last_manifest(connection, uid),
        }
        for uid, group in sorted(of_study.items())
        if uid not in found
    ]
    made = insert_new(connection, STUDY, missing)
    found |= dict.fromkeys(made)
    # Another process was first with the rest, and has committed.
    found |= lock_studies(connection, [uid for uid in of_study if uid not in found])
    return found


def add_to_series(connection: Connection, adding: Sequence[NewInstance]) -> dict[str, int]:
    """Count new instances in their series, making those that are not there; the new live series of each study."""
    groups: dict[tuple[str, str], list[NewInstance]] = {}
    for new in adding:
        examined = new.arrival.examined
        groups.setdefault((examined.study_instance_uid, examined.series_instance_uid), []).append(new)
    rows = {
        (row["study_instance_uid"], row["series_instance_uid"]): row
        for row in connection.execute(_SERIES, {"uids": sorted(groups)}).mappings()
    }
    new_live: dict[str, int] = {}
    for uids in sorted(groups):
        group, row = groups[uids], rows.get(uids)
        values = _grown_series(row, group)
        if row is None or row["instance_count"] == 0:
            new_live[uids[0]] = new_live.get(uids[0], 0) + 1
        if row is None:
            made = {"study_instance_uid": uids[0], "series_instance_uid": uids[1], **values}
            connection.execute(insert(SERIES), [made])
        else:
            connection.execute(_CHANGE_SERIES, {"of_study": uids[0], "of_series": uids[1], **values})
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
    connection: Connection,
    adding: Sequence[NewInstance],
    rows: Mapping[str, Row | None],
    new_series: Mapping[str, int],
    quiet_time_us: int,
) -> None:
    """Count new instances in their studies, and keep up the list of studies; received ones open the manifest.

    Parameters
    ----------
    rows
        What `lock_or_make_studies` has given. A study that was made in vain goes again.
    """
    groups = _by_study(adding)
    listed_anew = set(new_series)
    for uid, row in rows.items():
        group = groups.get(uid)
        if group is None:
            if row is None:
                connection.execute(delete(STUDY).where(STUDY.c.study_instance_uid == uid))
            continue
        received = [new.arrival for new in group if new.origin.kind == RECEIVED]
        before = row or {"instance_count": 0, "size_bytes": 0, "series_count": 0, "generation": 0}
        values: dict[str, Any] = {
            "update_time": clock.now(),
            "purge_time": None,
            "instance_count": before["instance_count"] + len(group),
            "size_bytes": before["size_bytes"] + sum(new.arrival.examined.size_bytes for new in group),
            "series_count": before["series_count"] + new_series.get(uid, 0),
            "generation": before["generation"] + 1,
        }
        if row is None:
            listed_anew.add(uid)
            values |= _attributes(group)  # some may have been stored meanwhile by another process
        if received:
            values |= opened_manifest(quiet_time_us)
            if row is not None and (changed := changed_attributes(connection, row, received[-1])):
                values |= changed
                listed_anew.add(uid)
        connection.execute(_CHANGE_STUDY, {"of_study": uid, **values})
    if listed_anew:
        update_list(connection, listed_anew)


def _by_study(news: Sequence[NewInstance]) -> dict[str, list[NewInstance]]:
    groups: dict[str, list[NewInstance]] = {}
    for new in news:
        groups.setdefault(new.arrival.examined.study_instance_uid, []).append(new)
    return groups


def _attributes(group: Sequence[NewInstance]) -> dict[str, str]:
    """Patient and study attributes of a new study: those of the last received instance, if there is one."""
    received = [new for new in group if new.origin.kind == RECEIVED]
    return (received or group)[-1].arrival.study_columns()


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


def _series_of(connection: Connection, study_instance_uid: str, series_instance_uid: str) -> list[str]:
    """The UIDs of the series of a study, or of the one that is named if it is there."""
    own = [SERIES.c.study_instance_uid == study_instance_uid]
    if series_instance_uid:
        own.append(SERIES.c.series_instance_uid == series_instance_uid)
    return list(connection.execute(select(SERIES.c.series_instance_uid).where(*own)).scalars())


def recount(connection: Connection, study_instance_uid: str, series_instance_uid: str = "") -> None:
    """Count the live instances of all series of a study anew, or of the one that has changed, and of the study.

    The study must be locked.
    """
    changed = _series_of(connection, study_instance_uid, series_instance_uid)
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
    update_list(connection, [study_instance_uid])
