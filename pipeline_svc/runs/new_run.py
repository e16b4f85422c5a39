"""A run to be created, and its id, which says what the run is for."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, func, select

from pipeline_svc.schema import RUNS


@dataclass(frozen=True, slots=True)
class NewRun:
    """A run to be created."""

    study: str
    manifest_version: int
    asked_recipe: str
    recipe: str
    recipe_version: int
    recipe_source: str
    reason: str
    """Why there is nothing to do; empty where there is."""

    traceparent: str
    manifest_traceparent: str
    """Made once a manifest version, so that two studies or two storages never share it; may be empty."""

    create_time: datetime


def new_run_id(connection: Connection, new: NewRun) -> str:
    """32 hex digits, the same for the same run of the same manifest, whichever database it is created in.

    The requests of a run are named after it. Should this service lose its database and read the change log again, every
    request is one that the other services know: they give their results, and no effect is doubled. A study that was
    deleted and sent again may be the same to the last byte; its run is another, by the count of those before.
    """
    before = (
        select(func.count())
        .select_from(RUNS)
        .where(
            RUNS.c.study == new.study,
            RUNS.c.manifest_version == new.manifest_version,
            RUNS.c.deleted_at_revision != 0,
        )
    )
    facts = (
        new.study,
        str(new.manifest_version),
        new.manifest_traceparent,
        new.asked_recipe,
        new.recipe,
        new.recipe_source,
        str(connection.execute(before).scalar_one()),
    )
    return hashlib.sha256("\0".join(facts).encode()).hexdigest()[:32]
