"""The kill test as a whole: seeded traffic, SIGKILL of random services, then the invariants.

`python -m tests.kill.scenario --seconds 60 --seed 1` runs it by hand and prints what it saw; with `--store s3` and
`--database postgresql` on these, whose servers are ended and started again as well.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Literal, get_args

from imaging.deliberate_bug import BugName
from tests.installation.running import Installation, running_installation
from tests.kill.backends import DATABASES, STORES, Backends, Database, Store, backends
from tests.kill.followed_changes import CATCH_UP_SECONDS, FollowedChanges
from tests.kill.history import History, Recovery
from tests.kill.invariants import read_state, violations, wait_for_runs
from tests.kill.killing import Killer
from tests.kill.outcome import Outcome
from tests.kill.traffic import send_studies
from tests.kill.vital_signs import watched

CLIENTS = 2
RECOVERY_SECONDS = 90
RESTART_SECONDS = (8, 15)
"""From one restart of a server that storage uses to the next."""


def run_kill_test(
    folder: Path,
    seconds: float,
    seed: int,
    bug: BugName | Literal[""] = "",
    store: Store = "folder",
    database: Database = "sqlite",
) -> Outcome:
    """Run it in `folder`; `bug` names a deliberate bug to switch on, and what it makes unsafe is killed alone.

    Raises
    ------
    NotInstalledError
        If there is no server for the store or the database.
    """
    env = {
        "IMAGING_PIPELINE_RECIPES_DIR": str(recipes_folder(folder)),
        "IMAGING_STORAGE_QUIET_TIME_SECONDS": "30",
        **({"IMAGING_TEST_BUG": bug} if bug else {}),
    }
    with (
        backends(folder, store, database) as found,
        running_installation(folder / "data", env | found.environment) as installation,
    ):
        return asyncio.run(_run(installation, found, seconds, seed, bug))


async def _run(
    installation: Installation, found: Backends, seconds: float, seed: int, bug: BugName | Literal[""]
) -> Outcome:
    history = History(until=seconds)
    killer = Killer(installation, history)
    changes = FollowedChanges(installation.endpoints["storage"], history)
    following = asyncio.create_task(changes.follow())
    async with watched(installation.endpoints, killer, history):
        async with asyncio.TaskGroup() as tasks:
            for number in range(CLIENTS):
                storage = installation.endpoints["storage"]
                tasks.create_task(send_studies(storage, seed * 100 + number, history))
            tasks.create_task(
                killer.kill_where_it_shows(bug, seed, seconds) if bug else killer.kill_everything(seed, seconds)
            )
            tasks.create_task(_restart_servers(found, history, seed))
        missing = await wait_for_runs(installation.endpoints["pipeline"], history, RECOVERY_SECONDS)
    state = await read_state(installation.endpoints)
    await changes.catch_up(state, CATCH_UP_SECONDS)
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)
    return Outcome(history, state, [*missing, *violations(history, state), *changes.violations(state)])


async def _restart_servers(found: Backends, history: History, seed: int) -> None:
    chance = random.Random(seed)
    while found.restart:
        await asyncio.sleep(chance.uniform(*RESTART_SECONDS))
        if history.now() > history.until:
            return
        name = chance.choice(list(found.restart))
        ended_at = history.now()
        history.kills.append((ended_at, name))
        await asyncio.to_thread(found.restart[name])
        history.recoveries.append(Recovery(name, ended_at, history.now() - ended_at))


def recipes_folder(folder: Path) -> Path:
    """A folder below `folder` with the recipe of this test alone."""
    recipes = folder / "recipes"
    recipes.mkdir(parents=True, exist_ok=True)
    shutil.copy(Path(__file__).with_name("recipe.yaml"), recipes / "kill-test.yaml")
    return recipes


def main() -> int:
    """The program; exit code 1 when an invariant is broken."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--store", choices=STORES, default="folder")
    parser.add_argument("--database", choices=DATABASES, default="sqlite")
    parser.add_argument(
        "--bug",
        choices=("", *get_args(BugName)),
        default="",
        help="switch a deliberate bug on; the test must then fail",
    )
    parser.add_argument("--json", action="store_true", help="counts as JSON instead of a page")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="imaging-kill-") as folder:
        outcome = run_kill_test(
            Path(folder), options.seconds, options.seed, options.bug, options.store, options.database
        )
        if outcome.broken and os.environ.get("KILL_TEST_KEEP"):
            shutil.copytree(folder, os.environ["KILL_TEST_KEEP"], dirs_exist_ok=True)
    sys.stdout.write(json.dumps(outcome.counts(), indent=2) + "\n" if options.json else outcome.page())
    return 1 if outcome.broken else 0


if __name__ == "__main__":
    sys.exit(main())
