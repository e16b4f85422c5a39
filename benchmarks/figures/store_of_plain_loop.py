"""`store_of_plain_loop`: our stored instances a second by those of a loop that writes and syncs files. Target: 0.8.

The loop has the same files in memory and no server: threads take the next one, write it into one folder, fsync and
close it. Each side is taken at its best number of clients, or threads. The column of the peer holds the loop.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path

from benchmarks.figure import Bench, Figure, Run, figure
from benchmarks.side import Stopwatch

CLIENTS = (1, 2, 4, 8)
THREADS = (4, 8, 16, 32)


def measure(bench: Bench) -> Figure:
    """New CT slices of one series in each run, in turns."""
    ours = bench.sides()[0]
    ours.store(bench.work.ct(20).files, 1)
    folder = bench.folder / "plain-loop"
    folder.mkdir()
    loop = _Loop(folder)
    runs: list[Run] = []
    for turn in range(bench.repeats):
        for store, parallels in ((ours.store, CLIENTS), (loop.store, THREADS))[:: 1 if turn % 2 == 0 else -1]:
            for parallel in parallels:
                files = bench.work.ct(bench.slices).files
                with Stopwatch() as watch:
                    store(files, parallel)
                side = "ours" if parallels is CLIENTS else "plain loop"
                runs.append(Run(side, len(files) / watch.seconds, parallel))
    return figure("store_of_plain_loop", "instances/s", runs, target=0.8)


class _Loop:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._numbers = count()

    def store(self, files: Sequence[bytes], threads: int) -> None:
        with ThreadPoolExecutor(threads) as executor:
            list(executor.map(self._store_one, files))

    def _store_one(self, content: bytes) -> None:
        path = self._folder / f"{next(self._numbers)}.dcm"
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o640)
        try:
            os.write(descriptor, content)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
