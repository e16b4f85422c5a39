"""SIGKILL of services: at random, and aimed at the moments at which bytes are lost and effects are doubled."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from contextlib import suppress

import psutil

from imaging.client.storage import StorageClient
from imaging.deliberate_bug import BugName
from imaging.rpc.channel import open_channel
from imaging.settings import SERVICE_NAMES
from imaging.storage.v1 import storage_pb2
from tests.installation.running import Installation
from tests.kill.history import History

AIMED_KILL_CHANCE = 0.12
"""For each stage whose first result is stored, beside kills at random."""

ONLY_AIMED_KILL_CHANCE = 0.5
"""The same where nothing else is killed."""

KILL_AFTER_ACKNOWLEDGEMENT_CHANCE = 0.04
"""For each look at the history that finds new acknowledgements."""

MAKERS = {
    "resample-isotropic": "processing",
    "image-statistics": "analysis",
    "tissue-composition": "analysis",
    "ct-quantitative": "reporting",
}
"""The service that does a stage of `recipe.yaml`."""


class Killer:
    """Kills services of an installation and writes it down.

    The processes are known beforehand: looking one up takes as long as a stage needs to end. `psutil` never kills
    another process that got the same id.
    """

    def __init__(self, installation: Installation, history: History) -> None:
        self._installation = installation
        self._history = history
        self._processes: dict[str, psutil.Process] = {}

    async def know_processes(self) -> None:
        """Look for processes that have been started, without end."""
        while True:
            for service in SERVICE_NAMES:
                self.process(service)
            await asyncio.sleep(0.3)

    def process(self, service: str) -> psutil.Process | None:
        """The process of a service; None while it is being restarted."""
        known = self._processes.get(service)
        if known is None or not known.is_running() or known.status() == psutil.STATUS_ZOMBIE:
            self._processes.pop(service, None)
            with suppress(psutil.NoSuchProcess):
                pid = self._installation.service_pid(service)
                if pid is not None:
                    self._processes[service] = psutil.Process(pid)
        return self._processes.get(service)

    def kill(self, service: str) -> None:
        """SIGKILL, if it is running as far as is known."""
        process = self._processes.pop(service, None)
        if process is not None:
            with suppress(psutil.NoSuchProcess):
                process.kill()
                self._history.kills.append((self._history.now(), service))

    async def kill_everything(self, seed: int, seconds: float) -> None:
        """All that is below, at once."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.kill_at_random(seed, seconds, SERVICE_NAMES))
            tasks.create_task(self.kill_after_acknowledgements(seed, seconds))
            tasks.create_task(self.kill_in_the_middle_of_stages(seed, seconds, AIMED_KILL_CHANCE))

    async def kill_where_it_shows(self, bug: BugName, seed: int, seconds: float) -> None:
        """What a deliberate bug makes unsafe, and nothing else, so that it is caught soon."""
        match bug:
            case "acknowledge-before-commit":
                await self.kill_after_acknowledgements(seed, seconds)
            case "new-uids-on-retry":
                await self.kill_in_the_middle_of_stages(seed, seconds, ONLY_AIMED_KILL_CHANCE)
            case "skip-cursor":
                await self.kill_at_random(seed, seconds, ["pipeline"])

    async def kill_at_random(self, seed: int, seconds: float, services: Sequence[str]) -> None:
        """One of the services, every one or two seconds."""
        chance = random.Random(seed)
        while self._history.now() < seconds:
            await asyncio.sleep(chance.uniform(0.7, 2.5))
            self.kill(chance.choice(services))

    async def kill_after_acknowledgements(self, seed: int, seconds: float) -> None:
        """Storage, just when it has said that something is stored: from then on it must be."""
        chance = random.Random(seed)
        looked_at = 0
        while self._history.now() < seconds:
            new, looked_at = self._history.uploads[looked_at:], len(self._history.uploads)
            if any(entry.told == "stored" for entry in new) and chance.random() < KILL_AFTER_ACKNOWLEDGEMENT_CHANCE:
                self.kill("storage")
            await asyncio.sleep(0.01)

    async def kill_in_the_middle_of_stages(self, seed: int, seconds: float, kill_chance: float) -> None:
        """The service of a stage just when the first of its results are stored."""
        chance = random.Random(seed)
        seen: set[tuple[str, str]] = set()
        async with open_channel(self._installation.endpoints["storage"]) as channel:
            storage = StorageClient(channel)
            kinds = [storage_pb2.Change.KIND_INSTANCE_STORED]
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds - self._history.now()):
                    async for message in storage.watch_changes(1, kinds):
                        for change in message.changes:
                            stage = (change.origin.run, change.origin.stage)
                            if change.origin.stage and stage not in seen:
                                seen.add(stage)
                                if chance.random() < kill_chance:
                                    self.kill(MAKERS[change.origin.stage.partition("-")[2]])
