"""`python -m benchmarks.run`: measures all figures, prints a table, writes `results.json` and the plots."""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

from benchmarks import dimse, orthanc, plots
from benchmarks.figure import Bench, Figure
from benchmarks.figures import (
    ct_chest,
    dicomweb,
    dimse_store,
    frames,
    frames_of_limit,
    htj2k_transcode,
    metadata_cold,
    metadata_warm,
    qido,
    rss_mib,
    s3_of_bare,
    search_p99_growth,
    store,
    store_cpu,
    store_of_plain_loop,
    store_one_stream,
    telemetry_cost,
)
from benchmarks.ours import Ours
from benchmarks.side import Side
from benchmarks.work import Work

_MEASURES: dict[str, Callable[[Bench], Figure]] = {
    "store": store.measure,
    "store_one_stream": store_one_stream.measure,
    "store_cpu": store_cpu.measure,
    "store_of_plain_loop": store_of_plain_loop.measure,
    "s3_of_bare": s3_of_bare.measure,
    "dimse_store": dimse_store.measure,
    "dimse_store_four": dimse_store.measure_four,
    "dimse_store_cpu": dimse_store.measure_cpu,
    "dimse_storescu": dimse_store.measure_storescu,
    "dimse_storescu_four": dimse_store.measure_storescu_four,
    "frames": frames.measure,
    "frames_of_limit": frames_of_limit.measure,
    "htj2k_transcode": htj2k_transcode.measure,
    "ct_chest_400": ct_chest.measure,
    "ct_chest_400_rss": ct_chest.measure_memory,
    "web_frames": dicomweb.measure,
    "rendered": dicomweb.measure_rendered,
    "rendered_jpeg": dicomweb.measure_rendered_jpeg,
    "qido": qido.measure,
    "qido_series": qido.measure_series,
    "web_metadata": qido.measure_metadata,
    "metadata_warm": metadata_warm.measure,
    "metadata_cold": metadata_cold.measure,
    "search_p99_growth": search_p99_growth.measure,
    "search_work_growth": search_p99_growth.measure_work,
    "rss_mib": rss_mib.measure,
    "telemetry_cost": telemetry_cost.measure,
    "telemetry_cost_frame": telemetry_cost.measure_frames,
}
_NEEDS = {
    "store_one_stream": "store",
    "store_cpu": "store",
    "dimse_store_four": "dimse_store",
    "dimse_store_cpu": "dimse_store",
    "dimse_storescu": "dimse_store",
    "dimse_storescu_four": "dimse_store",
    "frames_of_limit": "frames",
    "ct_chest_400_rss": "ct_chest_400",
    "rendered": "web_frames",
    "rendered_jpeg": "web_frames",
    "qido_series": "qido",
    "web_metadata": "qido",
    "search_work_growth": "search_p99_growth",
    "telemetry_cost_frame": "telemetry_cost",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure; 0 when it was done, whatever the figures say."""
    options = _options(arguments)
    sides: list[Callable[[Path], Side]] = [Ours]
    if options.peer == "orthanc":
        if orthanc.is_installed():
            print(f"Peer: {orthanc.version()}, files synced (SyncStorageArea), index in SQLite with its own settings.")
            sides.append(orthanc.Orthanc)
        else:
            print(orthanc.MISSING)
    names = _with_needs(options.only or list(_MEASURES))
    if not dimse.is_installed():
        print(dimse.MISSING)
        names = [name for name in names if not name.startswith("dimse_storescu")]
    options.out.mkdir(parents=True, exist_ok=True)
    print(f"{os.cpu_count()} processors, load {os.getloadavg()[0]:.1f} at the start")
    results: list[Figure] = []
    with ExitStack() as closing:
        folder = Path(closing.enter_context(tempfile.TemporaryDirectory(prefix="benchmark-", dir=options.folder)))
        quick = options.quick
        bench = Bench(
            folder,
            sides,
            Work(),
            slices=100 if quick else 400,
            frames=200 if quick else 2000,
            studies=100_000 if quick else 1_000_000,
            repeats=options.repeats or (3 if quick else 5),
            closing=closing,
            is_quick=quick,
        )
        for name in names:
            results.append(_MEASURES[name](bench))
            print(_line(results[-1]), flush=True)
            (options.out / "results.json").write_text(
                json.dumps([result.as_json() for result in results], indent=2) + "\n", encoding="utf-8"
            )
            plots.draw(results[-1], options.out)
    print(f"load {os.getloadavg()[0]:.1f} at the end; written to {options.out}/results.json")
    return 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.run", description=__doc__)
    parser.add_argument("--peer", choices=["orthanc"], help="also run the same work on this archive, in turns")
    parser.add_argument("--quick", action="store_true", help="a quarter of the work, fewer runs")
    parser.add_argument("--only", action="append", choices=list(_MEASURES), help="only this figure; may be repeated")
    parser.add_argument("--repeats", type=int, default=0, help="runs of each side")
    parser.add_argument("--out", type=Path, default=Path("bench-out"), help="folder for the results")
    parser.add_argument("--folder", type=Path, default=None, help="where both archives keep their data; a real disk")
    return parser.parse_args(arguments)


def _with_needs(names: Sequence[str]) -> list[str]:
    wanted = {*names, *(_NEEDS[name] for name in names if name in _NEEDS)}
    return [name for name in _MEASURES if name in wanted]


def _line(figure: Figure) -> str:
    peer = "-" if figure.peer is None else f"{figure.peer:,.2f}"
    ratio = "-" if figure.ratio is None else f"{figure.ratio:.2f}"
    sign = "<=" if figure.at_most else ">="
    target = "" if figure.target is None else f"target {sign} {figure.target}"
    return f"{figure.name:20} {figure.ours:12,.2f} {peer:>12} {figure.unit:12} ratio {ratio:>6}  {target}"


if __name__ == "__main__":
    sys.exit(main())
