"""`htj2k_transcode`: frames a second that the step `progressive-htj2k` copies, over the whole path. Target: 200.

Storage and processing run as processes of their own, as users run them. CT slices of 512 x 512 x 16 bit, uncompressed,
are retrieved, encoded, decoded again and compared, and stored durably; the time is that of the call.
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
from datetime import UTC, datetime

from google.protobuf.timestamp_pb2 import Timestamp

from benchmarks.figure import Bench, Figure, Run, figure
from benchmarks.ours import Ours
from benchmarks.side import Stopwatch
from imaging.processing.v1 import processing_service_pb2, processing_service_pb2_grpc
from imaging.rpc.channel import open_channel
from imaging.stage.v1.stage_pb2 import StageContext


def measure(bench: Bench) -> Figure:
    """A new series in each run."""
    ours = bench.sides()[0]
    assert isinstance(ours, Ours)
    runs = []
    with _processing(ours.address) as address:
        for turn in range(bench.repeats + 1):
            series = bench.work.ct(bench.slices)
            ours.store(series.files, 4)
            with Stopwatch() as watch:
                copied = asyncio.run(_copy(address, series.name, f"copy-{turn}"))
            if copied != bench.slices:
                raise RuntimeError(f"{copied} of {bench.slices} frames were copied")
            if turn:  # the first one pays for imports
                runs.append(Run("ours", copied / watch.seconds))
    return figure("htj2k_transcode", "frames/s", runs, target=200)


@contextmanager
def _processing(storage: str) -> Iterator[str]:
    command = [sys.executable, "-m", "imaging", "serve", "processing", "--json", "--address", "127.0.0.1:0"]
    command += ["--set", f"storage.address={storage}"]
    environment = {**os.environ, "IMAGING_TELEMETRY_LOG_LEVEL": "WARNING"}
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, env=environment)
    try:
        assert child.stdout is not None
        yield str(json.loads(child.stdout.readline())["address"])
    finally:
        child.send_signal(signal.SIGTERM)
        child.wait(30)
        if child.stdout is not None:
            child.stdout.close()


async def _copy(address: str, series: str, request_id: str) -> int:
    time = Timestamp()
    time.FromDatetime(datetime(2026, 1, 1, tzinfo=UTC))
    request = processing_service_pb2.ProcessSeriesRequest(
        context=StageContext(
            request_id=request_id, attempt=1, effective_time=time, run=f"runs/{request_id}", stage="1-process"
        ),
        series=series,
        step="progressive-htj2k",
    )
    copied = 0
    async with open_channel(address) as channel:
        async for update in processing_service_pb2_grpc.ProcessingServiceStub(channel).ProcessSeries(request):
            copied = len(update.result.instances)
    return copied
