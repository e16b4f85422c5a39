"""Frames that come from storage over the event loop, for a model that runs in a thread."""

from __future__ import annotations

import asyncio
import concurrent.futures
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence

from analysis_svc.frame_values import image_frame, series_attributes, series_units
from analysis_svc.model import ImageFrame
from imaging.client.frame import Frame
from imaging.client.storage import InstanceHeader, Selection, StorageClient
from imaging.errors import Cancelled, PixelDataInvalid


class FrameFeed:
    """`analysis_svc.model.Frames`: each step in the thread asks the event loop for one frame, so none piles up.

    Parameters
    ----------
    headers
        Of the instances, at least one.
    storage
        Where their frames come from.
    loop
        That of the client; iterate from another thread.
    """

    def __init__(
        self, headers: Sequence[InstanceHeader], storage: StorageClient, loop: asyncio.AbstractEventLoop
    ) -> None:
        self._datasets = {item.instance.sop_instance_uid: item.dataset for item in headers}
        selections = [Selection(instance=item.instance.name) for item in headers]
        self._frames: AsyncGenerator[Frame] = storage.read_frames(selections=selections)
        self._loop = loop
        self._reading = asyncio.Lock()
        self._is_closed = False
        self._pending: concurrent.futures.Future[Frame | None] | None = None
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
            self._pending = asyncio.run_coroutine_threadsafe(self._next(), self._loop)
            try:
                frame = self._pending.result()
            except concurrent.futures.CancelledError as error:
                raise Cancelled("The reading of frames was ended", hint="Send the request again.") from error
            if frame is None:
                return
            dataset = self._datasets.get(frame.sop_instance_uid)
            if dataset is None:
                raise PixelDataInvalid("A frame came that has no header", where=frame.instance, hint="Try again.")
            yield image_frame(frame.pixels, dataset, frame.frame_number)

    async def close(self) -> None:
        """End the reading, also while the thread waits for a frame; to be called on the event loop."""
        self._is_closed = True
        if self._pending is not None:
            self._pending.cancel()
        async with self._reading:
            await self._frames.aclose()

    async def _next(self) -> Frame | None:
        async with self._reading:
            return None if self._is_closed else await anext(self._frames, None)
