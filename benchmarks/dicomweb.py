"""DICOMweb of both archives, asked by the same client: threads with a keep-alive connection each."""

from __future__ import annotations

import http.client
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, Protocol

from benchmarks.dimse import free_port
from benchmarks.figure import Bench, Run
from benchmarks.orthanc import Orthanc
from benchmarks.ours import Ours
from benchmarks.side import Stopwatch
from benchmarks.work import Series

CLIENTS: Final = 4


class WebArchive(Protocol):
    """One archive, running; its DICOMweb is below `/dicom-web` of a port on loopback."""

    name: str
    port: int

    def store(self, series: Series) -> None:
        """Keep a series."""

    def close(self) -> None:
        """End it."""


class OurWeb:
    """Storage and gateway in processes of their own."""

    name = "ours"

    def __init__(self, folder: Path) -> None:
        self._storage = Ours(folder)
        self.port = free_port()
        where = {"storage.address": self._storage.address}
        doors = {"gateway.http_address": f"127.0.0.1:{self.port}", "gateway.dimse_address": "127.0.0.1:0"}
        self._gateway = _serve("gateway", folder, where | doors)

    def store(self, series: Series) -> None:
        """By gRPC."""
        self._storage.store(series.files, 4)

    def close(self) -> None:
        """Drain and end."""
        self._gateway.terminate()
        self._gateway.wait(60)
        assert self._gateway.stdout is not None
        self._gateway.stdout.close()
        self._storage.close()


class OrthancWeb:
    """Orthanc with its DICOMweb plugin."""

    name = "orthanc"

    def __init__(self, folder: Path) -> None:
        self._orthanc = Orthanc(folder)
        self.port = self._orthanc.port

    def store(self, series: Series) -> None:
        """By its own REST."""
        self._orthanc.store(series.files, 4)

    def close(self) -> None:
        """End it as its users do."""
        self._orthanc.close()


def open_archives(bench: Bench, name: str) -> list[WebArchive]:
    """Both archives, or ours alone, empty, until the bench is closed."""
    kinds: tuple[Callable[[Path], WebArchive], ...] = (OurWeb, OrthancWeb)
    archives: list[WebArchive] = []
    for number, open_archive in enumerate(kinds[: len(bench.open_sides)]):
        archive = open_archive(bench.folder / f"{name}-{number}")
        bench.closing.callback(archive.close)
        archives.append(archive)
    return archives


def timed_requests(bench: Bench, archives: Sequence[WebArchive], paths: Sequence[str], accept: str) -> list[Run]:
    """Requests a second of the archives in turns, by `CLIENTS` clients."""
    for archive in archives:  # the first requests pay for imports and open connections
        get_all(archive, paths[:20], accept, CLIENTS)
    runs: list[Run] = []
    for turn in range(bench.repeats):
        for archive in archives if turn % 2 == 0 else archives[::-1]:
            with Stopwatch() as watch:
                get_all(archive, paths, accept, CLIENTS)
            runs.append(Run(archive.name, len(paths) / watch.seconds, CLIENTS))
    return runs


def get_all(archive: WebArchive, paths: Sequence[str], accept: str, clients: int) -> int:
    """Bytes of the bodies of all paths below `/dicom-web/`, asked for by so many clients at once.

    Raises
    ------
    RuntimeError
        If one is not answered by 200.
    """

    def one(share: Sequence[str]) -> int:
        connection = http.client.HTTPConnection("127.0.0.1", archive.port, timeout=120)
        size = 0
        for path in share:
            connection.request("GET", f"/dicom-web/{path}", headers={"Accept": accept})
            answer = connection.getresponse()
            size += len(answer.read())
            if answer.status != 200:
                raise RuntimeError(f"{archive.name} answered {answer.status} to {path.rpartition('/')[2]}")
        connection.close()
        return size

    with ThreadPoolExecutor(clients) as executor:
        return sum(executor.map(one, [paths[first::clients] for first in range(clients)]))


def _serve(service: str, folder: Path, settings: dict[str, str]) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "imaging", "serve", service, "--json", "--data", str(folder)]
    for name, value in {"telemetry.log_level": "WARNING", **settings}.items():
        command += ["--set", f"{name}={value}"]
    if f"{service}.address" not in settings:
        command += ["--address", "127.0.0.1:0"]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
    assert child.stdout is not None
    if not child.stdout.readline():
        raise RuntimeError(f"{service} did not start; its log stands above.")
    return child
