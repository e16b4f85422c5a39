"""`search_p99_growth`: the 99th percentile of searches of 10^6 studies by that of 10^4. Target: at most 3 times.

Both are `imaging serve storage` with its index in SQLite, and are asked in turns over gRPC, one search at a time, page
after page as a viewer's work list asks. The column of the peer holds the time with 10^4 studies. `search_work_growth`
counts, for the same searches, steps that SQLite's virtual machine takes: other work on the machine does not move it.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from statistics import quantiles
from typing import Final

import uvloop

from benchmarks.figure import Bench, Figure, Run, figure
from benchmarks.ours import Ours
from benchmarks.side import Stopwatch
from benchmarks.studies import DAYS, FIRST_DAY, database_of, fill, some_surname
from imaging.database.opening import open_backend
from imaging.rpc.channel import open_channel
from imaging.storage.v1 import storage_service_pb2 as pb
from imaging.storage.v1 import storage_service_pb2_grpc as pb_grpc
from storage_svc.search.run import Search, run_search

_FEW: Final = 10_000
_PAGE: Final = 101
"""As OHIF asks: one more than it shows."""

_ROUNDS: Final = 25
"""Of all kinds of searches, in a run."""

_STEPS: Final = 100
"""Between two calls of SQLite's progress handler."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One search: its keys, how many pages of it are read, and how many results are left out before (`offset`)."""

    keys: tuple[tuple[str, str], ...]
    pages: int = 1
    skip: int = 0


def searches(rounds: int) -> list[Asked]:
    """What people type into a work list: the same for any number of studies."""
    chance = random.Random(2)
    found: list[Asked] = []
    for _ in range(rounds):
        name, digits = some_surname(chance), f"{chance.randrange(10_000):04}"
        begin = FIRST_DAY + timedelta(days=chance.randrange(DAYS - 31))
        day, month = f"{begin:%Y%m%d}", f"{begin:%Y%m%d}-{begin + timedelta(days=30):%Y%m%d}"
        modality = chance.choice(("CT", "MR", "MG", "XA"))
        found += [
            Asked((), pages=3),
            Asked((), skip=chance.randrange(1, 20) * 100),
            Asked((("PatientName", f"*{name}*"),), pages=3),
            Asked((("PatientName", f"*{name[:4].upper()}*"),), pages=2),
            Asked((("PatientName", f"*{name[:2]}*"),)),
            Asked((("PatientName", f"*{name[-1]}*"),)),
            Asked((("PatientName", f"*{name}^{some_surname(chance)}*"),)),
            Asked((("PatientName", "*nobody*"),)),
            Asked((("PatientID", f"*{digits}*"),), pages=2),
            Asked((("PatientID", f"*{digits[:2]}*"),)),
            Asked((("AccessionNumber", f"*{digits}*"),)),
            Asked((("StudyDescription", "*Brain*"),)),
            Asked((("StudyDate", day),)),
            Asked((("StudyDate", month),), pages=2),
            Asked((("StudyDate", month), ("PatientName", f"*{name}*"))),
            Asked((("StudyDate", month), ("ModalitiesInStudy", modality))),
            Asked((("ModalitiesInStudy", modality),), pages=2),
            Asked((("PatientName", f"*{name}*"), ("ModalitiesInStudy", modality), ("PatientID", f"*{digits[:2]}*"))),
        ]
    return found


def measure(bench: Bench) -> Figure:
    """Milliseconds of a page, p99 of all pages of a run; the steps on the way."""
    sides: list[tuple[str, Ours]] = []
    steps: list[Run] = []
    asked = searches(_ROUNDS)
    for name, count in (("ours", bench.studies), ("10^4", _FEW)):
        folder = bench.folder / f"studies-{count}"
        with Stopwatch() as watch:
            fill(folder, count)
        print(f"{count:,} studies listed in {watch.seconds:.0f} s", flush=True)
        taken = _steps(folder, asked)
        steps.append(Run(name, _p99(taken) / 1000))
        side = Ours(folder)
        bench.closing.callback(side.close)
        sides.append((name, side))
    runs: list[Run] = []
    for turn in range(bench.repeats + 1):
        for name, side in sides if turn % 2 == 0 else sides[::-1]:
            seconds = uvloop.run(_ask(side.address, asked))
            if turn:  # the first one fills the caches of both
                runs.append(Run(name, _p99(seconds) * 1000))
    bench.kept["search_work_growth"] = steps
    return figure("search_p99_growth", "ms", runs, target=3.0, at_most=True)


def measure_work(bench: Bench) -> Figure:
    """Thousands of steps of SQLite's virtual machine for a page, p99 of the same searches."""
    return figure("search_work_growth", "10^3 steps", bench.kept["search_work_growth"], target=3.0, at_most=True)


async def _ask(address: str, asked: Sequence[Asked]) -> list[float]:
    """Seconds of each page."""
    channel = open_channel(address)
    taken: list[float] = []
    try:
        stub = pb_grpc.StorageServiceStub(channel)
        for search in asked:
            keys = [pb.MatchKey(keyword=keyword, value=value) for keyword, value in search.keys]
            token, skip = "", search.skip
            for _ in range(search.pages):
                request = pb.SearchStudiesRequest(keys=keys, page_size=_PAGE, page_token=token, skip=skip)
                with Stopwatch() as watch:
                    response = await stub.SearchStudies(request)
                taken.append(watch.seconds)
                token, skip = response.next_page_token, 0
                if not token:
                    break
    finally:
        await channel.close()
    return taken


def _steps(folder: Path, asked: Sequence[Asked]) -> list[float]:
    """Steps of each page, by the code of the service in this process."""
    taken: list[float] = []
    with closing(open_backend(database_of(folder))) as backend, backend.reader.connect() as connection:
        count = 0

        def note() -> int:
            nonlocal count
            count += _STEPS
            return 0

        raw = connection.connection.driver_connection
        assert raw is not None
        raw.set_progress_handler(note, _STEPS)
        for search in asked:
            token, skip = "", search.skip
            for _ in range(search.pages):
                count = 0
                with connection.begin():
                    page = run_search(
                        connection, Search(1, None, search.keys, page_size=_PAGE, page_token=token, skip=skip)
                    )
                taken.append(count)
                token, skip = page.next_page_token, 0
                if not token:
                    break
    return taken


def _p99(values: Sequence[float]) -> float:
    return quantiles(values, n=100)[98]
