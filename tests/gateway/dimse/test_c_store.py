"""C-STORE: what a modality sends is stored as it was sent, or refused with the status that says why."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from io import BytesIO
from pathlib import Path

import pydicom
import pytest
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian, MediaStorageDirectoryStorage
from pynetdicom.sop_class import CTImageStorage, MRImageStorage, Verification

from gateway_svc.dimse import status
from gateway_svc.store_stream import WHOLE_BYTES
from imaging.dicom.file_meta import FileMeta, read_file_meta
from imaging.dicom.transfer_syntax import TRANSFER_SYNTAXES
from imaging.errors import InvalidDicom
from tests.dicom.wheel_files import wheel_files
from tests.gateway.dimse.archive import Archive, c_store, data_set_of, send_files
from tests.gateway.dimse.conftest import Start
from tests.storage.storage_under_test import ct, encoded

CT = [(CTImageStorage, [ExplicitVRLittleEndian])]


def written(folder: Path, *contents: bytes) -> list[Path]:
    files = [folder / f"{number}.dcm" for number in range(len(contents))]
    for file, content in zip(files, contents, strict=True):
        file.write_bytes(content)
    return files


def file_meta(content: bytes) -> FileMeta | None:
    try:
        return read_file_meta(content)
    except InvalidDicom:
        return None


def large_ct(megabytes: int, sop: str) -> bytes:
    data_set = pydicom.dcmread(BytesIO(ct(sop=sop)))
    data_set.Rows, data_set.Columns = 512 * megabytes, 1024
    data_set.PixelData = bytes(range(256)) * (4096 * megabytes)
    return encoded(data_set)


async def test_an_echo_is_answered(archive: Archive) -> None:
    answered = await archive.talk([(Verification, [ImplicitVRLittleEndian])], lambda a: a.send_c_echo().Status)
    assert answered == status.SUCCESS


async def test_what_is_sent_is_stored_with_the_bytes_of_its_data_set(archive: Archive, tmp_path: Path) -> None:
    files = written(tmp_path, *(ct(sop=f"1.2.3.1.{number}") for number in range(3)))
    assert await archive.talk(CT, send_files(files)) == [0, 0, 0]
    stored = await archive.objects("studies/1.2.3")
    for number, file in enumerate(files):
        assert data_set_of(stored[f"1.2.3.1.{number}"]) == data_set_of(file.read_bytes())
    instance = await archive.client.get_instance("studies/1.2.3/series/1.2.3.1/instances/1.2.3.1.0")
    assert instance.data_set_sha256 == hashlib.sha256(data_set_of(files[0].read_bytes())).hexdigest()
    assert instance.transfer_syntax_uid == ExplicitVRLittleEndian
    meta = pydicom.dcmread(BytesIO(stored["1.2.3.1.0"])).file_meta
    assert meta.MediaStorageSOPInstanceUID == "1.2.3.1.0"


async def test_every_file_of_the_pydicom_wheel_is_stored_as_sent_or_refused(archive: Archive) -> None:
    """Each SOP Class in its own transfer syntax."""
    by_context: dict[tuple[str, str], list[bytes]] = {}
    for content in map(Path.read_bytes, wheel_files()):
        meta = file_meta(content)
        if meta and meta.media_storage_sop_class_uid and meta.transfer_syntax_uid in TRANSFER_SYNTAXES:
            key = meta.media_storage_sop_class_uid, meta.transfer_syntax_uid
            by_context.setdefault(key, []).append(content)
    sent: dict[str, list[bytes]] = {}
    for (sop_class, transfer_syntax), contents in by_context.items():
        association = await archive.associate([(sop_class, [transfer_syntax])])
        assert bool(association.contexts) is (sop_class != MediaStorageDirectoryStorage)
        for content in contents if association.contexts else ():
            meta = read_file_meta(content)
            uid, data_set = meta.media_storage_sop_instance_uid, content[meta.end :]
            answered = await c_store(association, sop_class, uid, data_set)
            assert answered in (0, status.CANNOT_UNDERSTAND, status.DUPLICATE_INSTANCE, status.DATA_SET_MISMATCH)
            if answered == status.SUCCESS:
                sent.setdefault(uid, []).append(data_set)
        await association.release()
    kept: dict[str, bytes] = {}
    for study in await archive.study_uids():
        kept |= await archive.objects(f"studies/{study}")
    assert len(sent) > 30
    assert kept.keys() == sent.keys()
    # Several files are the same instance, in another encoding or with corrected attributes.
    assert all(data_set_of(content) in sent[uid] for uid, content in kept.items())
    assert len({read_file_meta(content).transfer_syntax_uid for content in kept.values()}) > 8


async def test_a_large_instance_is_taken_in_chunks(archive: Archive, tmp_path: Path) -> None:
    files = written(tmp_path, *(large_ct(size, f"1.2.3.1.{size}") for size in (3, 4, 12)))
    assert files[0].stat().st_size < WHOLE_BYTES < files[1].stat().st_size
    assert await archive.talk(CT, send_files(files)) == [0, 0, 0]
    stored = await archive.objects("studies/1.2.3")
    for size, file in zip((3, 4, 12), files, strict=True):
        assert data_set_of(stored[f"1.2.3.1.{size}"]) == data_set_of(file.read_bytes())


async def test_sending_again_is_a_success(archive: Archive, tmp_path: Path) -> None:
    files = written(tmp_path, ct(), ct())
    assert await archive.talk(CT, send_files(files)) == [0, 0]


async def test_each_refusal_has_its_status_and_the_association_goes_on(archive: Archive) -> None:
    association = await archive.associate(CT)

    async def store(sop: str, data: bytes | None, sop_class: str = CTImageStorage) -> int:
        return await c_store(association, sop_class, sop, data)

    sound, other_pixels = data_set_of(ct()), data_set_of(ct(pixels=b"\x01\x02" * 128 * 128))
    assert await store("1.2.3.1.1", sound) == status.SUCCESS
    assert await store("1.2.3.1.1", other_pixels) == status.DUPLICATE_INSTANCE
    assert await store("1.2.3.1.2", sound) == status.DATA_SET_MISMATCH
    assert await store("1.2.3.1.1", sound, MRImageStorage) == status.SOP_CLASS_NOT_SUPPORTED
    of_mr = data_set_of(ct(sop="1.2.3.1.3", SOPClassUID=MRImageStorage))
    assert await store("1.2.3.1.3", of_mr) == status.DATA_SET_MISMATCH
    assert await store("1.2.3.1.4", data_set_of(ct(sop="1.2.3.1.4"))[:-10]) == status.CANNOT_UNDERSTAND
    assert await store("../../x", sound) == status.CANNOT_UNDERSTAND
    assert await store("1.2.3.1.1", b"") == status.CANNOT_UNDERSTAND
    assert await store("1.2.3.1.1", None) == status.CANNOT_UNDERSTAND
    assert await store("1.2.3.1.5", data_set_of(ct(sop="1.2.3.1.5"))) == status.SUCCESS
    await association.release()
    assert set(await archive.objects("studies/1.2.3")) == {"1.2.3.1.1", "1.2.3.1.5"}


@pytest.mark.parametrize("megabytes", [1, 6])
async def test_what_is_cut_off_leaves_nothing_behind(archive: Archive, megabytes: int) -> None:
    data_set = data_set_of(large_ct(megabytes, "1.2.3.1.1"))
    association = await archive.associate(CT)

    async def half() -> AsyncIterator[bytes]:
        yield data_set[: len(data_set) // 2]
        association.stream.drop()
        yield data_set[len(data_set) // 2 :]

    with pytest.raises(Exception, match="cut"):
        await c_store(association, CTImageStorage, "1.2.3.1.1", half())
    # A later one on another association is not disturbed, and by then the spool is empty.
    again = await archive.associate(CT)
    assert await c_store(again, CTImageStorage, "1.2.4.1", data_set_of(ct(study="1.2.4", sop="1.2.4.1"))) == 0
    await again.release()
    assert await archive.study_uids() == ["1.2.4"]
    spool = archive.settings.data_dir / "storage" / "objects" / ".spool"
    assert not list(spool.iterdir())


async def test_a_private_class_is_taken_where_the_settings_say_so(start: Start) -> None:
    private, other = "1.2.840.113619.4.27", "1.3.46.670589.11.0.0.12.1"
    async with start(gateway__dimse_storage_classes="1.2.840.113619.4.*") as archive:
        for sop_class, is_taken in ((private, True), (other, False)):
            association = await archive.associate([(sop_class, [ExplicitVRLittleEndian])])
            assert bool(association.contexts) is is_taken
            if is_taken:
                data = data_set_of(ct(SOPClassUID=sop_class))
                assert await c_store(association, sop_class, "1.2.3.1.1", data) == status.SUCCESS
            await association.release()


async def test_the_source_is_the_calling_ae_title(archive: Archive, tmp_path: Path) -> None:
    await archive.talk(CT, send_files(written(tmp_path, ct())), ae_title="CT-7")
    log = archive.settings.data_dir / "storage"
    assert b"CT-7" in (log / "storage.sqlite").read_bytes() + (log / "storage.sqlite-wal").read_bytes()
