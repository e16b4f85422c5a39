"""A model's run in a thread of its own: foreign code, which may raise anything, or never end."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import threading
import traceback
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from analysis_svc.measurement import Analysis
from analysis_svc.model import Model, Report
from imaging.errors import DeadlineExceeded, ImagingError, ModelFailed

_log = logging.getLogger(__name__)


async def run_model(model: Model, images: Any, parameters: Any, report: Report, time_limit: timedelta) -> Analysis:
    """What the model gives back.

    A thread cannot be ended from outside: over the time limit, or when it is cancelled, the answer is not waited for
    any longer, and the model ends at its next report. The thread is a daemon, so that even one which never reports
    does not hold the service up when it stops.

    Raises
    ------
    ModelFailed
        If the model raises anything but an `ImagingError`, or gives back something else than an `Analysis`.
    DeadlineExceeded
        If it takes longer than the time limit.
    ImagingError
        What the model raised: `MeasurementRefused`, `Cancelled` …
    """
    given_up = threading.Event()

    def guarded(done: int, total: int, unit: str, message: str) -> None:
        if given_up.is_set():
            raise _too_long(model, time_limit)
        report(done, total, unit, message)

    def work() -> Analysis:
        answer = model.analyze(images, parameters, guarded)
        if not isinstance(answer, Analysis):
            raise TypeError(f"analyze gave back {type(answer).__name__} and not Analysis")
        return answer

    try:
        async with asyncio.timeout(time_limit.total_seconds()):
            return await _in_daemon_thread(work, name=f"model {model.name}")
    except TimeoutError as error:
        raise _too_long(model, time_limit) from error
    except ImagingError:
        raise
    # Foreign code. Its text may hold anything, values of the header too, so that only its kind is told.
    except Exception as error:
        facts = {"model": model.name, "model_version": model.version, "error": type(error).__name__}
        _log.error("a model raised", extra={**facts, "stack": traceback.format_tb(error.__traceback__)})
        raise ModelFailed(
            f"The model {model.name} {model.version} raised {type(error).__name__}",
            where=f"model {model.name}",
            hint="The log of the analysis service tells where; report it to the maker of the model.",
        ) from error
    finally:
        given_up.set()


def _too_long(model: Model, time_limit: timedelta) -> DeadlineExceeded:
    return DeadlineExceeded(
        f"The model {model.name} took longer than {time_limit.total_seconds() / 60:g} minutes",
        where=f"model {model.name}",
        hint="Take a smaller series, or raise analysis.model_time_limit_minutes.",
    )


async def _in_daemon_thread(work: Callable[[], Analysis], name: str) -> Analysis:
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Analysis] = loop.create_future()
    context = contextvars.copy_context()

    def settle(answer: Analysis | None, error: BaseException | None) -> None:
        if future.done():  # cancelled or over the limit: nobody waits
            return
        if error is not None:
            future.set_exception(error)
        elif answer is not None:
            future.set_result(answer)

    def run() -> None:
        answer: Analysis | None = None
        failure: BaseException | None = None
        try:
            answer = context.run(work)
        # Whatever it is, the waiting side must hear of it; a future cannot carry StopIteration.
        except BaseException as error:  # noqa: BLE001
            failure = RuntimeError("StopIteration") if isinstance(error, StopIteration) else error
            if not isinstance(failure, Exception):
                failure = RuntimeError(type(error).__name__)
        try:
            loop.call_soon_threadsafe(settle, answer, failure)
        except RuntimeError:
            _log.debug("the event loop ended before %s did", name)

    threading.Thread(target=run, name=name, daemon=True).start()
    return await future
