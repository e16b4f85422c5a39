"""The kill test as a whole: seeded traffic, SIGKILL of random services, then the invariants.

`python -m tests.kill.scenario --seconds 60 --seed 1` runs it by hand and prints what it saw.
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
from contextlib import suppress
from pathlib import Path

from imaging.client.storage import StorageClient
from imaging.rpc.channel import open_channel
from imaging.settings import SERVICE_NAMES
from imaging.storage.v1 import storage_pb2
from tests.installation.running import Installation, running_installation
from tests.kill.history import History
from tests.kill.invariants import read_state, violations, wait_for_runs
from tests.kill.outcome import Outcome
from tests.kill.traffic import send_studies
from tests.kill.vital_signs import watched

CLIENTS = 2
RECOVERY_SECONDS = 90

AIMED_KILL_CHANCE = 0.01
"""For each derived instance that is stored."""

MAKERS = {
    "resample-isotropic": "processing",
    "image-statistics": "analysis",
    "tissue-composition": "analysis",
    "ct-quantitative": "reporting",
}
"""The service that does a stage of `recipe.yaml`."""


def run_kill_test(folder: Path, seconds: float, seed: int, bug: str = "") -> Outcome:
    """Run it in `folder`; `bug` names a deliberate bug to switch on."""
    env = {
        "IMAGING_PIPELINE_RECIPES_DIR": str(recipes_folder(folder)),
        "IMAGING_STORAGE_QUIET_TIME_SECONDS": "30",
        **({"IMAGING_TEST_BUG": bug} if bug else {}),
    }
    with running_installation(folder / "data", env) as installation:
        return asyncio.run(_run(installation, seconds, seed))


async def _run(installation: Installation, seconds: float, seed: int) -> Outcome:
    history = History()
    async with watched(installation, history):
        async with asyncio.TaskGroup() as tasks:
            for number in range(CLIENTS):
                storage = installation.endpoints["storage"]
                tasks.create_task(send_studies(storage, seed * 100 + number, history, seconds))
            tasks.create_task(_kill_at_random(installation, seed, history, seconds))
            tasks.create_task(_kill_in_the_middle_of_stages(installation, seed, history, seconds))
        missing = await wait_for_runs(installation.endpoints["pipeline"], history, RECOVERY_SECONDS)
    state = await read_state(installation.endpoints)
    return Outcome(history, state, [*missing, *violations(history, state)])


async def _kill_at_random(installation: Installation, seed: int, history: History, seconds: float) -> None:
    chance = random.Random(seed)
    while history.now() < seconds:
        await asyncio.sleep(chance.uniform(0.7, 2.5))
        _kill(installation, chance.choice(SERVICE_NAMES), history)


async def _kill_in_the_middle_of_stages(
    installation: Installation, seed: int, history: History, seconds: float
) -> None:
    """Kill a service just when the first of its results are stored: the moment at which effects are doubled."""
    chance = random.Random(seed)
    async with open_channel(installation.endpoints["storage"]) as channel:
        storage = StorageClient(channel)
        kinds = [storage_pb2.Change.KIND_INSTANCE_STORED]
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds - history.now()):
                async for message in storage.watch_changes(1, kinds):
                    makers = [change.origin.stage.partition("-")[2] for change in message.changes]
                    for maker in filter(None, makers):
                        if chance.random() < AIMED_KILL_CHANCE:
                            _kill(installation, MAKERS[maker], history)
                            break


def _kill(installation: Installation, service: str, history: History) -> None:
    if installation.kill(service):
        history.kills.append((history.now(), service))


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
    parser.add_argument("--bug", default="", help="switch a deliberate bug on; the test must then fail")
    parser.add_argument("--json", action="store_true", help="counts as JSON instead of a page")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="imaging-kill-") as folder:
        outcome = run_kill_test(Path(folder), options.seconds, options.seed, options.bug)
        if outcome.broken and os.environ.get("KILL_TEST_KEEP"):
            shutil.copytree(folder, os.environ["KILL_TEST_KEEP"], dirs_exist_ok=True)
    sys.stdout.write(json.dumps(outcome.counts(), indent=2) + "\n" if options.json else outcome.page())
    return 1 if outcome.broken else 0


if __name__ == "__main__":
    sys.exit(main())
