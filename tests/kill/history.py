"""What clients did and what they were told: the ground on which the state afterwards is judged."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from typing import Literal

Told = Literal["stored", "failed"]


@dataclass(frozen=True, slots=True)
class UploadEntry:
    """One instance that a client sent."""

    seconds: float
    study: str
    sop_instance_uid: str
    content: bytes
    told: Told
    error: str = ""
    """Reason of the error where it was not stored."""


@dataclass(frozen=True, slots=True)
class CompletionEntry:
    """A manifest that a client was told of."""

    seconds: float
    study: str
    manifest_version: int
    sop_instance_uids: frozenset[str]
    trace_id: str = ""
    """Of the trace that storage has made for the manifest version."""


@dataclass(frozen=True, slots=True)
class Recovery:
    """A service that served again after it was killed."""

    service: str
    killed_at_seconds: float
    took_seconds: float


@dataclass(slots=True)
class History:
    """Every call of every client, in the order of their answers."""

    until: float = math.inf
    """Seconds after the start at which clients stop to send new studies."""

    start: float = field(default_factory=time.monotonic)
    uploads: list[UploadEntry] = field(default_factory=list)
    completions: list[CompletionEntry] = field(default_factory=list)
    failed_completions: list[str] = field(default_factory=list)
    """Errors of calls that complete a study; each is made again until it succeeds."""

    kills: list[tuple[float, str]] = field(default_factory=list)
    recoveries: list[Recovery] = field(default_factory=list)
    peak_bytes: dict[str, int] = field(default_factory=dict)
    """The most resident memory that each service was seen with."""

    untyped: list[str] = field(default_factory=list)
    """Errors that reached a client without being one of ours."""

    def now(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self.start
