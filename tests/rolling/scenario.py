"""Every replica of every service is restarted in turn, under load and in the middle of a long stage.

`python -m tests.rolling.scenario` runs two replicas of each service on PostgreSQL and an S3 server, with clients that
upload (gRPC, STOW-RS, C-STORE), search, read, watch runs and fetch their results. Exit code 1 if any call failed, a
replica did not drain in order, an effect was lost or doubled, or a stage was done more than once.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from imaging.client.async_client import AsyncClient
from imaging.client.run_results import Run
from imaging.client.storage import Upload
from imaging.settings import SERVICE_NAMES
from tests.ct_series import ct_series
from tests.kill.backends import backends
from tests.kill.history import History
from tests.kill.invariants import State, read_state, violations, wait_for_runs
from tests.kill.traffic import send_studies
from tests.rolling.clients import Clients
from tests.rolling.replicas import REPLICAS, Replica, Replicated, replicated
from tests.rolling.slow_model import beginnings, install

LEAVING_OUT_SECONDS = 0.5
"""From when nothing new is sent to the doors of a gateway to its end; what `preStop` of the chart is for."""

RUNS_SECONDS = 120
DRAIN_SECONDS = 10
SHORT_SECONDS = 2
"""Of the stage that waits, in the runs of all studies but one."""


@dataclass(slots=True)
class Outcome:
    """What was seen."""

    clients: Clients
    state: State
    restarts: list[tuple[str, float]] = field(default_factory=list)
    """Replica, and the seconds that it took to drain."""

    broken: list[str] = field(default_factory=list)

    def page(self) -> str:
        """For people."""
        history = self.clients.history
        lines = [
            f"{len(self.restarts)} restarts, the longest drained for {max(took for _, took in self.restarts):.1f} s;"
            f" {len(history.uploads)} uploads, {len(history.completions)} studies, {len(self.state.runs)} runs",
            "calls: " + ", ".join(f"{count} x {what}" for what, count in sorted(self.clients.calls.items())),
            *(f"BROKEN  {sentence}" for sentence in self.broken),
        ]
        return "\n".join(lines if self.broken else [*lines, "no call failed, no effect was lost or doubled"]) + "\n"


@dataclass(frozen=True, slots=True)
class Course:
    """How to go about it."""

    seed: int
    long_seconds: int
    """Of the stage in whose middle pipeline and analysis are restarted."""

    together: bool
    """One replica of every service at once, as `helm upgrade` does, then the others; else one after the other."""


async def roll(folder: Path, course: Course) -> Outcome:
    """Restart everything."""
    variables = install(folder, SHORT_SECONDS, course.long_seconds) | {
        "IMAGING_STORAGE_QUIET_TIME_SECONDS": "600",
        "IMAGING_PIPELINE_MAX_PARALLEL_RUNS": "4",
    }
    with backends(folder, "s3", "postgresql") as found:
        drain = dict.fromkeys(SERVICE_NAMES, DRAIN_SECONDS) | {"analysis": course.long_seconds + 30}
        async with replicated(folder, variables | found.environment, drain) as installation:
            history = History()
            clients = Clients(installation, history)
            outcome = Outcome(clients, State())
            async with AsyncClient(installation.endpoints) as client:
                async with load(client, clients, course.seed):
                    # First, while no other runs wait before it.
                    await restart_during_a_long_stage(client, outcome, folder, course.long_seconds)
                    for number in range(REPLICAS):
                        replicas = [found[number] for found in installation.replicas.values()]
                        for wave in [replicas] if course.together else [[replica] for replica in replicas]:
                            await asyncio.gather(*(restart(replica, outcome) for replica in wave))
                outcome.broken += await wait_for_runs(installation.endpoints["pipeline"], history, RUNS_SECONDS)
            outcome.state = await read_state(installation.endpoints)
    judge(outcome, folder)
    return outcome


@asynccontextmanager
async def load(client: AsyncClient, clients: Clients, seed: int) -> AsyncIterator[None]:
    """All clients at work."""
    history, endpoints = clients.history, clients.installation.endpoints
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(send_studies(endpoints["storage"], seed, history, large_one_of=5, room=clients.room))
        tasks.create_task(clients.read(client, seed))
        tasks.create_task(clients.follow_runs(client))
        tasks.create_task(clients.use_web(client.storage, f"web-{seed}"))
        tasks.create_task(clients.use_dimse(client.storage, f"dimse-{seed}"))
        try:
            yield
        finally:
            history.until = history.now()
            clients.let_everybody_end()


async def restart(replica: Replica, outcome: Outcome) -> None:
    """SIGTERM, wait for its end, start it again; first, wait until the clients get on."""
    history = outcome.clients.history
    before = len(history.completions)
    await _wait_until(lambda: len(history.completions) >= before + 2)
    replica.is_left_out = True
    await asyncio.sleep(LEAVING_OUT_SECONDS)
    began = history.now()
    code = await replica.stop()
    outcome.restarts.append((replica.name, history.now() - began))
    sys.stderr.write(f"    {began:.1f} s: {replica.name} drained for {outcome.restarts[-1][1]:.1f} s\n")
    if code:
        outcome.broken.append(f"{replica.name} ended with {code}: {replica.log_file.read_text()[-500:]}")
    await replica.start()


async def restart_during_a_long_stage(client: AsyncClient, outcome: Outcome, folder: Path, seconds: int) -> None:
    """Both pipelines, then both analyses, while analysis is at work for a run: it is done once."""
    installation: Replicated = outcome.clients.installation
    series = ct_series("long", slices=5, size=48)
    async for result in client.storage.store([Upload(uid, content) for uid, content in series.instances.items()]):
        assert result.error is None, result.error
    await client.storage.complete_study(series.study)
    run = await client.runs.create(series.study, recipe="rolling-long")
    await _wait_until(lambda: beginnings(folder, seconds) > 0)
    for service in ("pipeline", "analysis"):
        for replica in installation.replicas[service]:
            await restart(replica, outcome)
    last: Run = [seen async for seen in client.runs.watch(run)][-1]
    attempts = {stage.uses: stage.attempts for stage in last.stages}
    if last.state != "SUCCEEDED" or attempts["slow"] < 2:
        outcome.broken.append(f"the long run is {last.state} after {attempts} attempts: {last.reason}")
    if (began := beginnings(folder, seconds)) != 1:
        outcome.broken.append(f"the long stage was begun {began} times")


async def _wait_until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(300):
        while not condition():  # noqa: ASYNC110 - there is no event for it
            await asyncio.sleep(0.05)


def judge(outcome: Outcome, folder: Path) -> None:
    """Add what is broken to the outcome."""
    clients = outcome.clients
    outcome.broken += violations(clients.history, outcome.state)
    outcome.broken += clients.failed
    outcome.broken += [
        f"upload of {entry.sop_instance_uid} at {entry.seconds:.1f} s: {entry.error}"
        for entry in clients.history.uploads
        if entry.told == "failed"
    ]
    outcome.broken += [f"completion: {told}" for told in clients.history.failed_completions]
    short = sum(1 for finding in outcome.state.findings if finding.model == "slow") - 1
    began = beginnings(folder, SHORT_SECONDS)
    if began != short:
        outcome.broken.append(f"{short} stages of {SHORT_SECONDS} s were begun {began} times")


def main() -> int:
    """The program."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--long-seconds", type=int, default=30, help="of the stage that is attached to again")
    parser.add_argument("--together", action="store_true", help="one replica of every service at once, as Helm does")
    options = parser.parse_args()
    course = Course(options.seed, options.long_seconds, options.together)
    with tempfile.TemporaryDirectory(prefix="imaging-rolling-") as folder:
        outcome = asyncio.run(roll(Path(folder), course))
    sys.stdout.write(outcome.page())
    return 1 if outcome.broken else 0


if __name__ == "__main__":
    sys.exit(main())
