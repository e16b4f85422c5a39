"""This client with a server of a later release: enumeration values and fields that the contracts do not have yet."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from typing import Any, Final

import grpc
import pytest
from google.protobuf import descriptor_pool, message_factory
from google.protobuf.descriptor import FieldDescriptor, MethodDescriptor
from google.protobuf.internal.encoder import TagBytes
from google.protobuf.internal.wire_format import WIRETYPE_VARINT
from google.protobuf.message import Message

from imaging.client.async_client import AsyncClient
from imaging.client.kept_versions import AsyncKeptVersions
from imaging.rpc.channel import open_channel
from imaging.rpc.connection_settings import ListenSettings
from imaging.rpc.server import RpcServer
from imaging.settings import SERVICE_NAMES

UNKNOWN_VALUE: Final = 99
UNKNOWN_FIELD: Final = TagBytes(20_000, WIRETYPE_VARINT) + b"\x01"


def of_later(message: Any) -> Any:
    """`message` with an unknown value in each enumeration and an unknown field, so all the way down."""
    for field in message.DESCRIPTOR.fields:
        if field.message_type is not None and field.message_type.file.package.startswith("google."):
            continue
        if field.type == FieldDescriptor.TYPE_ENUM and not field.is_repeated:
            setattr(message, field.name, UNKNOWN_VALUE)
        elif field.type == FieldDescriptor.TYPE_MESSAGE and field.message_type.GetOptions().map_entry is False:
            part = getattr(message, field.name)
            of_later(part.add() if field.is_repeated else part)
    message.MergeFromString(UNKNOWN_FIELD)
    return message


class LaterRelease(grpc.GenericRpcHandler):
    """Answers every call of the contracts with one message of a later release."""

    def service(self, handler_call_details: Any) -> grpc.RpcMethodHandler[Any, Any] | None:
        """What gRPC asks for each call."""
        name = handler_call_details.method.removeprefix("/").replace("/", ".")
        method: MethodDescriptor = descriptor_pool.Default().FindMethodByName(name)
        answer = of_later(message_factory.GetMessageClass(method.output_type)())
        request = message_factory.GetMessageClass(method.input_type)

        async def one(_: Message, __: Any) -> bytes:
            return bytes(answer.SerializeToString())

        async def stream(_: Message, __: Any) -> AsyncIterator[bytes]:
            yield answer.SerializeToString()

        if method.server_streaming:
            return grpc.unary_stream_rpc_method_handler(stream, request.FromString)
        return grpc.unary_unary_rpc_method_handler(one, request.FromString)


@pytest.fixture
async def address() -> AsyncIterator[str]:
    add: Callable[[grpc.aio.Server], None] = lambda server: server.add_generic_rpc_handlers((LaterRelease(),))  # noqa: E731
    server = RpcServer(ListenSettings(), {"later": add})
    yield f"127.0.0.1:{await server.start()}"
    await server.stop(timedelta(0))


async def test_states_and_formats_of_a_later_release_are_unspecified_and_nothing_else_is_lost(address: str) -> None:
    async with AsyncClient(dict.fromkeys(SERVICE_NAMES, address)) as client:
        (run,) = await client.runs.list()
        assert (run.state, run.has_ended, [stage.state for stage in run.stages]) == (
            "UNSPECIFIED",
            False,
            ["UNSPECIFIED"],
        )
        assert [seen.state async for seen in client.runs.watch("runs/1")] == ["UNSPECIFIED"]
        (report,) = await client.reports.list("studies/1.2.3")
        assert report.state == "UNSPECIFIED"
        assert [document.format for document in report.documents] == ["UNSPECIFIED"]
        assert len(await client.findings(study="studies/1.2.3")) == 1
        assert len(await client.search_studies()) == 1
        assert len(await client.series("studies/1.2.3")) == 1


async def test_reasons_and_actions_of_a_later_release_are_unspecified_and_nothing_else_is_lost(address: str) -> None:
    async with open_channel(address) as channel:
        kept = AsyncKeptVersions(channel)
        assert [each.reason async for each in kept.quarantined()] == ["unspecified"]
        assert [(each.reason, each.object.condition) async for each in kept.versions("i")] == [("unspecified",) * 2]
        assert [each.action async for each in kept.audit()] == ["unspecified"]
