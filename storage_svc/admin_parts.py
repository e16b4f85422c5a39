"""What the administration of storage works with."""

from __future__ import annotations

from concurrent.futures import Executor
from dataclasses import dataclass

from imaging.database import Database
from imaging.objectstore import ObjectStore
from storage_svc.keeping.condition_record import ConditionRecord
from storage_svc.keeping.scrubber import Scrubber
from storage_svc.keeping.sweeper import Sweeper
from storage_svc.versions.decisions import Decisions


@dataclass(frozen=True, slots=True)
class AdminParts:
    """What its servicers serve from."""

    database: Database
    store: ObjectStore
    record: ConditionRecord
    readers: Executor
    scrubber: Scrubber
    decisions: Decisions
    sweeper: Sweeper
