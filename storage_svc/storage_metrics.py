"""What storage took in and gave out, the memory of its uploads, its codec workers, and the room on its disk.

Everything is counted in plain numbers, and read when somebody scrapes: an instance pays next to nothing for it.
"""

from __future__ import annotations

import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Final

from opentelemetry import metrics
from opentelemetry.metrics import CallbackOptions, Observation

from imaging.codecs.sandbox import DecodePool
from imaging.rpc.status import from_status
from imaging.storage.v1 import storage_pb2
from imaging.storage.v1 import storage_service_pb2 as pb
from storage_svc.intake.arena import Arena

_OUTCOMES: Final = {
    number: name.removeprefix("STORE_OUTCOME_").lower() for name, number in storage_pb2.StoreOutcome.items()
}


class StorageMetrics:
    """The counts of one storage service."""

    def __init__(self, arena: Arena, pool: DecodePool, data_dir: Path) -> None:
        self.writable = True
        """Whether uploads can be kept, as far as is known."""
        self.quarantined: int | None = None
        """Instances in quarantine; None before somebody has looked."""
        self._orphans: int | None = None
        self._swept_at: float | None = None
        self._removed = 0
        self._instances: Counter[str] = Counter()
        self._received: Counter[str] = Counter()
        self._sent: Counter[str] = Counter()
        self._messages: Counter[str] = Counter()
        self._verified: Counter[str] = Counter()
        self._damaged: Counter[str] = Counter()
        meter = metrics.get_meter("imaging")
        for name, unit, counts, label, description in (
            ("imaging.storage.instances", "", self._instances, "outcome", "Uploads that got their outcome."),
            ("imaging.storage.received", "By", self._received, "outcome", "Bytes of the uploads that were stored."),
            ("imaging.storage.sent", "By", self._sent, "kind", "Bytes given out."),
            ("imaging.storage.messages.sent", "", self._messages, "kind", "Messages given out; a small frame is one."),
            ("imaging.storage.objects.verified", "", self._verified, "condition", "Kept objects that were verified."),
        ):
            meter.create_observable_counter(name, [_observe(counts, label)], unit=unit, description=description)

        def gauge(name: str, unit: str, read: Callable[[], float | None], description: str) -> None:
            def observe(_: CallbackOptions) -> list[Observation]:
                value = read()
                return [] if value is None else [Observation(value)]

            meter.create_observable_gauge(name, [observe], unit=unit, description=description)

        meter.create_observable_counter(
            "imaging.storage.orphans.removed",
            [lambda _: [Observation(self._removed)]],
            description="Objects that no row named, removed.",
        )

        meter.create_observable_gauge(
            "imaging.storage.objects.damaged",
            [_observe(self._damaged, "condition")],
            description="Kept objects that are known to be damaged, told by the process that scrubs.",
        )
        gauge("imaging.storage.in_flight", "By", lambda: arena.in_use, "Bytes of uploads in memory.")
        gauge("imaging.storage.in_flight.limit", "By", lambda: arena.size_bytes, "Bytes that may be in memory.")
        gauge(
            "imaging.storage.writable", "", lambda: self.writable, "1 while uploads can be kept, 0 while they cannot."
        )
        gauge("imaging.storage.quarantined", "", lambda: self.quarantined, "Instances in quarantine.")
        gauge("imaging.storage.orphans", "", lambda: self._orphans, "Objects that no row named at the last sweep.")
        gauge("imaging.storage.sweep.time", "s", lambda: self._swept_at, "When the last sweep ended, since 1970.")
        gauge("imaging.codecs.workers.busy", "", lambda: pool.busy, "Decoding processes at work.")
        gauge("imaging.codecs.workers.limit", "", lambda: pool.workers, "Decoding processes at most.")
        gauge("imaging.data.free", "By", lambda: shutil.disk_usage(data_dir).free, "Room on the disk of data_dir.")
        gauge("imaging.data.size", "By", lambda: shutil.disk_usage(data_dir).total, "Size of the disk of data_dir.")

    def answered(self, answer: pb.StoreInstancesResponse) -> None:
        """Count the outcome of an upload; other answers are none."""
        match answer.WhichOneof("outcome"):
            case "stored":
                outcome = _OUTCOMES[answer.stored.outcome]
                self._instances[outcome] += 1
                self._received[outcome] += answer.stored.instance.size_bytes
            case "rejected":
                self._instances[f"rejected_{from_status(answer.rejected).reason.lower()}"] += 1

    def sent(self, kind: str, message: bytes) -> None:
        """Count a serialized message of `instances`, `metadata`, `frames` or `pictures`."""
        self._sent[kind] += len(message)
        self._messages[kind] += 1

    def verified(self, condition: str) -> None:
        """Count an object that was verified: `ok`, `missing` or `differing`."""
        self._verified[condition] += 1

    def removed(self, orphans: int) -> None:
        """Count orphans that were removed."""
        self._removed += orphans

    def swept(self, orphans: int) -> None:
        """Tell that the whole store was swept now, and how many orphans were found."""
        self._orphans, self._swept_at = orphans, time.time()

    def damaged(self, counts: Mapping[str, int]) -> None:
        """Tell how many objects are known to be damaged now, by condition."""
        for condition in ("missing", "differing"):
            self._damaged[condition] = counts.get(condition, 0)


def _observe(counts: Counter[str], label: str) -> Callable[[CallbackOptions], Iterable[Observation]]:
    return lambda _: [Observation(number, {label: value}) for value, number in list(counts.items())]
