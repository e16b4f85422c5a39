"""Every bad input of the tables, sent to a running storage service over gRPC: a typed refusal, or kept and flagged.

After each of them the service lives and its memory was bounded; after all of them its memory is back where it was, and
its log names nothing that was in them.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from imaging.dicom.transfer_syntax import EXPLICIT_VR_LITTLE_ENDIAN
from imaging.errors import ImagingError
from imaging.rpc.status import from_status
from imaging.storage.v1 import storage_service_pb2 as pb
from tests.faults.bad_input import SOP_INSTANCE_UID, STUDY_INSTANCE_UID, BadInput, Refused, Taken
from tests.faults.bad_pixels import PIXEL_DATA
from tests.faults.bad_structure import STRUCTURE
from tests.faults.bad_values import HOSTILE_NAMES, VALUES
from tests.faults.index_snapshot import rejections, visible
from tests.faults.odd_but_kept import KEPT
from tests.installation.storage_process import StorageProcess, storage_process
from tests.storage.storage_under_test import StorageCalls, calls_to, chunks, ct, file_bytes, whole

pytestmark = pytest.mark.integration

BAD_INPUTS = [*STRUCTURE, *VALUES, *PIXEL_DATA, *KEPT]
WHOLE_BYTES = 3_500_000
MOST_MEMORY_BYTES = 50 << 20
"""Over what the service had before an input came, besides six times its own size."""

BASELINE_BYTES = 40 << 20
"""Over what the service had before all of them: caches of the database, threads, what the allocator keeps."""

SOURCE = "STATION-1"


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StorageProcess]:
    with storage_process(tmp_path_factory.mktemp("bad") / "data", settings={"quiet_time_seconds": 3600}) as running:
        yield running


@pytest.fixture
async def calls(storage: StorageProcess) -> AsyncIterator[StorageCalls]:
    async with calls_to(storage.address) as opened:
        yield opened


@pytest.fixture(scope="module")
def baseline() -> dict[str, int]:
    """Memory before the first bad input."""
    return {}


def own_content(number: int, case: BadInput) -> bytes:
    """Its bytes as an instance and a study of their own, so that none is taken for a second version of another."""
    content = case.make().replace(SOP_INSTANCE_UID.encode(), f"1.2.{10_000 + number}".encode())
    return content.replace(f"{STUDY_INSTANCE_UID}\0".encode(), f"1.{1000 + number}".encode())


async def sent(calls: StorageCalls, content: bytes, **header: object) -> pb.StoreInstancesResponse:
    """The answer to one upload, whole or in chunks as its size asks for."""
    header["source"] = SOURCE
    whole_message = len(content) <= WHOLE_BYTES
    *_, answer = await calls.send([whole("a", content, **header)] if whole_message else chunks("a", content, **header))
    return answer


async def test_sound_instances_are_stored_first(
    storage: StorageProcess, calls: StorageCalls, baseline: dict[str, int]
) -> None:
    # One with implicit VR among them: the dictionary for those is loaded once, when it is first needed.
    names = ("JPEG2000.dcm", "image_dfl.dcm", "MR_small_implicit.dcm")
    for number, content in enumerate([ct(), *map(file_bytes, names)]):
        answer = await sent(calls, content)
        assert answer.HasField("stored"), (number, answer)
        await read_all(calls, answer.stored.instance.name)
    baseline["bytes"] = storage.private_bytes()


@pytest.mark.parametrize(("number", "case"), list(enumerate(BAD_INPUTS)), ids=[case.name for case in BAD_INPUTS])
async def test_it_is_refused_with_a_reason_or_kept_with_a_flag(
    storage: StorageProcess, calls: StorageCalls, number: int, case: BadInput
) -> None:
    content = own_content(number, case)
    before = visible(storage.data_dir)
    refused_before = len(rejections(storage.data_dir))
    memory_before = storage.resident_bytes()
    storage.forget_peak()
    answer = await sent(calls, content, **case.header)
    if isinstance(case.answer, Refused):
        check_refusal(from_status(answer.rejected), answer, case.answer)
        assert visible(storage.data_dir) == before
        (row,) = rejections(storage.data_dir)[refused_before:]
        error = from_status(answer.rejected)
        assert (row.source, row.reason, row.place, row.size_bytes) == (SOURCE, error.reason, error.where, len(content))
    else:
        await check_kept(calls, content, answer, case.answer)
        assert len(rejections(storage.data_dir)) == refused_before
    assert storage.is_alive
    assert storage.peak_bytes() - memory_before < MOST_MEMORY_BYTES + 6 * len(content)


def check_refusal(error: ImagingError, answer: pb.StoreInstancesResponse, expected: Refused) -> None:
    assert answer.WhichOneof("outcome") == "rejected", answer
    assert isinstance(error, expected.kind), error
    assert error.where.startswith(expected.at), error
    assert "byte " in error.where
    assert error.hint
    assert expected.says.lower() in error.text.lower(), error
    assert answer.ByteSize() < 4096


async def check_kept(calls: StorageCalls, content: bytes, answer: pb.StoreInstancesResponse, expected: Taken) -> None:
    assert answer.HasField("stored"), from_status(answer.rejected)
    instance = answer.stored.instance
    assert {warning.partition(" ")[0] for warning in instance.warnings} == set(expected.warnings), instance.warnings
    messages = await calls.stream("RetrieveInstances", name=instance.name)
    assert b"".join(message.data.content for message in messages).endswith(content)
    for form in (pb.RetrieveMetadataRequest.FORMAT_DICOM_JSON, pb.RetrieveMetadataRequest.FORMAT_HEADER_BYTES):
        assert len(await calls.stream("RetrieveMetadata", name=instance.name, format=form)) == 1
    study = (await calls.call("GetStudy", name=f"studies/{instance.study_instance_uid}")).study
    for field, value in expected.study.items():
        assert getattr(study, field) == value
    if isinstance(expected.frames, int):
        assert await frames_of(calls, instance.name, bool(expected.frames)) == expected.frames
    else:
        with pytest.raises(expected.frames) as refused:
            await frames_of(calls, instance.name, True)
        assert refused.value.where
        assert refused.value.hint


async def frames_of(calls: StorageCalls, name: str, there: bool) -> int:
    """How many frames of an instance come decoded."""
    if not there:
        return 0
    selection = pb.RetrieveFramesRequest.Selection(instance=name)
    messages = await calls.stream(
        "RetrieveFrames", selections=[selection], accept_transfer_syntax_uids=[EXPLICIT_VR_LITTLE_ENDIAN]
    )
    return sum(message.HasField("finish") for message in messages)


async def read_all(calls: StorageCalls, name: str) -> None:
    """Retrieve a sound instance in every way, so that nothing of it is new to the service afterwards."""
    await calls.stream("RetrieveInstances", name=name)
    await calls.stream("RetrieveMetadata", name=name, format=pb.RetrieveMetadataRequest.FORMAT_DICOM_JSON)
    await frames_of(calls, name, True)


async def test_memory_is_back_where_it_was(storage: StorageProcess, baseline: dict[str, int]) -> None:
    assert storage.private_bytes() - baseline["bytes"] < BASELINE_BYTES


def test_the_log_names_nothing_of_what_came(storage: StorageProcess) -> None:
    told = [*HOSTILE_NAMES.values(), "Yamada", "etc/passwd", "etc\\\\passwd", "Traceback"]
    assert [text for text in told if text in storage.log] == []


def test_nothing_was_written_outside_of_the_data_directory(storage: StorageProcess) -> None:
    around = {path.name for path in storage.data_dir.parent.iterdir()}
    assert around == {"data", Path(storage.log_file).name}
