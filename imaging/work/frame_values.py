"""Frames that travel by themselves: arrays in, messages out, and back."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from imaging.analysis.v1.analysis_service_pb2 import AnalyzeFramesRequest
from imaging.errors import InvalidArgument, LimitExceeded
from imaging.processing.v1.processing_service_pb2 import ProcessFramesRequest
from imaging.stage.v1.stage_pb2 import FrameValues

PART_BYTES: Final = 3_500_000
"""Of a message; larger frames go in parts."""

MOST_BYTES: Final = 64 << 20
"""Of a frame."""

LEAST_SPACING_MM: Final = 1e-3
MOST_SPACING_MM: Final = 1e3
"""Steps take radii in millimetres: a finer spacing would make them as many pixels as nobody has time or memory for."""

_TYPES: Final[dict[int, np.dtype[Any]]] = {
    FrameValues.SAMPLE_TYPE_INT16: np.dtype("<i2"),
    FrameValues.SAMPLE_TYPE_FLOAT32: np.dtype("<f4"),
}
Values = NDArray[np.int16] | NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class LooseFrame:
    """A frame outside of any series."""

    frame_id: int
    values: Values
    """Shape (rows, columns)."""

    spacing_mm: tuple[float, float] = (1.0, 1.0)
    """Of rows, and of columns."""


@dataclass(frozen=True, slots=True)
class BrokenFrame:
    """A frame that cannot be made of its messages."""

    frame_id: int
    error: InvalidArgument


class LooseFrameAssembly:
    """Puts the messages of one frame after the other together; holds one frame at most."""

    def __init__(self) -> None:
        self._frame_id = 0
        self._first: FrameValues | None = None
        self._content = bytearray()
        self._size = 0
        self._broken_id: int | None = None

    def add(self, frame_id: int, values: FrameValues) -> LooseFrame | BrokenFrame | None:
        """The frame, when this message makes it whole; one that cannot be is told once, its other parts passed over.

        Raises
        ------
        InvalidArgument
            If the message does not belong to the frame that is not yet whole.
        """
        if self._first is None:
            if frame_id == self._broken_id and not (values.rows or values.columns):
                return None
            self._broken_id = None
            try:
                self._size = _checked_size(values)
            except InvalidArgument as error:
                return self._broken(frame_id, error)
            self._frame_id, self._first, self._content = frame_id, values, bytearray()
        elif frame_id != self._frame_id or values.rows or values.columns:
            raise InvalidArgument(
                f"Frame {self._frame_id} is not whole yet",
                where="values",
                hint=f"Send the rest of its {self._size} bytes first, with its frame_id and `content` alone.",
            )
        self._content += values.content
        if len(self._content) < self._size:
            if not values.content:
                raise InvalidArgument("A part of a frame without bytes", where="values.content", hint="Send bytes.")
            return None
        first, content = self._first, bytes(self._content)
        self._first = None
        if len(content) > self._size:
            return self._broken(
                frame_id,
                InvalidArgument(
                    f"{len(content)} bytes came for a frame of {self._size}",
                    where="values.content",
                    hint="It is rows x columns values of the sample type.",
                ),
            )
        array = np.frombuffer(content, _TYPES[first.sample_type]).reshape(first.rows, first.columns)
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            return self._broken(
                frame_id,
                InvalidArgument("A value is not a finite number", where="values.content", hint="Send finite numbers."),
            )
        return LooseFrame(frame_id, array, (first.row_spacing_mm or 1.0, first.column_spacing_mm or 1.0))

    def finish(self) -> None:
        """Pass if no frame is left half-way.

        Raises
        ------
        InvalidArgument
            If the stream ended in a frame.
        """
        if self._first is not None:
            raise InvalidArgument(
                f"The stream ended in frame {self._frame_id}", where="values.content", hint="Send all of its bytes."
            )

    def _broken(self, frame_id: int, error: InvalidArgument) -> BrokenFrame:
        self._broken_id = frame_id
        return BrokenFrame(frame_id, error)


async def frames_after_setup(
    requests: AsyncIterator[ProcessFramesRequest] | AsyncIterator[AnalyzeFramesRequest],
) -> AsyncGenerator[LooseFrame | BrokenFrame]:
    """The frames of a stream, each when it is whole.

    Raises
    ------
    InvalidArgument
        If messages are out of order, or the stream ends in a frame.
    """
    assembly = LooseFrameAssembly()
    async for request in requests:
        if request.HasField("setup"):
            raise InvalidArgument("A second setup", where="setup", hint="Open another stream for it.")
        frame = assembly.add(request.frame_id, request.values)
        if frame is not None:
            yield frame
    assembly.finish()


def frame_parts(values: NDArray[Any], spacing_mm: tuple[float, float] = (1.0, 1.0)) -> Iterator[FrameValues]:
    """The messages of a frame: int16 as it is, all else as float32.

    Parameters
    ----------
    values
        Shape (rows, columns).
    """
    whole = values.dtype == np.int16
    kind = FrameValues.SAMPLE_TYPE_INT16 if whole else FrameValues.SAMPLE_TYPE_FLOAT32
    content = np.ascontiguousarray(values, dtype=_TYPES[kind]).tobytes()
    yield FrameValues(
        rows=values.shape[0],
        columns=values.shape[1],
        sample_type=kind,
        row_spacing_mm=spacing_mm[0],
        column_spacing_mm=spacing_mm[1],
        content=content[:PART_BYTES],
    )
    for start in range(PART_BYTES, len(content), PART_BYTES):
        yield FrameValues(content=content[start : start + PART_BYTES])


def _checked_size(values: FrameValues) -> int:
    kind = _TYPES.get(values.sample_type)
    if kind is None:
        raise InvalidArgument(
            "The sample type is not known", where="values.sample_type", hint="INT16 and FLOAT32 are taken."
        )
    if values.rows < 1 or values.columns < 1:
        raise InvalidArgument(
            f"A frame of {values.rows} rows and {values.columns} columns",
            where="values.rows",
            hint="Give both in the first message of a frame.",
        )
    for spacing in (values.row_spacing_mm, values.column_spacing_mm):
        if spacing != 0 and not LEAST_SPACING_MM <= spacing <= MOST_SPACING_MM:
            raise InvalidArgument(
                f"A spacing of {spacing:g} mm",
                where="values.row_spacing_mm",
                hint=f"Give {LEAST_SPACING_MM:g} to {MOST_SPACING_MM:g} millimetres, or nothing.",
            )
    size = values.rows * values.columns * kind.itemsize
    if size > MOST_BYTES:
        raise LimitExceeded(
            f"A frame of {size} bytes", where="values.rows", hint=f"At most {MOST_BYTES} bytes a frame are taken."
        )
    return size
