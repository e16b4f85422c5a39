"""Frames of the caller's own through a step and a model, by real services; errors are those of their frames alone."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from imaging.client.loose_frames import analyze_frames, process_frames
from imaging.errors import Internal, InvalidArgument, NotFound
from imaging.processing.v1 import processing_service_pb2 as pb
from imaging.processing.v1 import processing_service_pb2_grpc
from imaging.rpc.channel import open_channel
from imaging.rpc.status import domain_errors, from_status
from imaging.stage.v1.stage_pb2 import FrameValues
from imaging.volume.volume import Volume
from imaging.work.frame_values import frame_parts
from imaging.work.ordered_answers import ordered_answers
from processing_svc.process_frames import AT_A_TIME
from processing_svc.steps.unsharp_mask import UnsharpMask
from tests.installation.in_process import services_in_process

DOCS = Path(__file__).parents[2] / "docs" / "pixels.md"


@pytest.fixture
async def channels(tmp_path: Path) -> AsyncIterator[tuple[Any, Any]]:
    async with (
        services_in_process(tmp_path, "storage", "processing", "analysis") as settings,
        open_channel(settings.processing.address) as processing,
        open_channel(settings.analysis.address) as analysis,
    ):
        yield processing, analysis


def _frames(count: int, rows: int = 20, columns: int = 30) -> list[Any]:
    return [np.full((rows, columns), 10 * number, np.int16) for number in range(count)]


async def test_frames_come_back_in_order_after_the_step(channels: Any) -> None:
    window = {"centre": 50, "width": 100}
    found = [frame async for frame in process_frames(channels[0], _frames(11), "window", window, (1.0, 1.0))]
    assert [frame.index for frame in found] == list(range(11))
    assert all(frame.values is not None and frame.values.shape == (20, 30) for frame in found)
    levels = [int(frame.values[0, 0]) for frame in found if frame.values is not None]
    assert levels == sorted(levels)
    assert (levels[0], levels[-1]) == (0, 255)


async def test_a_frame_larger_than_a_message_goes_in_parts(channels: Any) -> None:
    large = np.random.default_rng(0).normal(0, 100, (1500, 1600)).astype(np.float32)
    (found,) = [
        frame async for frame in process_frames(channels[0], [large], "unsharp-mask", {"radius_mm": 0.05}, (5.0, 5.0))
    ]
    assert found.values is not None
    assert np.allclose(found.values, large, atol=1e-3)


async def test_an_answer_comes_before_the_next_frame_is_asked_for(channels: Any) -> None:
    answered = asyncio.Event()

    async def frames() -> AsyncIterator[Any]:
        yield _frames(1)[0]
        await asyncio.wait_for(answered.wait(), 60)
        yield _frames(1)[0]

    count = 0
    async for _ in process_frames(channels[0], frames(), "window", {}, (1.0, 1.0)):
        answered.set()
        count += 1
    assert count == 2


async def test_a_bad_frame_costs_only_itself(channels: Any) -> None:
    good = list(frame_parts(_frames(1)[0]))
    bad = [
        FrameValues(rows=2, columns=2, content=b"12345678"),
        FrameValues(rows=2, columns=2, sample_type=FrameValues.SAMPLE_TYPE_INT16, content=b"123456789"),
        FrameValues(rows=0, columns=2, sample_type=FrameValues.SAMPLE_TYPE_INT16, content=b"12"),
        FrameValues(rows=1 << 20, columns=1 << 20, sample_type=FrameValues.SAMPLE_TYPE_INT16, content=b"12"),
        FrameValues(rows=1, columns=1, sample_type=FrameValues.SAMPLE_TYPE_FLOAT32, content=b"\0\0\xc0\x7f"),
    ]
    requests = [pb.ProcessFramesRequest(setup=pb.ProcessFramesRequest.Setup(step="window"))]
    for number, values in enumerate([*good, *bad, *good]):
        requests.append(pb.ProcessFramesRequest(frame_id=number, values=values))
    stub = processing_service_pb2_grpc.ProcessingServiceStub(channels[0])
    answers = [answer async for answer in stub.ProcessFrames(iter(requests))]
    assert [answer.frame_id for answer in answers] == list(range(7))
    assert [answer.HasField("error") for answer in answers] == [False, *[True] * 5, False]
    told = [from_status(answer.error) for answer in answers[1:-1]]
    assert all(isinstance(error, InvalidArgument) and error.hint for error in told)
    assert [error.where for error in told] == [
        "values.sample_type",
        "values.content",
        "values.rows",
        "values.rows",
        "values.content",
    ]


async def test_a_refused_frame_is_told_once_however_many_parts_follow(channels: Any) -> None:
    good = next(iter(frame_parts(_frames(1)[0])))
    frames = [
        (1, FrameValues(rows=2, columns=2, content=b"1")),
        (1, FrameValues(content=b"234")),
        (1, FrameValues(content=b"5678")),
        (2, good),
        (3, FrameValues(rows=1, columns=1, sample_type=FrameValues.SAMPLE_TYPE_INT16, content=b"123")),
        (3, FrameValues(content=b"4")),
        (3, good),
    ]
    requests = [pb.ProcessFramesRequest(setup=pb.ProcessFramesRequest.Setup(step="window"))]
    requests += [pb.ProcessFramesRequest(frame_id=number, values=values) for number, values in frames]
    stub = processing_service_pb2_grpc.ProcessingServiceStub(channels[0])
    answers = [answer async for answer in stub.ProcessFrames(iter(requests))]
    assert [(answer.frame_id, answer.HasField("error")) for answer in answers] == [
        (1, True),
        (2, False),
        (3, True),
        (3, False),
    ]


async def test_a_spacing_that_would_make_a_radius_endless_is_refused(channels: Any) -> None:
    for spacing_mm in ((1e-8, 1.0), (1.0, 9e-4), (-1.0, 1.0), (1.0, float("nan"))):
        (found,) = [frame async for frame in process_frames(channels[0], _frames(1), "unsharp-mask", {}, spacing_mm)]
        assert isinstance(found.error, InvalidArgument)
        assert "spacing" in found.error.what
        assert "0.001" in found.error.hint


async def test_a_value_beyond_32_bits_is_an_error_of_its_frame_alone(channels: Any) -> None:
    steep = np.zeros((8, 8), np.float32)
    steep[4, 4] = np.finfo(np.float32).max
    flat = np.ones((8, 8), np.float32)
    found = [
        frame async for frame in process_frames(channels[0], [steep, flat], "unsharp-mask", {"amount": 20}, (1.0, 1.0))
    ]
    assert [frame.index for frame in found] == [0, 1]
    assert isinstance(found[0].error, InvalidArgument)
    assert "32 bits" in found[0].error.what
    assert found[1].error is None


async def test_what_a_step_raises_unforeseen_is_an_error_of_its_frame_alone(
    channels: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = UnsharpMask.apply

    def greedy(step: UnsharpMask, volume: Volume, *rest: Any) -> Volume:
        if volume.voxels.max() == 10:
            raise MemoryError
        return whole(step, volume, *rest)

    monkeypatch.setattr(UnsharpMask, "apply", greedy)
    found = [frame async for frame in process_frames(channels[0], _frames(3), "unsharp-mask", {}, (1.0, 1.0))]
    assert [frame.index for frame in found] == [0, 1, 2]
    assert [type(frame.error) for frame in found] == [type(None), Internal, type(None)]


async def _call(channel: Any, *requests: pb.ProcessFramesRequest) -> None:
    stub = processing_service_pb2_grpc.ProcessingServiceStub(channel)
    with domain_errors():
        _ = [answer async for answer in stub.ProcessFrames(iter(requests))]


async def test_streams_that_cannot_be_are_refused(channels: Any) -> None:
    def setup(step: str) -> pb.ProcessFramesRequest:
        return pb.ProcessFramesRequest(setup=pb.ProcessFramesRequest.Setup(step=step))

    whole = pb.ProcessFramesRequest(values=next(iter(frame_parts(_frames(1)[0]))))
    half = pb.ProcessFramesRequest()
    half.CopyFrom(whole)
    half.values.content = whole.values.content[:10]
    for kind, told, requests in (
        (InvalidArgument, "no step", ()),
        (InvalidArgument, "no step", (whole,)),
        (NotFound, "no processing step", (setup("sharpen"),)),
        (InvalidArgument, "more than one frame", (setup("slab-projection"),)),
        (InvalidArgument, "second setup", (setup("window"), setup("window"))),
        (InvalidArgument, "ended in frame", (setup("window"), half)),
        (InvalidArgument, "not whole", (setup("window"), half, whole)),
    ):
        with pytest.raises(kind, match=told):
            await _call(channels[0], *requests)


async def test_each_frame_is_measured(channels: Any) -> None:
    found = [
        frame
        async for frame in analyze_frames(
            channels[1],
            _frames(4),
            "image-statistics",
            {},
            (1.0, 1.0),
            modality="CT",
            units="[hnsf'U]",
            attributes={},
        )
    ]
    assert [frame.index for frame in found] == [0, 1, 2, 3]
    for number, frame in enumerate(found):
        assert frame.error is None
        means = [
            item.value for item in frame.findings if item.derivation is not None and item.derivation.meaning == "Mean"
        ]
        assert means == [10.0 * number]
        assert all(item.name == "" for item in frame.findings)


async def test_models_that_need_more_than_a_frame_are_refused(channels: Any) -> None:
    for model, kind in (("lung-emphysema", InvalidArgument), ("no-such-model", NotFound)):
        with pytest.raises(kind):
            _ = [
                frame
                async for frame in analyze_frames(
                    channels[1], _frames(1), model, {}, (1.0, 1.0), modality="CT", units="1", attributes={}
                )
            ]


async def test_what_the_frames_raise_is_told_instead_of_a_cancelled_call(channels: Any) -> None:
    async def broken() -> AsyncIterator[Any]:
        yield _frames(1)[0]
        raise OSError("the detector is away")

    for given, kind, told in (
        ([np.zeros((3, 4, 5), np.int16)], InvalidArgument, r"shape \(3, 4, 5\)"),
        ([np.zeros((3, 4), np.complex64)], InvalidArgument, "complex64"),
        (broken(), OSError, "the detector is away"),
    ):
        with pytest.raises(kind, match=told):
            _ = [frame async for frame in process_frames(channels[0], given, "window", {}, (1.0, 1.0))]
    with pytest.raises(InvalidArgument, match="shape"):
        _ = [
            frame
            async for frame in analyze_frames(
                channels[1],
                [np.zeros(3, np.int16)],
                "image-statistics",
                {},
                (1.0, 1.0),
                modality="",
                units="1",
                attributes={},
            )
        ]


async def test_no_more_is_asked_for_than_there_is_room_for() -> None:
    asked, done = 0, asyncio.Event()

    async def items() -> AsyncIterator[int]:
        nonlocal asked
        for number in range(20):
            asked += 1
            yield number

    async def answer(number: int) -> int:
        await done.wait()
        return number

    answers = ordered_answers(items(), answer, most=3)
    first = asyncio.ensure_future(anext(answers))
    for _ in range(50):
        await asyncio.sleep(0)
    assert asked == 3
    done.set()
    assert [await first, *[number async for number in answers]] == list(range(20))
    assert (os.cpu_count() or 1) >= AT_A_TIME


async def test_what_the_asked_raise_comes_after_the_answers_before_it() -> None:
    async def items() -> AsyncIterator[int]:
        yield 1
        raise InvalidArgument("no more")

    async def answer(number: int) -> int:
        await asyncio.sleep(0.01)
        return number

    answers = ordered_answers(items(), answer, most=2)
    assert await anext(answers) == 1
    with pytest.raises(InvalidArgument):
        await anext(answers)


async def test_the_example_of_the_docs_runs(tmp_path: Path) -> None:
    examples = re.findall(r"^```python\n(.*?)^```", DOCS.read_text(), re.MULTILINE | re.DOTALL)
    (example,) = [text for text in examples if "process_frames" in text]
    async with services_in_process(tmp_path, "storage", "processing", "analysis") as settings:
        endpoints = {name: getattr(settings, name).address for name in ("storage", "processing", "analysis")}
        script = example.replace("imaging.connect()", f"imaging.connect({endpoints!r})")
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-c", script, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        output, errors = await child.communicate()
    assert child.returncode == 0, errors.decode()
    lines = output.decode().splitlines()
    assert lines[:3] == ["0 0", "1 128", "2 255"]
    assert len(lines) == 6
