"""Frames with the headers of their instances in the same stream: each once, before the first frame."""

from __future__ import annotations

import pytest

from imaging.storage.v1 import storage_service_pb2 as pb
from tests.storage.storage_under_test import Storage, ct, file_bytes

Asked = pb.RetrieveFramesRequest


async def instances_told(storage: Storage, **fields: object) -> list[str]:
    """The instances whose header came, in order; each before any of its frames."""
    told: list[str] = []
    for message in await storage.stream("RetrieveFrames", with_instance_headers=True, **fields):
        if message.HasField("instance_header"):
            told.append(message.instance_header.instance.name)
        if message.HasField("header"):
            assert message.header.instance in told
    return told


@pytest.mark.parametrize(
    "name",
    ["CT_small.dcm", "MR_small_bigendian.dcm", "MR_small_RLE.dcm", "image_dfl.dcm", "SC_rgb_jpeg_gdcm.dcm"],
)
@pytest.mark.parametrize("accept", [(), ("1.2.840.10008.1.2.1",)])
async def test_header_is_the_one_of_the_metadata(storage: Storage, name: str, accept: tuple[str, ...]) -> None:
    stored = await storage.store_one(file_bytes(name))
    (metadata,) = await storage.stream("RetrieveMetadata", name=stored.instance.name)
    selections = [Asked.Selection(instance=stored.instance.name, frame_numbers=[1])]
    messages = await storage.stream(
        "RetrieveFrames", selections=selections, accept_transfer_syntax_uids=accept, with_instance_headers=True
    )
    (told,) = [message.instance_header for message in messages if message.HasField("instance_header")]
    assert told.instance == metadata.instance == stored.instance
    assert told.content == metadata.content
    assert told.transfer_syntax_uid == metadata.transfer_syntax_uid


async def test_each_header_comes_once_whatever_the_order(storage: Storage) -> None:
    await storage.store(*(ct(sop=f"1.2.3.1.{n}", InstanceNumber=str(n)) for n in range(1, 6)))
    series = "studies/1.2.3/series/1.2.3.1"
    for order, expected in ((Asked.ORDER_AS_ASKED, "12345"), (Asked.ORDER_CENTRE_OUT, "32415")):
        told = await instances_told(storage, series=series, order=order)
        assert "".join(name[-1] for name in told) == expected
    twice = [Asked.Selection(instance=f"{series}/instances/1.2.3.1.{n}") for n in (1, 2, 1)]
    assert [name[-1] for name in await instances_told(storage, selections=twice)] == ["1", "2"]


async def test_no_header_comes_unasked(storage: Storage) -> None:
    stored = await storage.store_one(ct())
    messages = await storage.stream("RetrieveFrames", selections=[Asked.Selection(instance=stored.instance.name)])
    assert not any(message.HasField("instance_header") for message in messages)


async def test_header_over_the_message_limit_names_what_it_leaves_out(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = await storage.store_one(file_bytes("CT_small.dcm"))
    monkeypatch.setattr("storage_svc.retrieve.instance_header._MOST_BYTES", 1000)
    selections = [Asked.Selection(instance=stored.instance.name)]
    first, *_ = await storage.stream("RetrieveFrames", selections=selections, with_instance_headers=True)
    assert len(first.instance_header.content) <= 1000
    assert any(warning.startswith("HEADER_SHORTENED") for warning in first.instance_header.instance.warnings)
