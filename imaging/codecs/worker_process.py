"""The service's side of one decoding worker."""

from __future__ import annotations

import signal
import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imaging.codecs.child_process import ChildProcess
from imaging.codecs.decode import frame_shape
from imaging.codecs.resolution_levels import at_level
from imaging.codecs.sample_type import sample_type
from imaging.codecs.worker_wire import (
    WireBroken,
    description_to_json,
    receive_header,
    receive_into,
    send_message,
)
from imaging.dicom.pixel_description import PixelDescription
from imaging.errors import InvalidDicom, PixelDataInvalid, UnsupportedTransferSyntax

_REFUSALS: dict[str, type[InvalidDicom]] = {kind.reason: kind for kind in (PixelDataInvalid, UnsupportedTransferSyntax)}


class WorkerProcess(ChildProcess):
    """One running decoding worker."""

    def decode(
        self,
        frame_bytes: bytes | bytearray | memoryview,
        transfer_syntax_uid: str,
        pixels: PixelDescription,
        *,
        resolution_level: int,
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
            "resolution_level": resolution_level,
        }
        try:
            send_message(self.connection, request, frame_bytes, deadline)
            answer, size = receive_header(self.connection, deadline)
            if "reason" in answer and size == 0:
                raise _refusal(answer)
            samples = _expected_array(answer, size, at_level(pixels, resolution_level))
            receive_into(self.connection, samples.data.cast("B"), deadline)
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

    def _died(self, error: Exception) -> PixelDataInvalid:
        ending = self.ending(error)
        hint = "The pixel data is damaged, or made to break the decoder; other frames are not concerned."
        if self.returncode == -signal.SIGXCPU:
            hint = "It used up the processor time that a frame may take. " + hint
        return PixelDataInvalid(f"The decoder {ending} over this frame", where="Pixel Data (7FE0,0010)", hint=hint)


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
