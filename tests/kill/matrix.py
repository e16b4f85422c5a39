"""Storage killed again and again under load, on every pair of object store and database; then the invariants.

`python -m tests.kill.matrix --kills 20` kills storage so often on each of {folder, S3} x {SQLite, PostgreSQL}: one time
just when it has acknowledged something, the next time at any moment. In between the S3 server is killed, and PostgreSQL
stopped in order or as by a crash, while storage goes on. Exit code 1 when an invariant is broken. `--catch BUG` runs
with a deliberate bug instead, with other seeds until it is caught; exit code 1 when it gets through.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import sys
import tempfile
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from statistics import median

from imaging.deliberate_bug import VARIABLE, BugName
from tests.installation.storage_process import StorageProcess, storage_process
from tests.kill.backends import DATABASES, STORES, Backends, Database, NotInstalledError, Store, backends
from tests.kill.deliberate_bugs import TRIES
from tests.kill.followed_changes import CATCH_UP_SECONDS, FollowedChanges
from tests.kill.history import History, Recovery
from tests.kill.invariants import RECOVERY_LIMIT_SECONDS, read_stored, violations_of_storage
from tests.kill.traffic import send_studies

OF_STORAGE: BugName = "acknowledge-before-commit"
"""The deliberate bug that storage alone can have; `deliberate_bugs.py` tries the others."""

CLIENTS = 3
LARGE_ONE_OF = 6
KILLS_A_RESTART = 5
"""After so many kills of storage each server that it uses is ended and started, too."""

LONGEST_SECONDS = 400


@dataclass(frozen=True, slots=True)
class Pair:
    """What was seen on one pair."""

    name: str
    history: History
    broken: list[str]

    def page(self) -> str:
        """For people."""
        told = Counter(entry.told for entry in self.history.uploads)
        lines = [
            f"{self.name}: {told['stored']} uploads acknowledged, {told['failed']} failed and were sent again,"
            f" {len(self.history.completions)} complete manifests, in {self.history.now():.0f} s"
        ]
        for name in dict.fromkeys(name for _, name in self.history.kills):
            times = [one.took_seconds for one in self.history.recoveries if one.service == name]
            back = f"back after {median(times):.1f} s (median), {max(times):.1f} s (worst)" if times else "not back"
            lines.append(f"    {name:<11}{sum(1 for _, one in self.history.kills if one == name):>3} times, {back}")
        lines += [f"    BROKEN  {sentence}" for sentence in self.broken] or ["    every invariant holds"]
        return "\n".join(lines) + "\n"


def run_pair(store: Store, database: Database, kills: int, seed: int, bug: str = "") -> Pair:
    """Kill storage so often on a pair.

    Raises
    ------
    NotInstalledError
        If a server is not on this machine.
    """
    with tempfile.TemporaryDirectory(prefix="imaging-kill-") as name, backends(Path(name), store, database) as found:
        environment = found.environment | ({VARIABLE: bug} if bug else {})
        settings = {"quiet_time_seconds": 30}
        with storage_process(Path(name) / "data", settings=settings, environment=environment) as storage:
            history, broken = asyncio.run(_run(storage, found, kills, seed))
        if broken and os.environ.get("KILL_TEST_KEEP"):
            Path(os.environ["KILL_TEST_KEEP"]).write_text(storage.log, encoding="utf-8")
    return Pair(" + ".join(found.names), history, broken)


async def _run(storage: StorageProcess, found: Backends, kills: int, seed: int) -> tuple[History, list[str]]:
    history = History()
    changes = FollowedChanges(storage.address, history)
    following = asyncio.create_task(changes.follow())
    broken: list[str] = []
    try:
        async with asyncio.timeout(LONGEST_SECONDS):
            async with asyncio.TaskGroup() as tasks:
                for number in range(CLIENTS):
                    sending = send_studies(storage.address, seed * 100 + number, history, LARGE_ONE_OF)
                    tasks.create_task(sending)
                broken += await _kill(storage, found, history, seed, kills)
                history.until = history.now()
            state = await read_stored(storage.address)
            await changes.catch_up(state, CATCH_UP_SECONDS)
    except TimeoutError:
        return history, [*broken, f"I8: it did not end within {LONGEST_SECONDS} s"]
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
    return history, [*broken, *violations_of_storage(history, state), *changes.violations(state)]


async def _kill(storage: StorageProcess, found: Backends, history: History, seed: int, kills: int) -> list[str]:
    """Kill until it is enough; what did not come back, which ends it."""
    chance = random.Random(seed)
    for number in range(kills):
        if not await _acknowledges(history):
            return [f"I8: storage stored nothing within {RECOVERY_LIMIT_SECONDS} s before kill {number + 1}"]
        await asyncio.sleep(number % 2 * chance.uniform(0, 0.3))
        killed_at = history.now()
        storage.kill()
        history.kills.append((killed_at, "storage"))
        await asyncio.to_thread(storage.start)
        history.recoveries.append(Recovery("storage", killed_at, history.now() - killed_at))
        if number % KILLS_A_RESTART == KILLS_A_RESTART - 1:
            for name, restart in found.restart.items():
                if not await _acknowledges(history):
                    return [f"I8: storage stored nothing within {RECOVERY_LIMIT_SECONDS} s before {name} was ended"]
                await asyncio.sleep(chance.uniform(0, 0.3))
                ended_at = history.now()
                history.kills.append((ended_at, name))
                await asyncio.to_thread(restart)
                if await _acknowledges(history):
                    history.recoveries.append(Recovery(name, ended_at, history.now() - ended_at))
    return []


async def _acknowledges(history: History) -> bool:
    """True as soon as something more is acknowledged; False if nothing is for too long."""
    looked_at = len(history.uploads)
    give_up = history.now() + RECOVERY_LIMIT_SECONDS
    while history.now() < give_up:
        if any(entry.told == "stored" for entry in history.uploads[looked_at:]):
            return True
        await asyncio.sleep(0.005)
    return False


def _catch(store: Store, database: Database, kills: int, bug: str) -> tuple[str, bool]:
    for seed in range(1, TRIES + 1):
        pair = run_pair(store, database, kills, seed, bug)
        if pair.broken:
            caught = f"{bug} on {pair.name}: caught with seed {seed}: {len(pair.broken)} violations\n"
            return caught + "".join(f"    {sentence}\n" for sentence in pair.broken[:3]), True
    return f"{bug} on {store} + {database}: NOT caught in {TRIES} runs\n", False


def main() -> int:
    """The program."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20, help="of storage, on each pair")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--store", choices=STORES, help="this one alone")
    parser.add_argument("--database", choices=DATABASES, help="this one alone")
    parser.add_argument("--catch", choices=[OF_STORAGE], help="a deliberate bug, which must be caught")
    parser.add_argument("--parallel", type=int, default=2, help="pairs at a time")
    options = parser.parse_args()
    pairs = [
        (store, database)
        for store, database in product(STORES, DATABASES)
        if options.store in (None, store) and options.database in (None, database)
    ]
    with ThreadPoolExecutor(options.parallel) as pool:
        return 0 if all([*pool.map(lambda pair: _tell(pair[0], pair[1], options), pairs)]) else 1


def _tell(store: Store, database: Database, options: argparse.Namespace) -> bool:
    """Try a pair and tell what came of it; False if that is not right."""
    try:
        if options.catch:
            text, is_right = _catch(store, database, options.kills, options.catch)
        else:
            pair = run_pair(store, database, options.kills, options.seed)
            text, is_right = pair.page(), not pair.broken
    except NotInstalledError as error:
        text, is_right = f"{store} + {database}: left out, {error}\n", True
    sys.stdout.write(text)
    sys.stdout.flush()
    return is_right


if __name__ == "__main__":
    sys.exit(main())
