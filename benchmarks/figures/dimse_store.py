"""`dimse_store`, `dimse_store_four`: instances a second by C-STORE, one association and four. Targets: 0.5 and 1.2 x.

`dimse_storescu` and `dimse_storescu_four` are the same from files by DCMTK's storescu with PDUs of 128 KiB.
`dimse_store_cpu` is the processor time of all of an archive's processes for each instance, over one association.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from benchmarks import dimse
from benchmarks.dimse import DimseArchive, OrthancDimse, OurDimse
from benchmarks.figure import Bench, Figure, Run, figure
from benchmarks.side import Stopwatch

ASSOCIATIONS = (1, 4)


def measure(bench: Bench) -> Figure:
    """New CT slices of one series in each run, in turns."""
    kinds: tuple[Callable[[Path], DimseArchive], ...] = (OurDimse, OrthancDimse)
    archives: list[DimseArchive] = []
    for number, open_archive in enumerate(kinds[: len(bench.open_sides)]):
        archive = open_archive(bench.folder / f"dimse-{number}")
        bench.closing.callback(archive.close)
        archives.append(archive)
    for archive in archives:  # the first instances pay for imports and open connections
        dimse.send(bench.work.ct(20).files, archive.port, 4)
    for turn in range(bench.repeats):
        for archive in archives if turn % 2 == 0 else archives[::-1]:
            for associations in ASSOCIATIONS:
                _run(bench, archive, associations)
                if dimse.is_installed():
                    _run_storescu(bench, archive, associations)
    return figure("dimse_store", "instances/s", bench.kept["dimse_store_1"], target=0.5)


def measure_four(bench: Bench) -> Figure:
    """Over four associations, from the runs of `dimse_store`; so are the following."""
    return figure("dimse_store_four", "instances/s", bench.kept["dimse_store_4"], target=1.2)


def measure_cpu(bench: Bench) -> Figure:
    """Processor time over one association."""
    return figure("dimse_store_cpu", "ms/instance", bench.kept["dimse_store_cpu"], at_most=True)


def measure_storescu(bench: Bench) -> Figure:
    """By storescu, one association."""
    return figure("dimse_storescu", "instances/s", bench.kept["dimse_storescu_1"])


def measure_storescu_four(bench: Bench) -> Figure:
    """By storescu, four of them."""
    return figure("dimse_storescu_four", "instances/s", bench.kept["dimse_storescu_4"])


def _run(bench: Bench, archive: DimseArchive, associations: int) -> None:
    files = bench.work.ct(bench.slices).files
    before = archive.cpu_seconds()
    with Stopwatch() as watch:
        dimse.send(files, archive.port, associations)
    spent = archive.cpu_seconds() - before
    _keep(bench, f"dimse_store_{associations}", Run(archive.name, len(files) / watch.seconds, associations))
    if associations == 1:
        _keep(bench, "dimse_store_cpu", Run(archive.name, 1000 * spent / len(files)))


def _run_storescu(bench: Bench, archive: DimseArchive, associations: int) -> None:
    folder = bench.folder / "dimse-files"
    slices = bench.slices // 4  # it may take 40 ms each
    parts = dimse.write_parts(folder, bench.work.ct(slices).files, associations)
    with Stopwatch() as watch:
        dimse.send_by_storescu(parts, archive.port)
    shutil.rmtree(folder)
    _keep(bench, f"dimse_storescu_{associations}", Run(archive.name, slices / watch.seconds, associations))


def _keep(bench: Bench, name: str, run: Run) -> None:
    bench.kept.setdefault(name, []).append(run)
