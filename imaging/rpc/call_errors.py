"""Every error of a handler leaves as a typed status, and an unforeseen one is logged, not told."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc
from opentelemetry import trace
from opentelemetry.trace import Status, StatusCode

from imaging.errors import ImagingError, Internal
from imaging.rpc.around import Call
from imaging.rpc.status import RETRY_PUSHBACK_KEY, STATUS_DETAILS_KEY, code_of, retry_seconds, to_status

log = logging.getLogger(__name__)


@asynccontextmanager
async def typed_errors(call: Call) -> AsyncIterator[None]:
    """Answer a domain error with its status; anything else with INTERNAL and a log entry."""
    try:
        yield
    except ImagingError as error:
        await _abort(call, error)
    except (grpc.aio.AbortError, asyncio.CancelledError):
        raise
    except grpc.aio.InternalError:
        # The client went away while an answer was being written: there is nobody to tell, and nothing went wrong here.
        log.debug("the client went away", extra={"method": call.method})
    except Exception:  # the last door: nothing untyped may reach a client
        log.exception("unforeseen error in a handler", extra={"method": call.method})
        await _abort(call, Internal("The service met a defect", where=call.name, hint="Its log tells more."))


async def _abort(call: Call, error: ImagingError) -> None:
    span = trace.get_current_span()
    span.set_attribute("error.type", error.reason)
    span.set_status(Status(StatusCode.ERROR, error.reason))
    details: tuple[tuple[str, str | bytes], ...] = ((STATUS_DETAILS_KEY, to_status(error).SerializeToString()),)
    if seconds := retry_seconds(error):
        details += ((RETRY_PUSHBACK_KEY, str(int(seconds * 1000))),)
    await call.context.abort(code_of(error), error.text, details)
