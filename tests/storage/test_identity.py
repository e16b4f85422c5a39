"""Identity: what happens when a SOP Instance UID comes again."""

from __future__ import annotations

from io import BytesIO

import pydicom
import pytest
from pydicom.uid import DeflatedExplicitVRLittleEndian, ImplicitVRLittleEndian, RLELossless
from sqlalchemy import select

from imaging.errors import Conflict, Unavailable
from imaging.storage.v1 import storage_pb2
from storage_svc.index.manifest import manifest_digest
from storage_svc.index.writer import IndexWriter, Overtaken
from storage_svc.schema import INSTANCE, KEPT_OBJECT, QUARANTINE
from tests.storage.storage_under_test import Storage, chunks, ct, encoded, file_bytes, origin

STORED = storage_pb2.STORE_OUTCOME_STORED
ALREADY_STORED = storage_pb2.STORE_OUTCOME_ALREADY_STORED
EQUIVALENT = storage_pb2.STORE_OUTCOME_EQUIVALENT
NEW_VERSION = storage_pb2.STORE_OUTCOME_NEW_VERSION
CT = pydicom.dcmread(BytesIO(ct()))
INSTANCE_NAME = "studies/1.2.3/series/1.2.3.1/instances/1.2.3.1.1"


def other_pixels() -> bytes:
    return bytes(reversed(CT.PixelData))


async def kept(storage: Storage) -> int:
    return len(await storage.service._database.read(lambda c: c.execute(select(KEPT_OBJECT.c.object_key)).all()))


async def served(storage: Storage) -> bytes:
    (message,) = await storage.stream("RetrieveInstances", name="studies/1.2.3")
    return bytes(message.data.content)


async def test_big_endian_words_of_odd_frames_are_the_same_pixels(storage: Storage) -> None:
    assert (await storage.store_one(file_bytes("SC_rgb_small_odd.dcm"))).outcome == STORED
    assert (await storage.store_one(file_bytes("SC_rgb_small_odd_big_endian.dcm"))).outcome in (EQUIVALENT, NEW_VERSION)


async def test_the_same_bytes_are_already_stored(storage: Storage) -> None:
    assert (await storage.store_one(ct())).outcome == STORED
    assert (await storage.store_one(ct())).outcome == ALREADY_STORED
    assert await kept(storage) == 1


async def test_another_wrapping_of_the_same_data_set_is_already_stored(storage: Storage) -> None:
    await storage.store_one(ct())
    rewrapped = bytearray(ct())
    rewrapped[:4] = b"II*\0"
    assert (await storage.store_one(bytes(rewrapped))).outcome == ALREADY_STORED
    assert await served(storage) == ct()


async def test_another_encoding_is_equivalent_also_where_the_study_is_of_another_patient(storage: Storage) -> None:
    await storage.store_one(ct(PatientID="first"))
    second = ct(sop="1.2.3.1.2", PatientID="second")
    assert (await storage.store_one(second)).outcome == STORED
    again = pydicom.dcmread(BytesIO(second))
    again.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    assert (await storage.store_one(encoded(again))).outcome == EQUIVALENT


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian, RLELossless])
async def test_the_same_image_in_another_transfer_syntax_is_equivalent(storage: Storage, syntax: str) -> None:
    content = ct()
    data_set = pydicom.dcmread(BytesIO(content))
    if syntax == RLELossless:
        data_set.compress(RLELossless, generate_instance_uid=False)
    else:
        data_set.file_meta.TransferSyntaxUID = syntax
    again = encoded(data_set)
    await storage.store_one(content)
    assert (await storage.store_one(again)).outcome in (EQUIVALENT, ALREADY_STORED)
    assert await served(storage) == content
    assert await kept(storage) == 1


async def test_all_encodings_of_one_slice_in_the_pydicom_wheel_are_equivalent(storage: Storage) -> None:
    await storage.store_one(file_bytes("MR_small.dcm"))
    for name in ("implicit", "bigendian", "expb", "RLE", "jp2klossless"):
        assert (await storage.store_one(file_bytes(f"MR_small_{name}.dcm"))).outcome == EQUIVALENT, name


