"""A new run of a complete study: the recipe that fits, and a place in the trace of its manifest version."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from opentelemetry import trace

from imaging.rpc.tracing import context_of, traceparent_of_current_span
from imaging.storage.v1 import storage_pb2
from pipeline_svc.recipes.book import RecipeBook
from pipeline_svc.recipes.fit import why_none_fits
from pipeline_svc.recipes.parse_recipe import LoadedRecipe
from pipeline_svc.runs.new_run import NewRun

if TYPE_CHECKING:
    from imaging.client.storage import StorageClient


@contextmanager
def new_run(
    book: RecipeBook,
    study: storage_pb2.Study,
    series: Sequence[storage_pb2.Series],
    *,
    manifest_version: int,
    manifest_traceparent: str,
    asked_recipe: str = "",
) -> Iterator[NewRun]:
    """The run to be created, inside its span: create it there.

    The span `run` is a child of the span of the manifest version. It ends with the creation, not with the run: a run
    outlives processes, a span does not. The stages are its children, whichever process calls them.

    Raises
    ------
    NotFound
        If the recipe that was asked for is not loaded.
    """
    received = [one for one in series if one.origin.kind != storage_pb2.Origin.KIND_DERIVED]
    loaded: LoadedRecipe | None = book.get(asked_recipe) if asked_recipe else book.first_that_fits(study, received)
    with trace.get_tracer("pipeline_svc").start_as_current_span(
        "run",
        context=context_of(manifest_traceparent),
        attributes={
            "imaging.study": study.name,
            "imaging.manifest_version": manifest_version,
            "imaging.recipe": loaded.recipe.name if loaded is not None else "",
        },
    ):
        yield NewRun(
            study=study.name,
            manifest_version=manifest_version,
            asked_recipe=asked_recipe,
            recipe=loaded.recipe.name if loaded is not None else "",
            recipe_version=loaded.recipe.version if loaded is not None else 0,
            recipe_source=loaded.source if loaded is not None else "",
            reason="" if loaded is not None else why_none_fits(received),
            traceparent=traceparent_of_current_span() or manifest_traceparent or _random_traceparent(),
            manifest_traceparent=manifest_traceparent,
            create_time=datetime.now(UTC),
        )


async def read_series(storage: StorageClient, study: str) -> list[storage_pb2.Series]:
    """All series of a study, in the order of series number."""
    return [series async for series in storage.search_series(study)]


def _random_traceparent() -> str:
    """A W3C trace context of its own, not sampled: every run has a trace id, also where traces are off."""
    return f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-00"
