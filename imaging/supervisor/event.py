"""What the supervisor tells about its services."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class EventKind(StrEnum):
    """What happened to a service."""

    STARTING = "starting"
    READY = "ready"
    LOGGED_ERROR = "logged-error"
    DIED = "died"
    CRASH_LOOP = "crash-loop"
    DRAINING = "draining"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to a service."""

    kind: EventKind
    service: str
    text: str = ""
    """For the user: what, why, and what comes next."""