async def test_corrected_attributes_make_a_new_version_and_the_old_one_is_kept(storage: Storage) -> None:
    first = await storage.store_one(ct(PatientName="Old^Name"))
    corrected = ct(PatientName="New^Name")
    second = await storage.store_one(corrected)
    assert (second.outcome, second.instance.version) == (NEW_VERSION, 2)
    assert await served(storage) == corrected
    study = (await storage.call("GetStudy", name="studies/1.2.3")).study
    assert (study.patient_name, study.instance_count) == ("New^Name", 1)
    assert study.size_bytes == len(corrected)
    kinds = [change.kind for change in await storage.changes(count=3)]
    stored, changed = storage_pb2.Change.KIND_INSTANCE_STORED, storage_pb2.Change.KIND_STUDY_CHANGED
    assert sorted(kinds) == sorted([stored, stored, changed])
    rows = await storage.service._database.read(
        lambda c: c.execute(select(KEPT_OBJECT.c.version, KEPT_OBJECT.c.object_key)).all()
    )
    assert sorted(version for version, _ in rows) == [1, 2]
    objects = storage.folder / "storage" / "objects"
    assert {(objects / key).read_bytes() for _, key in rows} == {ct(PatientName="Old^Name"), corrected}
    assert first.instance.data_set_sha256 != second.instance.data_set_sha256


@pytest.mark.parametrize(
    "second",
    [
        {"pixels": other_pixels()},
        {"study": "1.2.4"},
        {"series": "1.2.3.2"},
        {"PatientID": "another"},
    ],
    ids=["pixels", "study", "series", "patient"],
)
async def test_other_content_is_quarantined_and_the_sender_is_told(storage: Storage, second: dict[str, object]) -> None:
    await storage.store_one(ct())
    intruder = ct(**second)  # type: ignore[arg-type]  # values of several kinds by name
    for _ in range(2):
        with pytest.raises(Conflict):
            await storage.store_one(intruder)
    assert await served(storage) == ct()
    rows = await storage.service._database.read(lambda c: c.execute(select(QUARANTINE)).mappings().all())
    assert len(rows) == 1
    path = storage.folder / "storage" / "objects" / rows[0]["object_key"]
    assert path.read_bytes() == intruder
    changes = await storage.changes(count=1, kinds=[storage_pb2.Change.KIND_CONFLICT_QUARANTINED])
    assert changes[0].digest == rows[0]["data_set_sha256"]
    assert (await storage.call("SearchStudies")).studies[0].instance_count == 1


async def test_a_report_with_other_content_is_quarantined_and_one_with_a_corrected_name_replaces(
    storage: Storage,
) -> None:
    report = pydicom.dcmread(BytesIO(file_bytes("reportsi.dcm")))
    await storage.store_one(encoded(report))
    report.PatientName = "Corrected^Name"
    assert (await storage.store_one(encoded(report))).outcome == NEW_VERSION
    report.ContentSequence[0].ValueType = "UIDREF"
    with pytest.raises(Conflict):
        await storage.store_one(encoded(report))


async def test_the_first_of_a_derived_instance_is_kept(storage: Storage) -> None:
    await storage.store_one(ct(), origin=origin())
    stored = await storage.store_one(ct(pixels=other_pixels()), origin=origin(attempt=2))
    assert stored.outcome == ALREADY_STORED
    assert await served(storage) == ct()


async def test_a_derived_instance_stays_derived_when_a_pacs_echoes_it_with_coerced_attributes(storage: Storage) -> None:
    await storage.store_one(ct(), origin=origin())
    echoed = await storage.store_one(ct())
    assert (echoed.outcome, echoed.instance.origin.kind) == (ALREADY_STORED, storage_pb2.Origin.KIND_DERIVED)
    coerced = await storage.store_one(ct(AccessionNumber="A-1"))
    assert coerced.outcome == ALREADY_STORED
    assert await served(storage) == ct()
    with pytest.raises(Conflict):
        await storage.store_one(ct(pixels=other_pixels()))


async def test_an_instance_whose_object_was_lost_is_healed_by_sending_it_again(storage: Storage) -> None:
    await storage.store_one(ct())
    (path,) = (storage.folder / "storage" / "objects" / "studies").rglob("*.dcm")
    path.unlink()
    assert (await storage.store_one(ct())).outcome == ALREADY_STORED
    assert await served(storage) == ct()


