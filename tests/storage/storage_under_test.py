"""A storage service under test: its generated client, uploads as messages, and DICOM files to send."""

from __future__ import annotations

import copy
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import google_crc32c
import grpc
import pydicom
from pydicom.data import get_testdata_file
from pydicom.uid import UID

from imaging.rpc.channel import open_channel
from imaging.rpc.status import domain_errors, from_status
from imaging.storage.v1 import storage_admin_service_pb2 as admin_pb
from imaging.storage.v1 import storage_admin_service_pb2_grpc as admin_grpc
from imaging.storage.v1 import storage_pb2
from imaging.storage.v1 import storage_service_pb2 as pb
from imaging.storage.v1 import storage_service_pb2_grpc as pb_grpc
from storage_svc.service import Service


@dataclass
class StorageCalls:
    """How to talk to a storage service."""

    stub: Any
    channel: grpc.aio.Channel

    async def send(self, messages: Iterable[pb.StoreInstancesRequest]) -> list[pb.StoreInstancesResponse]:
        """All answers to one stream."""
        sent = list(messages)

        async def requests() -> AsyncIterator[pb.StoreInstancesRequest]:
            for message in sent:
                yield message

        with domain_errors():
            return [answer async for answer in self.stub.StoreInstances(requests())]

    async def store(self, *contents: bytes, **header: Any) -> list[pb.StoreInstancesResponse]:
        """The outcome of each, in the order of sending."""
        answers = await self.send(whole(str(number), content, **header) for number, content in enumerate(contents))
        by_id = {answer.upload_id: answer for answer in answers}
        assert len(by_id) == len(answers) == len(contents)
        return [by_id[str(number)] for number in range(len(contents))]

    async def store_one(self, content: bytes, **header: Any) -> pb.StoreInstancesResponse.Stored:
        """What became of one that must be stored."""
        (answer,) = await self.store(content, **header)
        if answer.HasField("rejected"):
            raise from_status(answer.rejected)
        return answer.stored

    async def call(self, method: str, **fields: Any) -> Any:
        """A unary call; errors are domain errors."""
        with domain_errors():
            return await getattr(self.stub, method)(getattr(pb, f"{method}Request")(**fields), timeout=30)

    async def stream(self, method: str, **fields: Any) -> list[Any]:
        """All messages of a streaming call."""
        with domain_errors():
            call = getattr(self.stub, method)(getattr(pb, f"{method}Request")(**fields), timeout=30)
            return [message async for message in call]

    async def admin(self, method: str, **fields: Any) -> Any:
        """The answer of a unary call of the administration, or all messages of a streaming one."""
        request = getattr(admin_pb, f"{method}Request")(**fields)
        with domain_errors():
            call = getattr(admin_grpc.StorageAdminServiceStub(self.channel), method)(request, timeout=60)
            if method in ("VerifyObjects", "SweepStorage", "ReadObject"):
                return [message async for message in call]
            return await call

    async def complete(self, study_instance_uid: str, **fields: Any) -> storage_pb2.Manifest:
        """The manifest after CompleteStudy."""
        return (await self.call("CompleteStudy", name=f"studies/{study_instance_uid}", **fields)).manifest

    async def changes(self, start: int = 1, *, count: int, kinds: Sequence[int] = ()) -> list[storage_pb2.Change]:
        """The next `count` changes."""
        call = self.stub.WatchChanges(pb.WatchChangesRequest(start_revision=start, kinds=kinds), timeout=30)
        found: list[storage_pb2.Change] = []
        with domain_errors():
            async for message in call:
                found += message.changes
                if len(found) >= count:
                    call.cancel()
                    return found
        return found


@dataclass
class Storage(StorageCalls):
    """The service under test, in this process."""

    service: Service
    folder: Path
    address: str

    def objects(self) -> list[Path]:
        """The files of all objects, where a folder keeps them."""
        return sorted((self.folder / "storage" / "objects" / "studies").rglob("*.dcm"))


@asynccontextmanager
async def calls_to(address: str) -> AsyncIterator[StorageCalls]:
    """Talk to a service in another process."""
    async with open_channel(address) as channel:
        yield StorageCalls(pb_grpc.StorageServiceStub(channel), channel)


def whole(upload_id: str, content: bytes, **header: Any) -> pb.StoreInstancesRequest:
    """An instance in one message."""
    header.setdefault("object_crc32c", google_crc32c.value(content))
    return pb.StoreInstancesRequest(
        upload_id=upload_id,
        header=pb.StoreInstancesRequest.Header(**{"size_bytes": len(content), **header}),
        data=pb.StoreInstancesRequest.Data(offset=0, content=content),
        finish=pb.StoreInstancesRequest.Finish(),
    )


def chunks(
    upload_id: str, content: bytes, *, start: int = 0, size: int = 1 << 20, **header: Any
) -> list[pb.StoreInstancesRequest]:
    """An instance in chunks: header, data from `start` on, finish."""
    first = pb.StoreInstancesRequest.Header(**{"size_bytes": len(content), **header})
    messages = [pb.StoreInstancesRequest(upload_id=upload_id, header=first)]
    for offset in range(start, len(content), size):
        part = content[offset : offset + size]
        data = pb.StoreInstancesRequest.Data(offset=offset, content=part, crc32c=google_crc32c.value(part))
        messages.append(pb.StoreInstancesRequest(upload_id=upload_id, data=data))
    finish = pb.StoreInstancesRequest.Finish(object_crc32c=google_crc32c.value(content))
    return [*messages, pb.StoreInstancesRequest(upload_id=upload_id, finish=finish)]


def file_bytes(name: str) -> bytes:
    """A test file of the pydicom wheel."""
    return Path(str(get_testdata_file(name, download=False))).read_bytes()


_CT = pydicom.dcmread(BytesIO(file_bytes("CT_small.dcm")))


def ct(
    study: str = "1.2.3", series: str = "1.2.3.1", sop: str = "1.2.3.1.1", *, pixels: bytes | None = None, **values: Any
) -> bytes:
    """A CT slice of 128 x 128 pixels with these UIDs and attributes."""
    data_set = copy.deepcopy(_CT)
    data_set.StudyInstanceUID, data_set.SeriesInstanceUID, data_set.SOPInstanceUID = study, series, sop
    data_set.file_meta.MediaStorageSOPInstanceUID = UID(sop)
    for keyword, value in values.items():
        setattr(data_set, keyword, value)
    if pixels is not None:
        data_set.PixelData = pixels
    return encoded(data_set)


def encoded(data_set: pydicom.Dataset) -> bytes:
    """Part 10 bytes."""
    buffer = BytesIO()
    data_set.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def origin(run: str = "runs/1", stage: str = "resample", attempt: int = 1) -> storage_pb2.Origin:
    """The origin of a derived instance."""
    return storage_pb2.Origin(kind=storage_pb2.Origin.KIND_DERIVED, run=run, stage=stage, attempt=attempt)
