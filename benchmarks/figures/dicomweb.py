"""`web_frames`, `rendered`, `rendered_jpeg`: requests a second by DICOMweb, four clients. Target: 1 x the peer's.

Whole stored frames of CT slices, and the same slices through a window as PNG and as JPEG; each is asked for by a
request of its own, as viewers do. The slices are in the system's page cache on both sides; no picture is asked for
twice in a run, and neither archive keeps any.
"""

from __future__ import annotations

from typing import Final

from benchmarks.dicomweb import open_archives, timed_requests
from benchmarks.figure import Bench, Figure, figure

ANY_SYNTAX: Final = 'multipart/related; type="application/octet-stream"; transfer-syntax=*'
ASKED: Final = {
    "web_frames": ("frames/1", ANY_SYNTAX),
    "rendered": ("rendered?window=40,400,linear", "image/png"),
    "rendered_jpeg": ("rendered?window=40,400,linear", "image/jpeg"),
}


def measure(bench: Bench) -> Figure:
    """Frames; the runs of the others are made on the way, in turns."""
    series = bench.work.ct(bench.slices // 2)
    archives = open_archives(bench, "web")
    for archive in archives:
        archive.store(series)
    instances = [f"{series.name}/instances/{uid}" for uid in series.sop_instance_uids]
    for name, (tail, accept) in ASKED.items():
        bench.kept[name] = timed_requests(bench, archives, [f"{instance}/{tail}" for instance in instances], accept)
    return figure("web_frames", "frames/s", bench.kept["web_frames"], target=1.0)


def measure_rendered(bench: Bench) -> Figure:
    """As PNG, from the runs of `web_frames`; so is the next."""
    return figure("rendered", "pictures/s", bench.kept["rendered"], target=1.0)


def measure_rendered_jpeg(bench: Bench) -> Figure:
    """As JPEG."""
    return figure("rendered_jpeg", "pictures/s", bench.kept["rendered_jpeg"], target=1.0)
