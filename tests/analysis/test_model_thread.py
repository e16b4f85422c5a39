"""A model is foreign code: whatever it does, the service gets a typed answer in time."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any, Literal

import pytest

from analysis_svc.measurement import Analysis
from analysis_svc.model import ModelParameters, Report
from analysis_svc.model_thread import run_model
from imaging.errors import Cancelled, DeadlineExceeded, MeasurementRefused, ModelFailed
from tests.analysis.chest import silent

LIMIT = timedelta(seconds=30)


class Scripted:
    """A model that does what a test says."""

    name, version, description = "scripted", "1.0", "For tests."
    modalities = ()
    requires: Literal["frames"] = "frames"
    Parameters = ModelParameters

    def __init__(self, act: Callable[[Report], Any]) -> None:
        self._act = act

    def analyze(self, images: object, parameters: ModelParameters, report: Report) -> Any:
        return self._act(report)


async def _run(act: Callable[[Report], Any], report: Report = silent, limit: timedelta = LIMIT) -> Analysis:
    return await run_model(Scripted(act), None, ModelParameters(), report, limit)


def _raise(error: BaseException) -> Any:
    raise error


async def test_the_answer_comes_back_from_another_thread() -> None:
    threads = []

    def act(report: Report) -> Analysis:
        threads.append(threading.current_thread().name)
        report(1, 2, "steps", "working")
        return Analysis()

    assert await _run(act) == Analysis()
    assert threads == ["model scripted"]


@pytest.mark.parametrize(
    "error", [ValueError("Doe^Jane"), KeyError("x"), MemoryError(), StopIteration(), SystemExit(3)]
)
async def test_whatever_it_raises_is_a_typed_failure_without_its_text(
    error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR), pytest.raises(ModelFailed) as failed:
        await _run(lambda report: _raise(error))
    assert failed.value.reason == "MODEL_FAILED"
    assert "Doe" not in failed.value.text
    (record,) = caplog.records
    assert "Doe" not in str(record.__dict__)
    assert record.__dict__["model"] == "scripted"
    assert record.__dict__["error"] in failed.value.text


async def test_an_answer_of_another_type_is_a_failure() -> None:
    with pytest.raises(ModelFailed):
        await _run(lambda report: {"volume": 3})


async def test_a_refusal_passes_as_it_is() -> None:
    with pytest.raises(MeasurementRefused, match="no lung"):
        await _run(lambda report: _raise(MeasurementRefused("there is no lung")))


async def test_over_the_time_limit_the_model_ends_at_its_next_report() -> None:
    ended, go_on = threading.Event(), threading.Event()

    def act(report: Report) -> Analysis:
        go_on.wait(20)
        try:
            report(1, 2, "steps", "late")
        finally:
            ended.set()
        return Analysis()

    with pytest.raises(DeadlineExceeded, match="minutes"):
        await _run(act, limit=timedelta(milliseconds=50))
    go_on.set()
    assert await asyncio.to_thread(ended.wait, 10)


async def test_a_cancelled_report_ends_the_model() -> None:
    def cancelled(done: int, total: int, unit: str, message: str) -> None:
        raise Cancelled("A user asked for it")

    def act(report: Report) -> Analysis:
        report(0, 1, "steps", "working")
        return Analysis()

    with pytest.raises(Cancelled):
        await _run(act, report=cancelled)
