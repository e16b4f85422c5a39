"""Put something around every call of a server: errors, traces, credentials, deadlines."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, aclosing
from dataclasses import dataclass
from typing import Any

import grpc
from google.protobuf.message import DecodeError

from imaging.errors import InvalidArgument


@dataclass(frozen=True, slots=True)
class Call:
    """What is known of a call before its handler runs."""

    method: str
    """`/imaging.storage.v1.StorageService/GetStudy`."""

    context: grpc.aio.ServicerContext[Any, Any]
    streams_requests: bool
    streams_responses: bool

    @property
    def service(self) -> str:
        """`imaging.storage.v1.StorageService`."""
        return self.method.rpartition("/")[0].lstrip("/")

    @property
    def name(self) -> str:
        """`GetStudy`."""
        return self.method.rpartition("/")[2]

    def metadata(self, key: str) -> str | None:
        """The first value of a metadata key, or None."""
        for name, value in self.context.invocation_metadata() or ():
            if name == key:
                return value if isinstance(value, str) else value.decode("ascii", "replace")
        return None


Around = Callable[[Call], AbstractAsyncContextManager[None]]


class AroundEveryCall(grpc.aio.ServerInterceptor):
    """Enters the given context managers, outermost first, for every call.

    A streaming handler is an async generator. It is driven here with `context.write` inside one coroutine, so that what
    was entered is left in the same task and context, also when the client goes away in the middle.
    """

    def __init__(self, *arounds: Around) -> None:
        self._arounds = arounds

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler[Any, Any] | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Any, Any]:
        """The handler of the call, wrapped; None (unimplemented) is passed on."""
        handler: Any = await continuation(handler_call_details)
        if handler is None:
            return handler  # type: ignore[return-value]  # grpc answers UNIMPLEMENTED to None
        method = str(handler_call_details.method)
        behaviour = handler.unary_unary or handler.unary_stream or handler.stream_unary or handler.stream_stream
        arounds, requests, responses = self._arounds, bool(handler.request_streaming), bool(handler.response_streaming)
        parse = _parser(handler.request_deserializer, method)

        async def parsed(messages: AsyncIterable[bytes]) -> AsyncIterator[Any]:
            async for message in messages:
                yield parse(message)

        async def call_unary(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
            async with AsyncExitStack() as stack:
                for around in arounds:
                    await stack.enter_async_context(around(Call(method, context, requests, responses)))
                return await behaviour(parsed(request) if requests else parse(request), context)

        async def call_stream(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> None:
            async with AsyncExitStack() as stack:
                for around in arounds:
                    await stack.enter_async_context(around(Call(method, context, requests, responses)))
                answers = behaviour(parsed(request) if requests else parse(request), context)
                if not hasattr(answers, "__aiter__"):
                    await answers  # grpc's own servicers (health watch) write by themselves
                    return
                async with aclosing(answers):
                    async for answer in answers:
                        await context.write(answer)

        make: Any = {
            (False, False): grpc.unary_unary_rpc_method_handler,
            (False, True): grpc.unary_stream_rpc_method_handler,
            (True, False): grpc.stream_unary_rpc_method_handler,
            (True, True): grpc.stream_stream_rpc_method_handler,
        }[requests, responses]
        wrapped: grpc.RpcMethodHandler[Any, Any] = make(
            call_stream if responses else call_unary,
            # Parsed above, inside of what is around: grpc answers UNKNOWN to a message that cannot be.
            request_deserializer=None,
            response_serializer=_serializer(handler.response_serializer),
        )
        return wrapped


def _serializer(serialize: Callable[[Any], bytes] | None) -> Callable[[Any], bytes]:
    """Serializes answers; one that a handler has serialized already, away from the event loop, goes as it is."""

    def serialized(answer: Any) -> bytes:
        if serialize is None or type(answer) is bytes:
            raw: bytes = answer
            return raw
        return serialize(answer)

    return serialized


def _parser(deserializer: Callable[[bytes], Any] | None, method: str) -> Callable[[bytes], Any]:
    def parse(message: bytes) -> Any:
        try:
            return deserializer(message) if deserializer is not None else message
        except DecodeError:  # its text may quote the message
            raise InvalidArgument(
                "The request is not a message of the type that the method takes",
                where=method.rpartition("/")[2],
                hint="Generate the client from the protos of this release; texts are UTF-8.",
            ) from None

    return parse
