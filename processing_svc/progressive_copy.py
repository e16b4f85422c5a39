"""A copy of a series in HTJ2K Lossless RPCL (PS3.5 A.4.11): the same stored values, of which viewers can ask a prefix.

Every frame that was encoded is decoded again and compared before its instance is stored. The copy has UIDs of its own,
since the same UID stands for the same bytes to those who keep the original, which stays as it is.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from datetime import UTC
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from opentelemetry import trace
from pydicom.dataset import Dataset

from imaging.client.frame import Frame, description_of
from imaging.client.headers import InstanceHeader
from imaging.client.storage import Selection, StorageClient
from imaging.codecs.decode import decode_frame
from imaging.codecs.reencode import reencoded
from imaging.derived.derivation import Algorithm
from imaging.derived.derived_series import derived_series_uid
from imaging.dicom.header_value import first_number, text
from imaging.dicom.pixel_description import PixelDescription
from imaging.dicom.transfer_syntax import HTJ2K_LOSSLESS_RPCL, PixelFamily, transfer_syntax
from imaging.errors import Internal, InvalidArgument, VolumeRefused
from imaging.gate.check import Outgoing
from imaging.processing.v1 import processing_service_pb2
from imaging.work import Report
from imaging.work.derived_output import derived_origin, store_derived
from imaging.work.input_digest import digest_of
from imaging.work.ordered_answers import ordered_answers
from imaging.work.refusal import refusal_of
from processing_svc.recoded_instance import RecodedSeries
from processing_svc.steps.progressive_htj2k import ProgressiveHtj2k

Result = processing_service_pb2.ProcessSeriesResponse.Result
Encoded = tuple[PixelDescription, bytes]

_AHEAD: Final = 2 * (os.cpu_count() or 1)
"""Frames in work: enough to keep every processor busy."""

_NOT_PIXELS: Final = frozenset({PixelFamily.MPEG, PixelFamily.REFERENCED})
_CONVERTED: Final = ("YBR_FULL", "YBR_PARTIAL")
_OVERLAY_GROUPS: Final = range(0x6000, 0x6020, 2)
_tracer = trace.get_tracer("processing_svc")


async def progressive_copy(
    storage: StorageClient,
    step: ProgressiveHtj2k,
    algorithm: Algorithm,
    request: processing_service_pb2.ProcessSeriesRequest,
    report: Report,
) -> Result:
    """The copied series, stored; or the reason why it gets no copy. Memory: some frames, and one encoded instance.

    Raises
    ------
    NotFound
        No such series.
    Internal
        If a frame does not decode to what was encoded; its instance is not stored.
    """
    wanted = list(request.sop_instance_uids)
    images = [item for item in await storage.read_headers(request.series, wanted) if item.instance.number_of_frames > 0]
    try:
        _check(images)
    except VolumeRefused as refused:
        return Result(algorithm=f"{step.name} {step.version}", refusals=[refusal_of(step.name, refused)])
    uid_parts = ["process", digest_of(item.instance for item in images), algorithm.text]
    copies = RecodedSeries(algorithm, uid_parts, request.context.effective_time.ToDatetime(UTC))

    with _tracer.start_as_current_span(f"step {step.name}"):
        async with aclosing(_contents(storage, images, copies, report)) as contents:
            stored = await store_derived(storage, contents, derived_origin(request.context), source="processing")
    study = request.series.partition("/series/")[0]
    return Result(
        series=f"{study}/series/{derived_series_uid(uid_parts)}",
        instances=[instance.name for instance in stored.instances],
        algorithm=f"{step.name} {step.version}",
        checks=stored.checks,
    )


def encoded_and_verified(samples: NDArray[Any], pixels: PixelDescription) -> Encoded:
    """The description and bytes of a frame in HTJ2K Lossless RPCL, which were decoded again to prove them. Blocks.

    Raises
    ------
    UnsupportedTransferSyntax
        If the samples do not fit into it.
    Internal
        If they do not come back bit for bit.
    """
    described, content = reencoded(samples, pixels, HTJ2K_LOSSLESS_RPCL)
    back = decode_frame(content, HTJ2K_LOSSLESS_RPCL, described)
    if back.dtype != samples.dtype or not np.array_equal(back, samples):
        raise Internal("A frame did not decode to the pixels that were encoded", where="HTJ2K encoder")
    return described, content


def _check(images: Sequence[InstanceHeader]) -> None:
    """Pass if all can be copied: half a series would be worse than none."""
    if not images:
        raise VolumeRefused("The series has no images to copy", hint="Choose a series of images.")
    for item in images:
        if why_not := _why_not(item):
            rule, reason = why_not
            raise VolumeRefused(
                reason, where=item.instance.name, hint="The original stays as it is.", metadata={"rule": rule}
            )


def _why_not(item: InstanceHeader) -> tuple[str, str] | None:
    """Rule and reason why there is no true copy of an image, or that it would be of no use."""
    syntax = transfer_syntax(item.instance.transfer_syntax_uid)
    bits, bits_stored, high_bit = (
        first_number(item.dataset, name) for name in ("BitsAllocated", "BitsStored", "HighBit")
    )
    if syntax.uid == HTJ2K_LOSSLESS_RPCL:
        return "ALREADY_PROGRESSIVE", "It is in HTJ2K Lossless RPCL already"
    if syntax.family in _NOT_PIXELS or not syntax.lossless:
        return "LOSSY_SOURCE", f"A copy without loss of {syntax.name} would only be larger"
    if any(warning.startswith("HEADER_SHORTENED") for warning in item.instance.warnings):
        return "HEADER_TOO_LARGE", "Its header is over 4 MiB, so that the copy would lack the largest attributes"
    if bits not in (8, 16):
        return "BITS_ALLOCATED", f"Samples of {bits or 0:g} bits do not fit into HTJ2K as it is written"
    if text(item.dataset, "PhotometricInterpretation").startswith(_CONVERTED):
        return "COLOUR_CONVERSION", "Its YCbCr would become RGB, which rounds"
    if high_bit is not None and bits_stored is not None and high_bit != bits_stored - 1:
        return (
            "HIGH_BIT",
            f"Its values end at bit {high_bit:g} and not, as others read them, at bit {bits_stored - 1:g}",
        )
    if _has_overlay_in_pixels(item.dataset):
        return "OVERLAY_IN_PIXELS", "Unused bits of its pixels hold an overlay, which HTJ2K does not keep"
    return None


def _has_overlay_in_pixels(dataset: Dataset) -> bool:
    """True if a group 60xx tells a bit and brings no Overlay Data (60xx,3000): retired, PS3.5 8.1.2."""
    return any((group, 0x0102) in dataset and (group, 0x3000) not in dataset for group in _OVERLAY_GROUPS)


async def _contents(
    storage: StorageClient, images: Sequence[InstanceHeader], copies: RecodedSeries, report: Report
) -> AsyncGenerator[Outgoing]:
    """Each copied instance, in order."""

    async def encoded(frame: Frame) -> Encoded:
        return await asyncio.to_thread(_of_frame, frame)

    async def copied(image: tuple[InstanceHeader, list[Encoded]]) -> Outgoing:
        item, frames = image
        return Outgoing(await asyncio.to_thread(copies.instance, item, frames), copy_of=item.dataset)

    selections = [Selection(instance=item.instance.name) for item in images]
    side_by_side = _AHEAD if all(item.instance.number_of_frames == 1 for item in images) else 1
    async with (
        aclosing(storage.read_frames(selections=selections)) as frames,
        aclosing(ordered_answers(frames, encoded, most=_AHEAD)) as encodings,
        aclosing(_of_instances(images, encodings, report)) as gathered,
        aclosing(ordered_answers(gathered, copied, most=side_by_side)) as contents,
    ):
        async for content in contents:
            yield content


async def _of_instances(
    images: Sequence[InstanceHeader], encodings: AsyncIterator[Encoded], report: Report
) -> AsyncGenerator[tuple[InstanceHeader, list[Encoded]]]:
    """The images, each with all of its frames."""
    total = sum(item.instance.number_of_frames for item in images)
    done = 0
    for item in images:
        frames: list[Encoded] = []
        while len(frames) < item.instance.number_of_frames:
            frames.append(await anext(encodings))
            done += 1
            report(done, total, "frames", "encoding, verifying and storing")
        yield item, frames


def _of_frame(frame: Frame) -> Encoded:
    try:
        return encoded_and_verified(frame.pixels, description_of(frame.header))
    except InvalidArgument as error:
        error.where = f"{frame.instance} frame {frame.frame_number}"
        raise
