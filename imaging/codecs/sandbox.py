"""Decoding of foreign pixel data in processes that may die without taking the service down.

Native code that parses bytes of unknown senders runs in worker processes, never in a service: a crash, a hang or an
exhausted memory there is that frame's `PixelDataInvalid` alone, and the worker is replaced. Native pixels and deflated
frames need no such code and are decoded where they are.
"""

from __future__ import annotations

import asyncio
import os
import queue
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from imaging.codecs.decode import check_decodable, decode_frame
from imaging.codecs.registry import codec_for
from imaging.codecs.worker_process import WorkerProcess
from imaging.dicom.pixel_description import PixelDescription
from imaging.errors import Unavailable

WORKER_COMMAND = (sys.executable, "-P", "-m", "imaging.codecs.worker")


@dataclass(frozen=True, slots=True)
class SandboxLimits:
    """What one frame may take."""

    wall_seconds: float = 30.0
    """From sending the frame to having its samples, besides what `seconds_per_mib` adds."""
    cpu_seconds: float = 30.0
    """Processor time, likewise; a decoder that spins is killed by the kernel even if nobody watches."""
    seconds_per_mib: float = 0.5
    """Added to both for each MiB of the decoded frame; the slowest codec, JPEG 2000, takes 0.07 s."""
    memory_bytes: int = 8 << 30
    """Address space on top of an idle worker, at most; a frame gets 256 MiB and 12 times its decoded size."""


class DecodePool:
    """Decodes frames in up to `workers` child processes, started when first needed.

    Usable from a coroutine (`decode`) and from any thread (`decode_blocking`) at the same time.
    """

    def __init__(
        self,
        workers: int | None = None,
        *,
        limits: SandboxLimits | None = None,
        worker_command: Sequence[str] = WORKER_COMMAND,
    ) -> None:
        """
        Parameters
        ----------
        workers
            Processes at most; by default one for each processor.
        worker_command
            How a worker is started; the socket's descriptor and our process id are appended.
        """
        self._count = workers or os.cpu_count() or 1
        self._limits = limits or SandboxLimits()
        self._command = tuple(worker_command)
        # Last in, first out: few frames at a time keep few workers warm.
        self._idle: queue.LifoQueue[WorkerProcess | None] = queue.LifoQueue()
        for _ in range(self._count):
            self._idle.put(None)
        self._executor = ThreadPoolExecutor(self._count, thread_name_prefix="decode")
        # PR_SET_PDEATHSIG fires when the *thread* that started the child ends, so one thread, which lives as long as
        # the pool, starts them all.
        self._spawner = ThreadPoolExecutor(1, thread_name_prefix="decode-spawn")
        self._closed = threading.Event()

    @property
    def workers(self) -> int:
        """Processes at most."""
        return self._count

    @property
    def busy(self) -> int:
        """Processes that decode just now."""
        return self._count - self._idle.qsize()

    async def decode(
        self,
        frame_bytes: bytes | bytearray | memoryview,
        transfer_syntax_uid: str,
        pixels: PixelDescription,
        *,
        bit_offset: int = 0,
        swapped_words: bool = False,
        resolution_level: int = 0,
    ) -> NDArray[Any]:
        """The stored values of one frame, as `imaging.codecs.decode.decode_frame` gives them.

        Raises
        ------
        PixelDataInvalid
            Also if the worker crashed, hung or ran out of memory over this frame.
        UnsupportedTransferSyntax
            If no codec decodes that transfer syntax.
        Unavailable
            If the pool is closed, or no worker can be started.
        """
        self._refuse_if_closed()
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(
            self._executor,
            lambda: self.decode_blocking(
                frame_bytes,
                transfer_syntax_uid,
                pixels,
                bit_offset=bit_offset,
                swapped_words=swapped_words,
                resolution_level=resolution_level,
            ),
        )

    def decode_blocking(
        self,
        frame_bytes: bytes | bytearray | memoryview,
        transfer_syntax_uid: str,
        pixels: PixelDescription,
        *,
        bit_offset: int = 0,
        swapped_words: bool = False,
        resolution_level: int = 0,
    ) -> NDArray[Any]:
        """As `decode`, for a thread that may wait; not for an event loop."""
        self._refuse_if_closed()
        codec = codec_for(transfer_syntax_uid)
        if not codec.is_foreign:
            return decode_frame(
                frame_bytes, transfer_syntax_uid, pixels, bit_offset=bit_offset, swapped_words=swapped_words
            )
        check_decodable(pixels)  # what is impossible needs no worker
        worker = self._idle.get()
        try:
            self._refuse_if_closed()  # it may have been closed while we waited
            if worker is None or not worker.is_alive:
                if worker is not None:
                    worker.kill()
                worker = None  # if the start fails, an empty place goes back
                worker = self._spawn()
            for_size = self._limits.seconds_per_mib * pixels.decoded_frame_bytes / (1 << 20)
            return worker.decode(
                frame_bytes,
                transfer_syntax_uid,
                pixels,
                resolution_level=resolution_level,
                wall_seconds=self._limits.wall_seconds + for_size,
                cpu_seconds=self._limits.cpu_seconds + for_size,
                memory_bytes=self._limits.memory_bytes,
            )
        finally:
            if worker is not None and (self._closed.is_set() or not worker.is_alive):
                worker.kill()
                worker = None
            self._idle.put(worker)

    async def close(self) -> None:
        """End all workers; frames in work are waited for, at most their wall time."""
        await asyncio.to_thread(self.close_blocking)

    def close_blocking(self) -> None:
        """As `close`, for a thread that may wait."""
        if self._closed.is_set():
            return
        self._closed.set()
        for _ in range(self._count):
            worker = self._idle.get()
            if worker is not None:
                worker.kill()
        for _ in range(self._count):
            self._idle.put(None)
        self._executor.shutdown()
        self._spawner.shutdown()

    def __enter__(self) -> DecodePool:
        return self

    def __exit__(self, *_: object) -> None:
        self.close_blocking()

    async def __aenter__(self) -> DecodePool:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def _spawn(self) -> WorkerProcess:
        try:
            return self._spawner.submit(WorkerProcess, self._command).result()
        except (OSError, RuntimeError) as error:
            raise Unavailable(
                f"No decoding worker can be started: {error}",
                where="imaging.codecs.sandbox",
                hint="Check the limits of processes, memory and open files of the service.",
            ) from error

    def _refuse_if_closed(self) -> None:
        if self._closed.is_set():
            raise Unavailable(
                "The decoding pool is closed", where="imaging.codecs.sandbox", hint="The service is stopping."
            )
