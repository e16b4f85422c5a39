"""The messages of a stream as an async generator that ends with whoever it is for."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any, TypeVar

import grpc

from imaging.rpc.status import domain_errors

T = TypeVar("T")


async def messages_of(call: grpc.aio.UnaryStreamCall[Any, T], where: str = "") -> AsyncGenerator[T]:
    """The messages of a call to `where`; errors are domain errors, and the call ends when the generator is closed."""
    try:
        with domain_errors(where):
            async for message in call:
                yield message
    finally:
        call.cancel()


async def ended(messages: AsyncIterator[object]) -> None:
    """Let a call end whose last message was taken: ending it from here is a failure at the other end."""
    async for _ in messages:
        pass
