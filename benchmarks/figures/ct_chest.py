"""`ct_chest_400`: seconds that the recipe `ct-chest` takes for 400 slices of 512 x 512, and `ct_chest_400_rss`.

All services run as `imaging up` starts them. Time is from the study's completion to the end of its run; memory is the
peak of each process, those of all services together. What each stage and each service took is printed.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil

import imaging.client.async_client as sdk
from benchmarks.figure import Bench, Figure, Run, figure
from benchmarks.side import ServerProcess, Stopwatch
from imaging.client.run_results import Run as PipelineRun
from imaging.client.storage import Upload
from imaging.derived.deterministic import part10_bytes
from imaging.phantom.ct_chest import FIELD_MM, ct_chest_phantom
from imaging.phantom.ct_series import phantom_datasets
from imaging.volume.volume import Volume

_SHAPE = (200, 256, 256)
"""Of the phantom, each voxel of which becomes eight: to make it finer takes gigabytes."""
_SPACING_MM = (0.9, 0.7, 0.7)
"""As of a scanner: 360 x 358 x 358 mm, so that the derived series are as large as those of a patient."""
_memory: list[Run] = []


def measure(bench: Bench) -> Figure:
    """A run on services that were just started; it is long enough for one to tell."""
    runs = []
    for turn in range(1 if bench.is_quick else 2):
        with _services(Path(bench.folder) / f"chest-{turn}") as (endpoints, process):
            run, seconds = asyncio.run(_chest(endpoints))
            _tell(run, process)
            runs.append(Run("ours", seconds))
            _memory.append(Run("ours", ServerProcess(process.pid).peak_mib()))
    return figure("ct_chest_400", "s", runs, target=60, at_most=True)


def measure_memory(bench: Bench) -> Figure:
    """Of the same runs."""
    return figure("ct_chest_400_rss", "MiB", _memory, target=2048, at_most=True)


async def _chest(endpoints: dict[str, str]) -> tuple[PipelineRun, float]:
    async with sdk.AsyncClient(endpoints) as client:
        study = ""
        async for stored in client.storage.store(_uploads()):
            if stored.instance is None:
                raise RuntimeError(f"A slice was not stored: {stored.error}")
            study = stored.instance.name.partition("/series/")[0]
        with Stopwatch() as watch:
            await client.storage.complete_study(study)
            async for run in client.runs.watch(study):
                last = run
        if last.state != "SUCCEEDED" or last.recipe.partition("@")[0] != "ct-chest":
            raise RuntimeError(f"The run of {last.recipe} ended as {last.state}")
        return last, watch.seconds


def _uploads() -> Iterator[Upload]:
    """Slices of the phantom, stretched to the field of a scanner, with noise of their own."""
    slices, rows, columns = (extent / count for extent, count in zip(FIELD_MM, _SHAPE, strict=True))
    coarse, _ = ct_chest_phantom(1, (slices, rows, columns))
    random = np.random.default_rng(1)
    for index, header in enumerate(phantom_datasets(_stretched(coarse))):
        pixels = coarse.voxels[len(coarse.voxels) - 1 - index // 2].repeat(2, axis=0).repeat(2, axis=1)
        noisy = pixels + random.normal(0, 5, pixels.shape)
        header.Rows, header.Columns = pixels.shape
        header.PixelData = np.clip(np.rint(noisy) + 1024, 0, 4095).astype("<u2").tobytes()
        yield Upload(str(index), part10_bytes(header))


def _stretched(coarse: Volume) -> Volume:
    """Twice the slices, of another spacing; only its headers are of use."""
    uids = [f"{coarse.series_instance_uid[:50]}.{number}" for number in range(2 * len(coarse.frames))]
    return replace(
        coarse,
        voxels=coarse.voxels.repeat(2, axis=0),
        spacing_mm=_SPACING_MM,
        slice_thickness_mm=_SPACING_MM[0],
        frames=tuple(replace(coarse.frames[0], sop_instance_uid=uid) for uid in uids),
    )


def _tell(run: PipelineRun, process: psutil.Process) -> None:
    for stage in run.stages:
        if stage.start_time is not None and stage.end_time is not None:
            print(f"  {stage.name:32} {(stage.end_time - stage.start_time).total_seconds():6.1f} s  {stage.state}")
    for child in process.children():
        service = child.cmdline()[child.cmdline().index("serve") + 1] if "serve" in child.cmdline() else child.name()
        one = ServerProcess(child.pid)
        print(f"  {service:32} {one.cpu_seconds():6.1f} s of processor time, {one.peak_mib():6.0f} MiB at most")


@contextmanager
def _services(folder: Path) -> Iterator[tuple[dict[str, str], psutil.Process]]:
    command = [sys.executable, "-m", "imaging", "up", "--json", "--port-base", "0", "--data", str(folder)]
    command += ["--set", "storage.quiet_time_seconds=3600"]
    environment = {**os.environ, "IMAGING_TELEMETRY_LOG_LEVEL": "WARNING"}
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, env=environment)
    try:
        assert child.stdout is not None
        yield json.loads(child.stdout.readline())["endpoints"], psutil.Process(child.pid)
    finally:
        child.send_signal(signal.SIGINT)
        child.wait(60)
        if child.stdout is not None:
            child.stdout.close()
