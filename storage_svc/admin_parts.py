"""What the administration of storage works with."""

from __future__ import annotations

from concurrent.futures import Executor
from dataclasses import dataclass

from imaging.database import Database
from imaging.objectstore import ObjectStore
from storage_svc.condition_record import ConditionRecord
from storage_svc.decisions import Decisions
from storage_svc.scrubber import Scrubber
from storage_svc.sweeper import Sweeper


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
