"""How an object is cut into messages, whatever its size and wherever it goes on."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from unittest.mock import patch

import google_crc32c
from hypothesis import given, settings
from hypothesis import strategies as st

from imaging.client import upload, upload_stream
from imaging.client.storage import Upload
from imaging.client.upload import chunk_messages, header_message, whole_message
from imaging.storage.v1 import storage_pb2
from tests.client.test_upload_stream import ScriptedStorage, serving


@given(content=st.binary(max_size=300), chunk=st.integers(1, 64), start=st.integers(0, 300), as_file=st.booleans())
@settings(max_examples=150, deadline=None)
def test_chunks_are_the_content_from_the_start_on(content: bytes, chunk: int, start: int, as_file: bool) -> None:
    start = min(start, len(content))
    with tempfile.TemporaryDirectory() as folder, patch.object(upload, "CHUNK_BYTES", chunk):
        source: bytes | Path = content
        if as_file:
            source = Path(folder) / "object"
            source.write_bytes(content)
        *chunks, last = chunk_messages("id", source, start)
    assert b"".join(message.data.content for message in chunks) == content[start:]
    position = start
    for message in chunks:
        assert message.data.offset == position
        assert 0 < len(message.data.content) <= chunk
        assert message.data.crc32c == google_crc32c.value(message.data.content)
        position += len(message.data.content)
    assert not last.HasField("data")
    assert last.finish.object_crc32c == google_crc32c.value(content)


def test_whole_message_is_below_the_limit_of_a_message_and_carries_all() -> None:
    origin = storage_pb2.Origin(kind=storage_pb2.Origin.KIND_DERIVED, run="runs/1", stage="s", attempt=2)
    content = bytes(upload.WHOLE_BYTES)
    message = whole_message(Upload("x", content), "7", content, origin, "SOURCE")
    assert message.ByteSize() < 4 * 1024 * 1024
    assert message.HasField("finish")
    assert message.header.origin == origin
    assert message.header.object_crc32c == google_crc32c.value(content)


def test_header_tells_a_headerless_data_set() -> None:
    message = header_message(Upload("x", b"", "1.2.840.10008.1.2"), "7", 0, None, "")
    assert message.header.headerless_transfer_syntax_uid == "1.2.840.10008.1.2"
    assert not message.header.HasField("origin")


@given(
    sizes=st.lists(st.integers(0, 400), min_size=1, max_size=8),
    breaks=st.lists(st.integers(1, 900), max_size=6),
)
@settings(max_examples=25, deadline=None)
def test_wherever_the_stream_breaks_every_object_arrives_whole(sizes: list[int], breaks: list[int]) -> None:
    contents = [bytes([number]) * size for number, size in enumerate(sizes)]

    async def store() -> ScriptedStorage:
        service = ScriptedStorage(resumable_bytes=200)
        service.break_after_bytes = list(breaks)
        async with serving(service) as client:
            uploads = [Upload(str(number), content) for number, content in enumerate(contents)]
            results = [result async for result in client.store(uploads)]
        assert sorted(int(result.upload_id) for result in results) == list(range(len(contents)))
        assert not [result.error for result in results if result.error]
        return service

    with (
        patch.object(upload, "CHUNK_BYTES", 50),
        patch.object(upload, "RESUMABLE_BYTES", 200),
        patch.object(upload_stream, "RESUMABLE_BYTES", 200),
        patch.object(upload_stream, "WHOLE_BYTES", 100),
    ):
        service = asyncio.run(store())
    assert set(service.stored.values()) == set(contents)
