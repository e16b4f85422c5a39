"""Rate, errors and duration of every call that is served, and how many are being served now.

A stream is one call that lasts until it ends; `rpc_kind` keeps it apart from calls with one answer, whose duration is a
latency. Health checks are not counted. The names are those of OpenTelemetry's conventions for RPC.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any, Final

import grpc
from opentelemetry import metrics
from opentelemetry.metrics import CallbackOptions, Observation

from imaging.rpc.around import Around, Call
from imaging.rpc.credentials import HEALTH_SERVICE
from imaging.telemetry.durations import SECONDS

_CODES: Final[dict[object, str]] = {code.value[0]: code.name for code in grpc.StatusCode}


def call_metrics() -> Around:
    """Count and time each call; to stand outside of what turns errors into status codes."""
    active: Counter[str] = Counter()
    attributes: dict[tuple[str, str], dict[str, str]] = {}

    def observe(_: CallbackOptions) -> Iterable[Observation]:
        return [Observation(number, {"rpc_method": method}) for method, number in list(active.items())]

    meter = metrics.get_meter("imaging")
    meter.create_observable_up_down_counter(
        "rpc.server.active_requests", [observe], description="Calls that are being served, streams included."
    )
    durations = meter.create_histogram(
        "rpc.server.call.duration",
        unit="s",
        description="Time that calls took, by method and status code.",
        explicit_bucket_boundaries_advisory=SECONDS,
    )

    def record(call: Call, code: str, seconds: float) -> None:
        known = attributes.get((call.method, code))
        if known is None:
            kind = "stream" if call.streams_requests or call.streams_responses else "unary"
            known = {"rpc_method": call.method.lstrip("/"), "rpc_response_status_code": code, "rpc_kind": kind}
            attributes[call.method, code] = known
        durations.record(seconds, known)

    @asynccontextmanager
    async def measure(call: Call) -> AsyncIterator[None]:
        if call.service == HEALTH_SERVICE:
            yield
            return
        method = call.method.lstrip("/")
        began, code = time.perf_counter(), "UNKNOWN"
        active[method] += 1
        try:
            yield
            code = _code(call)
        except asyncio.CancelledError:
            code = "CANCELLED"
            raise
        except grpc.aio.AbortError:
            code = _code(call)
            raise
        finally:
            active[method] -= 1
            record(call, code, time.perf_counter() - began)

    return measure


def _code(call: Call) -> str:
    # A code, its number, or nothing where none was set, whatever the stubs say.
    code: Any = call.context.code()
    if not code:
        return grpc.StatusCode.OK.name
    return code.name if isinstance(code, grpc.StatusCode) else _CODES.get(code, "UNKNOWN")
