"""STOW-RS: what comes in is stored as sent, each part with its answer; what breaks off leaves nothing behind."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncIterator
from io import BytesIO
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import httpx
import psutil
import pydicom
import pytest
from dicomweb_client.api import DICOMwebClient

from gateway_svc.dicomweb.store_answer import CREATOR
from gateway_svc.http import exchange
from imaging.errors import NotFound
from tests.ct_series import ct_series
from tests.gateway.site import Site
from tests.installation.in_process import services_in_process
from tests.readme.snippets import shell_commands
from tests.storage.storage_under_test import ct, encoded, file_bytes

pytestmark = pytest.mark.asyncio(loop_scope="module")

BOUNDARY = "a-b_c"
HEADERS = {"content-type": f'multipart/related; type="application/dicom"; boundary="{BOUNDARY}"'}


def body(*parts: bytes, kind: str = "application/dicom") -> bytes:
    """A multipart body."""
    pieces = [f"--{BOUNDARY}\r\nContent-Type: {kind}\r\n\r\n".encode() + part + b"\r\n" for part in parts]
    return b"".join(pieces) + f"--{BOUNDARY}--\r\n".encode()


async def chunked(content: bytes, size: int = 10_007) -> AsyncIterator[bytes]:
    """The content in pieces of a size that fits nothing, sent by chunked transfer encoding."""
    for start in range(0, len(content), size):
        yield content[start : start + size]


async def _post(site: Site, content: Any, path: str = "/studies", **headers: str) -> httpx.Response:
    return await site.http.post(path, content=content, headers={**HEADERS, **headers})


def _uids(answer: httpx.Response, tag: str = "00081199") -> list[str]:
    return [item["00081155"]["Value"][0] for item in answer.json().get(tag, {}).get("Value", [])]


def _failures(answer: httpx.Response) -> list[tuple[str, int, str]]:
    """UID, Failure Reason and kind of error of each failed part; those without a UID last."""
    items = [item for tag in ("00081198", "0008119A") for item in answer.json().get(tag, {}).get("Value", [])]
    assert all(item["00090010"]["Value"] == [CREATOR] for item in items)
    return [
        (
            item.get("00081155", {}).get("Value", [""])[0],
            item["00081197"]["Value"][0],
            item["00091001"]["Value"][0],
        )
        for item in items
    ]


async def _bytes(site: Site, name: str) -> bytes:
    return b"".join([content async for _, content in site.storage.retrieve_instances(name)])


@pytest.mark.parametrize("way", ["whole", "chunked"])
async def test_instances_are_stored_as_sent(site: Site, way: str) -> None:
    series = ct_series(f"stow-{way}", slices=5, size=64)
    content = body(*series.instances.values())
    answer = await _post(site, content if way == "whole" else chunked(content))
    assert answer.status_code == 200, answer.text
    assert _uids(answer) == list(series.instances)
    assert answer.json()["00081190"]["Value"] == [f"{site.dicom_web}/{series.study}"]
    for uid, sent in series.instances.items():
        assert await _bytes(site, f"{series.series}/instances/{uid}") == sent
    again = await _post(site, content)
    assert (again.status_code, _uids(again)) == (200, list(series.instances))


@pytest.mark.parametrize("size", [3_400_000, 3_600_000, 9_000_000])
async def test_large_instances_pass_through_in_chunks(site: Site, size: int) -> None:
    sop = f"1.20.1.{size}"
    data_set = pydicom.dcmread(BytesIO(ct("1.20", "1.20.1", sop)))
    data_set.Rows, data_set.Columns = size // 2000, 1000
    data_set.PixelData = os.urandom(data_set.Rows * 2000)
    sent = encoded(data_set)
    answer = await _post(site, chunked(body(sent), 65_536))
    assert answer.status_code == 200, answer.text
    assert await _bytes(site, f"studies/1.20/series/1.20.1/instances/{sop}") == sent


async def test_one_instance_may_be_the_whole_body(site: Site) -> None:
    sent = ct("1.21", "1.21.1", "1.21.1.1")
    answer = await _post(site, sent, **{"content-type": "application/dicom"})
    assert (answer.status_code, _uids(answer)) == (200, ["1.21.1.1"])


async def test_each_part_has_its_answer(site: Site) -> None:
    good, other = ct("1.22", "1.22.1", "1.22.1.1"), ct("1.22", "1.22.1", "1.22.1.2")
    conflicting = ct("1.22", "1.22.1", "1.22.1.1", pixels=bytes(128 * 128 * 2))
    truncated = ct("1.22", "1.22.1", "1.22.1.3")[:-5000]
    answer = await _post(site, body(good, b"no dicom at all", truncated, other, conflicting, b""))
    assert answer.status_code == 202, answer.text
    assert _uids(answer) == ["1.22.1.1", "1.22.1.2"]
    assert sorted(_failures(answer)) == [
        ("", 0xC000, "NOT_DICOM"),
        ("", 0xC000, "NOT_DICOM"),
        ("1.22.1.1", 0x0111, "CONTENT_CONFLICT"),
        ("1.22.1.3", 0xC000, "TRUNCATED_DICOM"),
    ]
    texts = [item["00091002"]["Value"][0] for item in answer.json()["00081198"]["Value"]]
    assert any("7FE0,0010" in text for text in texts), "the place in the file is told"


async def test_nothing_stored_is_a_conflict_with_the_reasons(site: Site) -> None:
    answer = await _post(site, body(b"nothing", b"at all"))
    assert answer.status_code == 409
    assert [reason for _, reason, _ in _failures(answer)] == [0xC000, 0xC000]


async def test_instance_of_another_study_than_the_path_names_is_refused(site: Site) -> None:
    mine, other = ct("1.23", "1.23.1", "1.23.1.1"), ct("1.24", "1.24.1", "1.24.1.1")
    answer = await _post(site, body(mine, other), "/studies/1.23")
    assert answer.status_code == 202
    assert _uids(answer) == ["1.23.1.1"]
    ((uid, reason, _),) = _failures(answer)
    assert (uid, reason) == ("1.24.1.1", 0xA900)
    with pytest.raises(NotFound):
        await site.storage.get_study("studies/1.24")


async def test_part_of_another_kind_fails_alone(site: Site) -> None:
    content = body(ct("1.25", "1.25.1", "1.25.1.1")).removesuffix(f"--{BOUNDARY}--\r\n".encode())
    answer = await _post(site, content + body(b"{}", kind="application/json"))
    assert (answer.status_code, _uids(answer)) == (202, ["1.25.1.1"])
    assert "application/json" in answer.json()["0008119A"]["Value"][0]["00091002"]["Value"][0]


@pytest.mark.parametrize(
    ("content_type", "told"),
    [
        ("application/json", "multipart/related"),
        ("", "multipart/related"),
        ('multipart/related; type="application/dicom+json"; boundary=x', "bulk data"),
        ('multipart/related; type="application/dicom+xml"; boundary=x', "bulk data"),
        ("text/plain", "multipart/related"),
    ],
)
async def test_other_bodies_are_not_taken_and_the_reason_is_told(site: Site, content_type: str, told: str) -> None:
    answer = await _post(site, b"{}", **{"content-type": content_type})
    assert answer.status_code == 415
    assert told in answer.json()["hint"]


async def test_compressed_body_is_not_taken(site: Site) -> None:
    answer = await _post(site, bytes(10_000), **{"content-encoding": "gzip"})
    assert (answer.status_code, answer.json()["where"]) == (415, "Content-Encoding")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no boundary at all",
        body(),
        b"--other\r\n\r\n",
        f"--{BOUNDARY}\r\n".encode() + b"x" * 40_000,
        b"x" * 100_000 + body(ct("1.26", "1.26.1", "1.26.1.9")),
    ],
    ids=["empty", "none", "no parts", "another", "endless head", "long preamble"],
)
async def test_body_that_is_no_multipart_is_refused(site: Site, content: bytes) -> None:
    answer = await _post(site, content)
    assert answer.status_code == 400, answer.text
    assert answer.json()["where"] == "body"
    missing = await _post(site, content, **{"content-type": "multipart/related"})
    assert (missing.status_code, missing.json()["where"]) == (400, "Content-Type")


async def test_body_that_ends_too_early_keeps_what_came_before_and_nothing_else(site: Site) -> None:
    first, second = ct("1.27", "1.27.1", "1.27.1.1"), ct("1.27", "1.27.1", "1.27.1.2")
    answer = await _post(site, body(first, second)[: -len(second) // 2])
    assert (answer.status_code, _uids(answer)) == (202, ["1.27.1.1"])
    assert _failures(answer)[-1][2] == "BROKEN_BODY"
    assert [item.sop_instance_uid async for item in site.storage.search_instances("studies/1.27")] == ["1.27.1.1"]


async def test_connection_that_breaks_leaves_nothing_of_the_open_instance(site: Site) -> None:
    port = int(site.settings.gateway.http_address.rpartition(":")[2])
    data_set = pydicom.dcmread(BytesIO(ct("1.28", "1.28.1", "1.28.1.1")))
    data_set.Rows, data_set.Columns, data_set.PixelData = 4000, 1000, bytes(8_000_000)
    content = body(encoded(data_set))
    head = f"POST /dicom-web/studies HTTP/1.1\r\nHost: localhost\r\nContent-Type: {HEADERS['content-type']}\r\n"
    for sent in (100, 200_000, 7_000_000):
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(f"{head}Content-Length: {len(content)}\r\n\r\n".encode() + content[:sent])
        await writer.drain()
        writer.transport.abort()
    spool = site.settings.data_dir / "storage"
    async with asyncio.timeout(20):
        # Another service does it, and tells nobody.
        while any(path.name.startswith(("once-", "part-")) for path in spool.rglob("*")):  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    with pytest.raises(NotFound):
        await site.storage.get_study("studies/1.28")


async def test_sender_that_falls_silent_is_told_and_let_go(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange, "READ_SECONDS", 0.3)

    async def silent() -> AsyncIterator[bytes]:
        yield body(ct("1.29", "1.29.1", "1.29.1.1"))[:5000]
        await asyncio.sleep(1)

    answer = await _post(site, silent())
    assert answer.status_code == 408
    port = int(site.settings.gateway.http_address.rpartition(":")[2])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(
        b"POST /dicom-web/studies HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/dicom\r\n"
        b"Content-Length: 4294967295\r\n\r\n"
    )
    async with asyncio.timeout(5):
        told = await reader.read()
    writer.close()
    assert told.startswith(b"HTTP/1.1 408 ")


async def test_answer_comes_as_xml_for_those_who_take_nothing_else(site: Site) -> None:
    answer = await _post(site, body(ct("1.30", "1.30.1", "1.30.1.1"), b"<&>"), accept="application/dicom+xml")
    assert answer.headers["content-type"] == "application/dicom+xml"
    root = ElementTree.fromstring(answer.content)
    values = {element.get("keyword"): element for element in root.iter() if element.get("keyword")}
    space = "{http://dicom.nema.org/PS3.19/models/NativeDICOM}"
    assert values["ReferencedSOPInstanceUID"].findtext(f"{space}Value") == "1.30.1.1"
    assert values["FailureReason"].findtext(f"{space}Value") == str(0xC000)
    parts = {"accept": "multipart/related; type=application/dicom+xml"}
    searched = await site.http.get("/studies/1.30/series", headers=parts)
    assert b'keyword="SeriesInstanceUID"' in searched.content
    metadata = await site.http.get("/studies/1.30/metadata", headers={"accept": "application/dicom+xml"})
    assert b'keyword="PatientName"' in metadata.content
    assert b"<FamilyName>CompressedSamples</FamilyName>" in metadata.content


async def test_unknown_accept_of_a_store_is_no_reason_to_say_that_nothing_was_stored(site: Site) -> None:
    answer = await _post(site, body(ct("1.31", "1.31.1", "1.31.1.1")), accept="text/html")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/dicom+json")


async def test_dicomweb_client_stores_and_reads_its_answer(site: Site) -> None:
    names = ("JPEG2000.dcm", "reportsi.dcm", "rtdose.dcm")
    sent = [pydicom.dcmread(BytesIO(file_bytes(name))) for name in names]

    def store() -> pydicom.Dataset:
        client = DICOMwebClient(site.dicom_web, chunk_size=5000)
        return client.store_instances(sent)

    answer = await asyncio.to_thread(store)
    assert [item.ReferencedSOPInstanceUID for item in answer.ReferencedSOPSequence] == [
        item.SOPInstanceUID for item in sent
    ]
    assert "FailedSOPSequence" not in answer


async def test_many_senders_at_once_are_each_answered(site: Site) -> None:
    all_series = [ct_series(f"crowd-{number}", slices=6, size=32) for number in range(8)]
    answers = await asyncio.gather(*[_post(site, chunked(body(*s.instances.values()))) for s in all_series])
    assert [answer.status_code for answer in answers] == [200] * 8
    assert [_uids(answer) for answer in answers] == [list(series.instances) for series in all_series]


async def test_storage_that_is_away_is_told_as_such(tmp_path: Path) -> None:
    async with services_in_process(tmp_path, "gateway", overrides={"storage.address": "127.0.0.1:9"}) as settings:
        base = f"http://{settings.gateway.http_address}/dicom-web"
        async with httpx.AsyncClient(base_url=base, timeout=40) as client:
            answer = await client.post("/studies", content=body(ct()), headers=HEADERS)
            assert answer.status_code == 503
            assert int(answer.headers["retry-after"]) > 0
            assert _failures(answer)[0][1] == 0xA700
            search = await client.get("/studies/1.2/metadata")
            assert (search.status_code, search.json()["why"]) == (503, "UNAVAILABLE")


@pytest.mark.slow
@pytest.mark.timeout(240)
async def test_object_of_half_a_gigabyte_takes_no_memory_to_speak_of(site: Site) -> None:
    """Both ways. The services share the test's process, which makes each piece of the object as it is sent."""
    frame, frames = bytes(range(256)) * 4096, 512
    data_set = pydicom.dcmread(BytesIO(ct("1.40", "1.40.1", "1.40.1.1")))
    data_set.Rows, data_set.Columns, data_set.NumberOfFrames = 512, 1024, frames
    data_set.PixelData = b""
    del data_set.DataSetTrailingPadding  # the pixel data is the last element then
    head = encoded(data_set)[:-4] + (len(frame) * frames).to_bytes(4, "little")

    async def sent() -> AsyncIterator[bytes]:
        yield body(b"")[: -len(f"\r\n--{BOUNDARY}--\r\n")] + head
        for _ in range(frames):
            yield frame
        yield f"\r\n--{BOUNDARY}--\r\n".encode()

    process = psutil.Process()
    before, peak = process.memory_info().rss, 0

    async def watch() -> None:
        nonlocal peak
        while True:
            peak = max(peak, process.memory_info().rss)
            await asyncio.sleep(0.05)

    watching = asyncio.create_task(watch())
    try:
        stored = await site.http.post("/studies", content=sent(), headers=HEADERS, timeout=200)
        assert stored.status_code == 200, stored.text
        size = 0
        async with site.http.stream("GET", "/studies/1.40/series/1.40.1/instances/1.40.1.1", timeout=200) as answer:
            async for chunk in answer.aiter_raw():
                size += len(chunk)
    finally:
        watching.cancel()
    assert size > len(frame) * frames
    assert peak - before < 150 << 20


@pytest.mark.peers
async def test_command_of_the_readme_stores_a_file(site: Site, tmp_path: Path) -> None:
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed, so the README's command is not run")
    (arguments,) = [arguments for arguments in shell_commands("curl") if "--data-binary" in arguments]
    (tmp_path / "slice.dcm").write_bytes(ct("1.41", "1.41.1", "1.41.1.1"))
    arguments = [argument.replace("127.0.0.1:50057", site.settings.gateway.http_address) for argument in arguments]
    done = await asyncio.create_subprocess_exec("curl", "-s", *arguments, cwd=tmp_path, stdout=asyncio.subprocess.PIPE)
    await done.communicate()
    assert (await site.storage.get_study("studies/1.41")).instance_count == 1
