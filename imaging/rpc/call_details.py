"""A call's details with some of them changed (grpc's own type is immutable)."""

from __future__ import annotations

from collections.abc import Mapping

import grpc


def with_metadata(details: grpc.aio.ClientCallDetails, added: Mapping[str, str]) -> grpc.aio.ClientCallDetails:
    """The details with metadata added."""
    metadata = grpc.aio.Metadata(*(details.metadata or ()))
    for key, value in added.items():
        metadata.add(key, value)
    return grpc.aio.ClientCallDetails(
        details.method, details.timeout, metadata, details.credentials, details.wait_for_ready
    )


def with_timeout(details: grpc.aio.ClientCallDetails, seconds: float) -> grpc.aio.ClientCallDetails:
    """The details with a deadline of `seconds` from now."""
    return grpc.aio.ClientCallDetails(
        details.method, seconds, details.metadata, details.credentials, details.wait_for_ready
    )
