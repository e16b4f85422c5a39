"""`s3_of_bare`: instances a second that we store on an S3 server by what the bare `minio` client stores. Target: 0.75.

Both write the same files to a bucket of their own on one server, in turns: MinIO where its program is there, SeaweedFS
otherwise. The bare client has the files in memory, a thread and a connection for each object under way, up to as many
as our service has, and believes every answer; each side is taken at its best number. Its column is the peer's.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from itertools import count
from pathlib import Path

import urllib3
from minio import Minio

from benchmarks.figure import Bench, Figure, Run, figure
from benchmarks.ours import Ours
from benchmarks.side import Stopwatch
from tests.objectstore.s3_servers import ACCESS_KEY, SECRET_KEY, SERVERS, S3Server, program

CLIENTS = (1, 2, 4)
THREADS = (4, 8, 16, 24)


def measure(bench: Bench) -> Figure:
    """New CT slices of one series in each run."""
    name = "minio" if program("minio") else "seaweedfs"
    needed, run = SERVERS[name]
    if program(needed) is None:
        raise RuntimeError(f"There is no S3 server: the program `{needed}` is not installed.")
    runs: list[Run] = []
    folder = bench.folder / name
    with run(folder) as server, _ours_on(server, folder) as ours:
        bare = _Bare(server)
        for store in (ours.store, bare.store):  # the first ones pay for imports, connections and new folders
            store(bench.work.ct(20).files, 4)
        for turn in range(bench.repeats):
            sides = (("ours", ours.store, CLIENTS), (f"minio client on {name}", bare.store, THREADS))
            for side, store, parallels in sides[:: 1 if turn % 2 == 0 else -1]:
                for parallel in parallels:
                    files = bench.work.ct(bench.slices).files
                    with Stopwatch() as watch:
                        store(files, parallel)
                    runs.append(Run(side, len(files) / watch.seconds, parallel))
    return figure("s3_of_bare", "instances/s", runs, target=0.75)


@contextmanager
def _ours_on(server: S3Server, folder: Path) -> Iterator[Ours]:
    keys = {"ACCESS": ACCESS_KEY, "SECRET": SECRET_KEY}
    environment = {
        "IMAGING_STORAGE_S3_ENDPOINT": f"127.0.0.1:{server.port}",
        "IMAGING_STORAGE_S3_BUCKET": "ours",
        "IMAGING_STORAGE_S3_SECURE": "false",
    }
    for name, key in keys.items():
        file = folder / name.lower()
        file.write_text(key, encoding="ascii")
        file.chmod(0o600)
        environment[f"IMAGING_STORAGE_S3_{name}_KEY_FILE"] = str(file)
    with closing(Ours(folder / "ours", environment)) as ours:
        yield ours


class _Bare:
    def __init__(self, server: S3Server) -> None:
        pool = urllib3.PoolManager(maxsize=max(THREADS))
        self._client = Minio(
            f"127.0.0.1:{server.port}", ACCESS_KEY, SECRET_KEY, secure=False, region="us-east-1", http_client=pool
        )
        self._client.make_bucket("bare")
        self._numbers = count()

    def store(self, files: Sequence[bytes], threads: int) -> None:
        with ThreadPoolExecutor(threads) as executor:
            list(executor.map(self._store_one, files))

    def _store_one(self, content: bytes) -> None:
        key = f"studies/1/{next(self._numbers)}.dcm"
        self._client.put_object("bare", key, io.BytesIO(content), len(content))
