"""Frames that come from storage over the event loop, for a model that runs in a thread."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence

from analysis_svc.frame_values import image_frame, series_attributes, series_units
from analysis_svc.model import ImageFrame
from imaging.client.storage import Frame, InstanceHeader
from imaging.errors import PixelDataInvalid


class FrameFeed:
    """`analysis_svc.model.Frames`: each step in the thread asks the event loop for one frame, so none piles up.

    Parameters
    ----------
    headers
        Of the instances, at least one.
    frames
        Their frames.
    loop
        On which `frames` runs; iterate from another thread.
    """

    def __init__(
        self, headers: Sequence[InstanceHeader], frames: AsyncIterator[Frame], loop: asyncio.AbstractEventLoop
    ) -> None:
        self._datasets = {item.instance.sop_instance_uid: item.dataset for item in headers}
        self._frames = frames
        self._loop = loop
        first = headers[0].dataset
        self._count = sum(max(1, item.instance.number_of_frames) for item in headers)
        self._modality = str(first.get("Modality", "") or "")
        self._units = series_units(first)
        self._attributes = series_attributes(first)
        self._is_colour = int(first.get("SamplesPerPixel", 1) or 1) > 1 or (
            str(first.get("PhotometricInterpretation", "")).strip() == "PALETTE COLOR"
        )

    @property
    def frame_count(self) -> int:
        """How many frames will come."""
        return self._count

    @property
    def modality(self) -> str:
        """(0008,0060)."""
        return self._modality

    @property
    def units(self) -> str:
        """UCUM unit of a pixel value."""
        return self._units

    @property
    def is_colour(self) -> bool:
        """True if the stored pixels have colour."""
        return self._is_colour

    @property
    def attributes(self) -> Mapping[str, str]:
        """Facts from the first header by DICOM keyword."""
        return self._attributes

    def __iter__(self) -> Iterator[ImageFrame]:
        while True:
            frame = asyncio.run_coroutine_threadsafe(self._next(), self._loop).result()
            if frame is None:
                return
            dataset = self._datasets.get(frame.sop_instance_uid)
            if dataset is None:
                raise PixelDataInvalid("A frame came that has no header", where=frame.instance, hint="Try again.")
            yield image_frame(frame.pixels, dataset, frame.frame_number)

    async def _next(self) -> Frame | None:
        return await anext(self._frames, None)
