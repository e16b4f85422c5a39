"""How long something took, as a histogram by what was done and how it ended."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from opentelemetry import metrics

from imaging.errors import ImagingError

SECONDS: Final = (
    0.001,
    0.0025,
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1.0,
    2.5,
    5.0,
    10.0,
    30.0,
    60.0,
    300.0,
    1800.0,
)
"""Bounds of every histogram of durations: from a look into the index to a long stage."""


class Durations:
    """Times operations of one kind.

    Parameters
    ----------
    name, description
        Of the histogram (its unit is seconds), e.g. `imaging.objectstore.operation.duration`.
    fixed
        Attributes of every record.
    """

    def __init__(self, name: str, description: str, **fixed: str) -> None:
        meter = metrics.get_meter("imaging")
        self._histogram = meter.create_histogram(
            name, unit="s", description=description, explicit_bucket_boundaries_advisory=SECONDS
        )
        self._fixed = fixed
        self._attributes: dict[tuple[str, str], dict[str, str]] = {}

    @contextmanager
    def of(self, operation: str) -> Iterator[None]:
        """Time what is inside: `outcome` is `ok`, `cancelled`, the reason of a domain error, or `error`."""
        began = time.perf_counter()
        outcome = "error"
        try:
            yield
            outcome = "ok"
        except asyncio.CancelledError:
            outcome = "cancelled"
            raise
        except ImagingError as error:
            outcome = error.reason.lower()
            raise
        finally:
            key = (operation, outcome)
            attributes = self._attributes.get(key)
            if attributes is None:
                attributes = {"operation": operation, "outcome": outcome, **self._fixed}
                self._attributes[key] = attributes
            self._histogram.record(time.perf_counter() - began, attributes)
