"""Waiting for the runs of many studies."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta

from imaging.client.async_client import AsyncClient
from imaging.client.patience import is_worth_retrying
from imaging.client.run_results import Run
from imaging.errors import ImagingError

_INTERVAL_SECONDS = 0.4
NO_RUN_AFTER = timedelta(seconds=60)
"""A complete study gets its run within a second; after so long none will come."""


async def wait_for_runs(
    client: AsyncClient,
    studies: Sequence[str],
    on_runs: Callable[[Mapping[str, Run]], None],
    timeout: timedelta,
) -> dict[str, Run]:
    """The newest run of each study when all have ended or time is up; a study without a run is left out.

    A service that dies meanwhile is waited for.

    Raises
    ------
    ImagingError
        If the pipeline refuses to answer for good.
    """
    began = time.monotonic()
    wanted = set(studies)
    newest: dict[str, Run] = {}
    while True:
        waited = time.monotonic() - began
        try:
            # Newest first: the first one seen of a study is its newest.
            found = [run for run in await client.runs.list() if run.study in wanted]
            newest = {run.study: run for run in reversed(found)}
            on_runs(newest)
        except ImagingError as error:
            if not is_worth_retrying(error) or waited > timeout.total_seconds():
                raise
        waiting = [study for study in studies if study not in newest]
        if all(run.has_ended for run in newest.values()) and (not waiting or waited > NO_RUN_AFTER.total_seconds()):
            return newest
        if waited > timeout.total_seconds():
            return newest
        await asyncio.sleep(_INTERVAL_SECONDS)
