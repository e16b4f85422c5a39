"""Messages that were joined by hand are what protobuf itself would write."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imaging.storage.v1 import storage_service_pb2 as pb
from storage_svc.retrieve.wire_message import data_message


@pytest.mark.parametrize("kind", [pb.RetrieveFramesResponse, pb.RetrieveInstancesResponse])
@settings(max_examples=60, deadline=None)
@given(
    content=st.one_of(st.binary(max_size=300), st.sampled_from([127, 128, 16383, 16384, 3_500_000]).map(bytes)),
    offset=st.integers(0, 2**62),
    crc32c=st.integers(0, 2**32 - 1),
    header_bytes=st.none() | st.integers(0, 2**40),
    has_finish=st.booleans(),
)
def test_a_joined_message_has_the_bytes_that_protobuf_writes(
    kind: Any, content: bytes, offset: int, crc32c: int, header_bytes: int | None, has_finish: bool
) -> None:
    before, after = kind(), kind()
    if header_bytes is not None:
        before.header.size_bytes = header_bytes
    if has_finish:
        after.finish.SetInParent()
    joined = data_message(before, offset, content, crc32c, after)
    whole = kind(data=kind.Data(offset=offset, content=content, crc32c=crc32c))
    whole.MergeFrom(before)
    whole.MergeFrom(after)
    parsed = kind.FromString(joined)
    assert parsed == whole
    if content:  # protobuf leaves an empty field out
        assert joined == whole.SerializeToString(deterministic=True)
