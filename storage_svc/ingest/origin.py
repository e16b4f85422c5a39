"""Where an instance came from: received from outside, or derived by a stage of a run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from imaging.storage.v1 import storage_pb2

RECEIVED = storage_pb2.Origin.KIND_RECEIVED
DERIVED = storage_pb2.Origin.KIND_DERIVED


@dataclass(frozen=True, slots=True)
class OriginOf:
    """Where an instance came from."""

    kind: int = RECEIVED
    run: str = ""
    stage: str = ""
    attempt: int = 0

    @property
    def columns(self) -> dict[str, Any]:
        """As the tables keep it."""
        return {
            "origin_kind": self.kind,
            "origin_run": self.run,
            "origin_stage": self.stage,
            "origin_attempt": self.attempt,
        }

    @property
    def parts(self) -> tuple[int, str, str, int]:
        """Kind, run, stage, attempt."""
        return (self.kind, self.run, self.stage, self.attempt)


FROM_OUTSIDE = OriginOf()
"""The origin of all that no service says otherwise of."""
