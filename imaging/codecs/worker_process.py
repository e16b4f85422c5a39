"""The service's side of one decoding worker."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import imaging
from imaging.codecs.decode import frame_shape
from imaging.codecs.sample_type import sample_type
from imaging.codecs.worker_wire import (
    WireBroken,
    WireClosed,
    description_to_json,
    receive_header,
    receive_into,
    send_message,
)
from imaging.dicom.pixel_description import PixelDescription
from imaging.errors import InvalidDicom, PixelDataInvalid, UnsupportedTransferSyntax

_KEPT_VARIABLES = ("PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "TMPDIR", "VIRTUAL_ENV")
_REFUSALS: dict[str, type[InvalidDicom]] = {kind.reason: kind for kind in (PixelDataInvalid, UnsupportedTransferSyntax)}


START_SECONDS = 60.0
"""How long a worker may take to be ready: 0.3 s, and more on a machine that is busy."""


class WorkerProcess:
    """One running worker: a fresh interpreter, a socket to it, and nothing of our environment but paths."""

    def __init__(self, command: Sequence[str]) -> None:
        """Start it and wait until it is ready.

        Raises
        ------
        OSError
            If the system starts no process.
        RuntimeError
            If the process ended, or is not ready in `START_SECONDS`.
        """
        ours, theirs = socket.socketpair()
        try:
            self._process = subprocess.Popen(
                [*command, str(theirs.fileno()), str(os.getpid())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                close_fds=True,
                env=_environment(),
                start_new_session=True,  # Ctrl-C in a terminal is the service's to handle
            )
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        self._connection = ours
        try:
            receive_header(ours, time.monotonic() + START_SECONDS)
        except (WireBroken, OSError) as error:
            raise RuntimeError(f"a new worker {self._ending(error)}") from None

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        """Whether it still runs and can be given a frame."""
        return self._connection.fileno() >= 0 and self._process.poll() is None

    def decode(
        self,
        frame_bytes: bytes | bytearray | memoryview,
        transfer_syntax_uid: str,
        pixels: PixelDescription,
        *,
        wall_seconds: float,
        cpu_seconds: float,
        memory_bytes: int,
    ) -> NDArray[Any]:
        """The stored values of one frame; after any trouble but a refusal the worker is dead.

        Raises
        ------
        PixelDataInvalid
            If the worker refused the frame, or did not survive it.
        UnsupportedTransferSyntax
            If no codec decodes that transfer syntax.
        """
        deadline = time.monotonic() + wall_seconds
        request = {
            "transfer_syntax_uid": transfer_syntax_uid,
            "pixels": description_to_json(pixels),
            "memory_limit_bytes": memory_bytes,
            "cpu_limit_seconds": cpu_seconds,
        }
        try:
            send_message(self._connection, request, frame_bytes, deadline)
            answer, size = receive_header(self._connection, deadline)
            if "reason" in answer and size == 0:
                raise _refusal(answer)
            samples = _expected_array(answer, size, pixels)
            receive_into(self._connection, samples.data.cast("B"), deadline)
        except TimeoutError:
            self.kill()
            raise PixelDataInvalid(
                f"Decoding the frame took longer than {wall_seconds:.1f} s",
                where="Pixel Data (7FE0,0010)",
                hint="The decoder was stopped; the pixel data is damaged, or made to exhaust it.",
            ) from None
        except (WireBroken, OSError) as error:
            raise self._died(error) from None
        except KeyboardInterrupt:
            self.kill()
            raise
        return samples

    def kill(self) -> None:
        """End the process at once and let go of it."""
        self._connection.close()
        self._process.kill()
        self._process.wait()

    def _died(self, error: Exception) -> PixelDataInvalid:
        ending = self._ending(error)
        hint = "The pixel data is damaged, or made to break the decoder; other frames are not concerned."
        if self._process.returncode == -signal.SIGXCPU:
            hint = "It used up the processor time that a frame may take. " + hint
        return PixelDataInvalid(f"The decoder {ending} over this frame", where="Pixel Data (7FE0,0010)", hint=hint)

    def _ending(self, error: Exception) -> str:
        """How the process ended, in words; if it did not, it is ended now."""
        if not isinstance(error, WireClosed | ConnectionError):
            self.kill()
            return f"answered nonsense ({error})" if isinstance(error, WireBroken) else "does not answer"
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=2)  # a dying process closes its socket a moment before it can be waited for
        code = self._process.poll()
        self.kill()
        if code is None:
            return "closed its socket"
        return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"


def _expected_array(answer: dict[str, Any], size: int, pixels: PixelDescription) -> NDArray[Any]:
    """Room for the samples; a worker that was taken over cannot make us allocate anything else."""
    samples = np.empty(frame_shape(pixels), sample_type(pixels))
    if answer.get("type") != samples.dtype.str:
        raise WireBroken("another sample type")
    if tuple(answer.get("shape", ())) != samples.shape or size != samples.nbytes:
        raise WireBroken("another size")
    return samples


def _refusal(answer: dict[str, Any]) -> InvalidDicom:
    kind = _REFUSALS.get(str(answer["reason"]), PixelDataInvalid)
    return kind(
        str(answer.get("what", "")),
        where=str(answer.get("where", "")),
        hint=str(answer.get("hint", "")),
        metadata={str(key): str(value) for key, value in dict(answer.get("metadata", {})).items()},
    )


def _environment() -> dict[str, str]:
    """Paths only: no token, key or address of the service may be read out of a broken worker."""
    environment = {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ}
    root = Path(next(iter(imaging.__path__))).parent
    environment["PYTHONPATH"] = str(root)
    environment["PYTHONDONTWRITEBYTECODE"] = "1"
    # One thread a worker: the pool is the parallelism, and thread stacks would count as address space.
    environment.update(OPENBLAS_NUM_THREADS="1", OMP_NUM_THREADS="1", OPJ_NUM_THREADS="1")
    return environment
