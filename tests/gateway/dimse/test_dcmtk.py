"""DCMTK's programs as modality and PACS."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import pydicom
import pytest
from pydicom.uid import ExplicitVRLittleEndian

from tests.ct_series import ct_series
from tests.dicom.wheel_files import wheel_file
from tests.gateway.dimse.archive import Archive, data_set_of, free_port
from tests.gateway.dimse.conftest import Start
from tests.gateway.dimse.test_c_find import keep
from tests.storage.storage_under_test import ct

pytestmark = [
    pytest.mark.peers,
    pytest.mark.skipif(shutil.which("storescu") is None, reason="DCMTK is not installed, so its programs do not call"),
]


async def run(*command: str | Path) -> str:
    """What a program says; it must succeed within its time."""
    process = await asyncio.create_subprocess_exec(
        *map(str, command), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    async with asyncio.timeout(60):
        output, _ = await process.communicate()
    assert process.returncode == 0, output.decode(errors="replace")
    return output.decode(errors="replace")


async def until_listening(port: int) -> None:
    """Wait until somebody takes connections there."""
    async with asyncio.timeout(20):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.02)
            else:
                writer.close()
                return


def written(folder: Path, instances: Mapping[str, bytes]) -> list[Path]:
    """Instances as files named by their UIDs."""
    folder.mkdir(exist_ok=True)
    for uid, content in instances.items():
        (folder / uid).write_bytes(content)
    return [folder / uid for uid in instances]


async def test_echoscu(archive: Archive) -> None:
    await run("echoscu", "127.0.0.1", str(archive.port))


@pytest.mark.parametrize("associations", [1, 4, 16])
async def test_storescu_over_many_associations_at_once(start: Start, tmp_path: Path, associations: int) -> None:
    series = ct_series("storescu", slices=32)
    files = written(tmp_path / "sent", series.instances)
    async with start(gateway__dimse_acceptors=2) as archive:
        to = ("storescu", "-xe", "--max-send-pdu", "131072", "127.0.0.1", str(archive.port))
        await asyncio.gather(*(run(*to, *files[first::associations]) for first in range(associations)))
        stored = await archive.objects(series.study)
    assert {uid: data_set_of(content) for uid, content in stored.items()} == {
        uid: data_set_of(content) for uid, content in series.instances.items()
    }


MIXED: Sequence[str] = (
    "CT_small.dcm",
    "MR_small_RLE.dcm",
    "JPEG2000.dcm",
    "SC_rgb_jpeg_dcmtk.dcm",
    "image_dfl.dcm",
    "ExplVR_BigEnd.dcm",
    "rtplan.dcm",
    "reportsi.dcm",
)
CONVERTED = ("ExplVR_BigEnd.dcm", "rtplan.dcm")


async def test_dcmsend_with_mixed_transfer_syntaxes(archive: Archive, tmp_path: Path) -> None:
    for name in MIXED:
        (tmp_path / name).write_bytes(wheel_file(name))
    said = await run("dcmsend", "-v", "127.0.0.1", str(archive.port), *(tmp_path / name for name in MIXED))
    assert f"with status SUCCESS  : {len(MIXED)}" in said, said
    kept: dict[str, str] = {}
    for study in await archive.study_uids():
        instances = archive.client.search_instances(f"studies/{study}")
        kept |= {instance.sop_instance_uid: instance.transfer_syntax_uid async for instance in instances}
    # The two that it could send as Explicit VR Little Endian too, it converts to that, which we like better.
    sent = {name: pydicom.dcmread(tmp_path / name) for name in MIXED}
    assert kept == {
        str(data_set.SOPInstanceUID): ExplicitVRLittleEndian
        if name in CONVERTED
        else data_set.file_meta.TransferSyntaxUID
        for name, data_set in sent.items()
    }


async def test_findscu_at_every_level_of_both_models(archive: Archive, tmp_path: Path) -> None:
    series = ct_series("findscu", slices=5)
    await run("storescu", "-xe", "127.0.0.1", str(archive.port), *written(tmp_path, series.instances))

    async def find(model: str, level: str, *keys: str) -> str:
        own = [part for key in (f"QueryRetrieveLevel={level}", *keys) for part in ("-k", key)]
        return await run("findscu", "-v", model, *own, "127.0.0.1", str(archive.port))

    study, uid = f"StudyInstanceUID={series.study_instance_uid}", series.series_instance_uid
    for model in ("-P", "-S"):
        assert series.study_instance_uid in await find(model, "STUDY", "StudyInstanceUID", "PatientName=*")
        assert uid in await find(model, "SERIES", study, "SeriesInstanceUID", "Modality=C*")
        said = await find(model, "IMAGE", study, f"SeriesInstanceUID={uid}", "SOPInstanceUID")
        assert all(sop in said for sop in series.instances)
    assert "Find Response: 1 (Pending)" in await find("-P", "PATIENT", "PatientID", "PatientName")
    assert "Find Response: 1 " not in await find("-S", "STUDY", "PatientID=NOBODY")


async def test_findscu_ends_a_search_by_a_cancel(archive: Archive) -> None:
    await keep(archive, *(ct(sop=f"1.2.3.1.{number}") for number in range(600)))
    keys = ("-k", "QueryRetrieveLevel=IMAGE", "-k", "StudyInstanceUID=1.2.3", "-k", "SOPInstanceUID")
    said = await run("findscu", "-v", "-S", "--cancel", "3", *keys, "127.0.0.1", str(archive.port))
    assert "Final Find Response (Cancel" in said, said[-600:]
    assert 3 <= said.count("(Pending)") < 600


async def test_getscu_gets_back_what_storescu_has_sent(archive: Archive, tmp_path: Path) -> None:
    series = ct_series("getscu", slices=6)
    await run("storescu", "-xe", "127.0.0.1", str(archive.port), *written(tmp_path / "sent", series.instances))
    got = tmp_path / "got"
    got.mkdir()
    keys = ("-k", "QueryRetrieveLevel=STUDY", "-k", f"StudyInstanceUID={series.study_instance_uid}")
    await run("getscu", "-S", "+B", "-od", got, *keys, "127.0.0.1", str(archive.port))
    assert sorted(data_set_of(file.read_bytes()) for file in got.iterdir()) == sorted(
        data_set_of(content) for content in series.instances.values()
    )


async def test_movescu_has_storescp_sent_what_is_stored(start: Start, tmp_path: Path) -> None:
    series = ct_series("movescu", slices=6)
    port = free_port()
    got = tmp_path / "got"
    got.mkdir()
    there = {"storescp": {"ae_title": "STORESCP", "address": f"127.0.0.1:{port}"}}
    async with start(gateway__destinations=there) as archive:
        await run("storescu", "-xe", "127.0.0.1", str(archive.port), *written(tmp_path / "sent", series.instances))
        server = await asyncio.create_subprocess_exec("storescp", "+B", "-od", str(got), str(port))
        try:
            await until_listening(port)
            keys = ("-k", "QueryRetrieveLevel=SERIES", "-k", f"StudyInstanceUID={series.study_instance_uid}")
            keys += ("-k", f"SeriesInstanceUID={series.series_instance_uid}")
            to = ("-aem", "STORESCP", *keys, "127.0.0.1", str(archive.port))
            assert "Received Final Move Response (Success)" in await run("movescu", "-v", "-S", *to)
        finally:
            server.terminate()
            await server.wait()
    assert sorted(data_set_of(file.read_bytes()) for file in got.iterdir()) == sorted(
        data_set_of(content) for content in series.instances.values()
    )
