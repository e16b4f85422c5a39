"""A watcher of the change log that never stops, whoever is killed, and what it must have seen in the end (I6)."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator

from imaging.client.storage import StorageClient
from imaging.errors import ImagingError
from imaging.rpc.channel import open_channel
from imaging.storage.v1 import storage_pb2
from tests.kill.history import History
from tests.kill.invariants import State

CATCH_UP_SECONDS = 20
_STORED = storage_pb2.Change.KIND_INSTANCE_STORED
_COMPLETED = storage_pb2.Change.KIND_STUDY_COMPLETED


class FollowedChanges:
    """All changes from the first one on, in the order in which one watcher has got them."""

    def __init__(self, storage: str, history: History) -> None:
        self._storage = storage
        self._history = history
        self.changes: list[storage_pb2.Change] = []

    async def follow(self) -> None:
        """Watch without end. A watch that gives up begins again behind what it has seen."""
        async with open_channel(self._storage) as channel:
            client = StorageClient(channel)
            while True:
                try:
                    async for message in client.watch_changes(len(self.changes) + 1):
                        self.changes.extend(message.changes)
                except ImagingError:
                    await asyncio.sleep(0.2)
                except Exception as failed:  # noqa: BLE001 - this is what the test looks for
                    self._history.untyped.append(f"watch: {type(failed).__name__}: {failed}")
                    await asyncio.sleep(0.2)

    async def catch_up(self, state: State, seconds: float) -> None:
        """Wait until all that is there was told, at most so long."""
        for _ in range(int(seconds * 10)):
            if not [*self.violations(state)]:
                return
            await asyncio.sleep(0.1)

    def violations(self, state: State) -> Iterator[str]:
        """I6: no revision is left out or comes twice; each instance and each manifest version is told once."""
        revisions = [change.revision for change in self.changes]
        if revisions != list(range(1, len(revisions) + 1)):
            wrong = next(number for number, seen in enumerate(revisions, 1) if number != seen)
            yield f"I6: revision {revisions[wrong - 1]} came where {wrong} was due"
        stored = Counter(change.name.rpartition("/")[2] for change in self.changes if change.kind == _STORED)
        for uid, count in stored.items():
            if count > 1:
                yield f"I6: {uid} was told {count} times to be stored"
        there = {entry.sop_instance_uid for entry in self._history.uploads if entry.told == "stored"}
        for uid in sorted((there | state.objects.keys()) - stored.keys()):
            yield f"I6: {uid} is stored and no change has told of it"
        completed = Counter((c.name, c.manifest_version) for c in self.changes if c.kind == _COMPLETED)
        for entry in self._history.completions:
            if completed[entry.study, entry.manifest_version] != 1:
                yield f"I6: {entry.study} manifest {entry.manifest_version} was not told once"
