"""The change log as a stream: what was there, then what comes, with marks of progress while nothing does."""

from __future__ import annotations

import math
import time
from collections.abc import AsyncGenerator, Sequence

from imaging.errors import InvalidArgument, Unavailable
from imaging.storage.v1 import storage_service_pb2 as pb
from storage_svc import resources
from storage_svc.index.change_log import ChangeLog

_BATCH = 500
_POLL_SECONDS = 1.0
"""Other processes may write to the same log; what this one commits is known at once."""

PROGRESS_SECONDS = 10.0
"""Between marks of progress on an idle stream."""


async def watch_changes(
    changes: ChangeLog,
    start_revision: int,
    kinds: Sequence[int],
    *,
    progress_seconds: float = PROGRESS_SECONDS,
    batch: int = _BATCH,
) -> AsyncGenerator[pb.WatchChangesResponse]:
    """Every change from a revision on, exactly once and in order; does not end before the service does.

    The first message comes at once, so that a watcher knows that it is connected and where the head is.

    Raises
    ------
    RevisionTooOld
        If the log no longer reaches back so far, at the start or because the watcher took what came too slowly.
    InvalidArgument
        If the revision is negative.
    Unavailable
        When the service stops: its other calls have something to finish, a watch has not.
    """
    if start_revision < 0:
        raise InvalidArgument("The revision is negative", where="start_revision", hint="Revisions count from 1.")
    _, head = await changes.bounds()
    position = start_revision or head + 1
    told = -math.inf
    while not changes.ends:
        rows, looked_at = await changes.read(position, kinds, batch)
        # A watcher ahead of the log, which was restored from a backup, sees by the revision how far the log goes.
        if rows or time.monotonic() - told >= progress_seconds:
            yield pb.WatchChangesResponse(changes=[resources.change(row) for row in rows], revision=looked_at)
            told = time.monotonic()
        position = max(position, looked_at + 1)
        if len(rows) < batch:
            await changes.wait_for_news(min(_POLL_SECONDS, progress_seconds))
    raise Unavailable("The service is stopping", hint=f"Watch again from revision {position}.")