async def test_bytes_that_healed_a_deleted_instance_stay_when_another_request_overtakes(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    await storage.store_one(ct())
    (path,) = (storage.folder / "storage" / "objects" / "studies").rglob("*.dcm")
    path.unlink()
    await storage.call("DeleteInstance", name=INSTANCE_NAME)

    async def overtaken(writer: IndexWriter, arrival: object, row: object) -> None:
        raise Overtaken

    with monkeypatch.context() as patch:
        patch.setattr(IndexWriter, "bring_back", overtaken)
        with pytest.raises(Unavailable, match="changed by another request"):
            await storage.store_one(ct())
    await storage.call("RestoreInstance", name=INSTANCE_NAME)
    assert await served(storage) == ct()


async def test_a_damaged_object_is_healed_by_sending_its_data_set_again_even_in_another_file(storage: Storage) -> None:
    await storage.store_one(ct())
    (path,) = (storage.folder / "storage" / "objects" / "studies").rglob("*.dcm")
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    again = pydicom.dcmread(BytesIO(ct()))
    again.file_meta.SourceApplicationEntityTitle = "ANOTHER"
    stored = await storage.store_one(encoded(again))
    assert stored.outcome == ALREADY_STORED
    assert stored.instance.size_bytes == len(encoded(again))
    assert await served(storage) == encoded(again)
    study = (await storage.call("GetStudy", name="studies/1.2.3")).study
    assert study.size_bytes == len(encoded(again))
    keys = await storage.service._database.read(lambda c: c.execute(select(KEPT_OBJECT.c.object_key)).scalars().all())
    assert len(keys) == 1
    assert keys[0] != path.relative_to(storage.folder / "storage" / "objects").as_posix()


async def test_a_large_conflicting_upload_is_compared_and_quarantined(storage: Storage) -> None:
    data_set = pydicom.dcmread(BytesIO(ct()))
    data_set.Rows, data_set.Columns = 1024, 1024 * 2
    data_set.PixelData = bytes(1024 * 2048 * 2)
    first = encoded(data_set)
    data_set.PixelData = b"\1" + data_set.PixelData[1:]
    (answer,) = await storage.send(chunks("a", first))
    assert answer.stored.outcome == STORED
    (answer,) = await storage.send(chunks("b", encoded(data_set)))
    assert answer.HasField("rejected")
    (answer,) = await storage.send(chunks("c", first))
    assert answer.stored.outcome == ALREADY_STORED
    assert not list((storage.folder / "storage" / "objects" / ".spool").iterdir())


async def test_no_row_is_without_its_object(storage: Storage) -> None:
    await storage.store(*(ct(sop=f"1.2.3.1.{n % 7 + 1}", InstanceNumber=str(n)) for n in range(20)))
    keys = await storage.service._database.read(lambda c: c.execute(select(INSTANCE.c.object_key)).scalars().all())
    objects = storage.folder / "storage" / "objects"
    assert set(keys) <= {path.relative_to(objects).as_posix() for path in objects.glob("studies/**/*.dcm")}


def test_a_manifest_digest_does_not_depend_on_order() -> None:
    members = [("1.2", "a"), ("1.10", "b"), ("1.3", "c")]
    assert manifest_digest(members) == manifest_digest(reversed(members))
    assert manifest_digest(members) != manifest_digest(members[:2])


async def test_a_value_that_nobody_can_read_does_not_keep_a_correction_from_being_one(storage: Storage) -> None:
    odd = ct().replace(b"\x28\x00\x20\x01SS\2\0", b"\x28\x00\x20\x01SS\1\0", 1)
    at = odd.index(b"\x28\x00\x20\x01SS\1\0") + 8
    odd = odd[:at] + odd[at + 1 :]  # Pixel Padding Value of one byte
    corrected = odd.replace(b"CompressedSamples^CT1", b"CompressedSamples^CT2", 1)
    assert (await storage.store_one(odd)).outcome == STORED
    assert (await storage.store_one(corrected)).outcome == NEW_VERSION


async def test_a_sequence_that_pydicom_cannot_walk_is_compared_as_it_is_written(storage: Storage) -> None:
    # UN of defined length that the dictionary knows as a sequence: only pydicom takes it for one (PS3.5 6.2.2).
    damaged = _with_damaged_sequence(ct())
    corrected = damaged.replace(b"CompressedSamples^CT1", b"CompressedSamples^CT2", 1)
    assert (await storage.store_one(damaged)).outcome == STORED
    assert (await storage.store_one(corrected)).outcome == NEW_VERSION


def _with_damaged_sequence(content: bytes) -> bytes:
    """The instance with Referenced Image Sequence (0008,1140) as UN whose bytes are cut within an item."""
    at = content.index(b"\x10\x00\x10\x00PN")
    return content[:at] + b"\x08\x00\x40\x11UN\0\0\6\0\0\0\xfe\xff\0\xe0\x10\0" + content[at:]
