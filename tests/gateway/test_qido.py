"""QIDO-RS: keys, paging, what is told at each level, and what is refused."""

from __future__ import annotations

import asyncio
import json
import shutil
from typing import Any

import httpx
import pydicom.datadict
import pytest
import pytest_asyncio

from tests.ct_series import ct_series
from tests.gateway.site import Site
from tests.readme.snippets import shell_commands
from tests.storage.storage_under_test import ct

pytestmark = pytest.mark.asyncio(loop_scope="module")

Objects = list[dict[str, Any]]


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def filled(site: Site) -> Site:
    """Five studies: 1.1 (CT and MR), 1.2, 1.3 (a Japanese name, no date), and a series of twelve slices."""
    anna = {"PatientID": "P1", "PatientName": "Müller^Anna", "StudyDate": "20260101", "StudyDescription": "Chest"}
    await site.store(
        ct("1.1", "1.1.1", "1.1.1.1", **anna, SeriesDate="20260102", SeriesDescription='Thin "1 mm" <axial>'),
        ct("1.1", "1.1.2", "1.1.2.1", **anna, Modality="MR", SeriesNumber="2"),
        ct("1.2", "1.2.1", "1.2.1.1", PatientID="P2", PatientName="Smith^John", StudyDate="20260215"),
        ct(
            "1.3",
            "1.3.1",
            "1.3.1.1",
            PatientID="P3",
            PatientName="Yamada^Tarou=山田^太郎=やまだ^たろう",
            StudyDate="",
            SpecificCharacterSet="ISO_IR 192",
        ),
        *ct_series("qido", slices=12, size=16).instances.values(),
    )
    return site


async def _get(site: Site, path: str, **headers: str) -> Objects:
    answer = await site.http.get(path, headers=headers)
    assert answer.status_code == 200, answer.text
    found: Objects = answer.json()
    return found


def _values(objects: Objects, keyword: str) -> list[Any]:
    tag = f"{pydicom.datadict.tag_for_keyword(keyword):08X}"
    return [item.get(tag, {}).get("Value", [None])[0] for item in objects]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("PatientID=P1", ["1.1"]),
        ("00100020=P1", ["1.1"]),
        ("PatientID=P*&StudyDate=20260101-20260131", ["1.1"]),
        ("PatientName=*smith*", ["1.2"]),
        ("PatientName=m%C3%BCller%5Eanna", ["1.1"]),
        ("PatientName=%E5%B1%B1%E7%94%B0*", ["1.3"]),
        ("ModalitiesInStudy=MR", ["1.1"]),
        ("ModalitiesInStudy=MR,SR", ["1.1"]),
        ("Modality=MR", ["1.1"]),
        ("SeriesInstanceUID=1.1.2", ["1.1"]),
        ("StudyInstanceUID=1.1,1.2", ["1.2", "1.1"]),
        ("StudyInstanceUID=1.1%5C1.2", ["1.2", "1.1"]),
        ("StudyInstanceUID=1.1&StudyInstanceUID=1.2", ["1.2", "1.1"]),
        ("PatientID=none", []),
        ("PatientID=P*&AccessionNumber=&NumberOfStudyRelatedSeries=", ["1.2", "1.1", "1.3"]),
        ("PatientID=P*&_=1700000000&requestedTransferSyntax=x", ["1.2", "1.1", "1.3"]),
        ("PatientID=P*&limit=1", ["1.2"]),
        ("PatientID=P*&limit=1&offset=1", ["1.1"]),
        ("PatientID=P*&limit=5&offset=2", ["1.3"]),
        ("PatientID=P*&limit=2147483647", ["1.2", "1.1", "1.3"]),
        ("PatientID=P*&RequestAttributesSequence.ScheduledProcedureStepID=&proxy.hint=x", ["1.2", "1.1", "1.3"]),
        ("PatientID=P*&limit=0", []),
        ("PatientID=P*&offset=100", []),
    ],
)
async def test_studies_are_found_by_keyword_and_tag(filled: Site, query: str, expected: list[str]) -> None:
    assert _values(await _get(filled, f"/studies?{query}"), "StudyInstanceUID") == expected


async def test_query_of_a_viewers_work_list_is_answered_with_what_it_reads(filled: Site) -> None:
    query = "limit=101&offset=0&fuzzymatching=false&includefield=00081030,00080060,00080090,00100030&PatientName=*anna*"
    (study,) = await _get(filled, f"/studies?{query}", accept="application/dicom+json, multipart/related; q=0.1")
    assert study["0020000D"] == {"vr": "UI", "Value": ["1.1"]}
    assert study["00100010"] == {"vr": "PN", "Value": [{"Alphabetic": "Müller^Anna"}]}
    assert study["00080061"] == {"vr": "CS", "Value": ["CT", "MR"]}
    assert study["00081030"] == {"vr": "LO", "Value": ["Chest"]}, "told without being asked for by includefield"
    assert (study["00201206"]["Value"], study["00201208"]["Value"]) == ([2], [2])
    assert study["00081190"]["Value"] == [f"{filled.dicom_web}/studies/1.1"]
    for tag in ("00080020", "00080030", "00080050", "00080090", "00100020", "00100030", "00100040", "00200010"):
        assert set(study[tag]) <= {"vr", "Value"}


async def test_groups_of_a_name_are_told_apart(filled: Site) -> None:
    (study,) = await _get(filled, "/studies?PatientID=P3")
    assert study["00100010"]["Value"] == [
        {"Alphabetic": "Yamada^Tarou", "Ideographic": "山田^太郎", "Phonetic": "やまだ^たろう"}
    ]
    assert study["00080020"] == {"vr": "DA"}


async def test_series_tell_their_number_of_instances_and_text_as_it_is(filled: Site) -> None:
    first, second = await _get(filled, "/studies/1.1/series?includefield=0008103E,00080021")
    assert first["0008103E"]["Value"] == ['Thin "1 mm" <axial>']
    assert first["00080021"]["Value"] == ["20260102"]
    assert first["00201209"]["Value"] == [1]
    assert second["00080060"]["Value"] == ["MR"]
    assert "00100010" not in first, "the study is named in the path"


async def test_search_over_all_series_tells_of_their_studies_too(filled: Site) -> None:
    (series,) = await _get(filled, "/series?SeriesInstanceUID=1.1.2")
    assert series["00100020"]["Value"] == ["P1"]
    assert series["00080061"]["Value"] == ["CT", "MR"]
    assert series["00081190"]["Value"] == [f"{filled.dicom_web}/studies/1.1/series/1.1.2"]


async def test_instances_are_found_at_every_level(filled: Site) -> None:
    slices = ct_series("qido", slices=12, size=16)
    for path in (f"/{slices.series}/instances", f"/{slices.study}/instances", "/instances?PatientID=ID-qido"):
        found = await _get(filled, path)
        assert _values(found, "SOPInstanceUID") == list(slices.instances)
        assert _values(found, "InstanceNumber") == list(range(1, 13))
    (one,) = await _get(filled, f"/instances?SOPInstanceUID={next(iter(slices.instances))}")
    assert one["00100020"]["Value"] == ["ID-qido"]
    assert one["00080060"]["Value"] == ["CT"]
    assert one["00280010"] == {"vr": "US", "Value": [16]}
    assert one["00081190"]["Value"][0].endswith(f"/instances/{next(iter(slices.instances))}")


async def test_pages_by_offset_neither_lose_nor_repeat_and_tell_that_there_is_more(filled: Site) -> None:
    path = f"/{ct_series('qido', slices=12, size=16).series}/instances"
    found: list[Any] = []
    for offset in range(0, 12, 5):
        answer = await filled.http.get(path, params={"limit": 5, "offset": offset})
        found += _values(answer.json(), "InstanceNumber")
        assert ("warning" in answer.headers) == (offset < 10)
    assert found == list(range(1, 13))


async def test_fuzzy_matching_is_told_as_not_done(filled: Site) -> None:
    answer = await filled.http.get("/studies?PatientName=anna&fuzzymatching=true")
    assert "fuzzymatching" in answer.headers["warning"]


@pytest.mark.parametrize(
    ("path", "status", "told"),
    [
        ("/studies?limit=-1", 400, "limit"),
        ("/studies?limit=many", 400, "limit"),
        ("/studies?offset=1e9", 400, "offset"),
        ("/studies?Rows=many", 400, "Rows"),
        ("/studies?InstanceNumber=1.5", 400, "InstanceNumber"),
        ("/studies?StudyDate=2026", 400, "StudyDate"),
        ("/studies?00190010=x", 400, "00190010"),
        ("/studies?PatientName=%FF%FE", 400, "UTF-8"),
        ("/studies?" + "&".join(f"x{n}=1" for n in range(300)), 400, "200 parameters"),
        ("/studies?NumberOfStudyRelatedInstances=3", 400, "cannot be searched"),
        ("/series?00400275.00400009=x", 400, "within a sequence"),
        ("/studies?RequestAttributesSequence.ScheduledProcedureStepID=x", 400, "within a sequence"),
        ("/studies/1.9/series", 404, "studies/1.9"),
        ("/studies/1.1/series/1.9/instances", 404, "series/1.9"),
        ("/studies/01.1/series", 400, "leading zero"),
        ("/studies/1.1/series/../instances", 400, "UID"),
        ("/nothing", 404, "no such resource"),
    ],
)
async def test_search_that_cannot_be_is_refused_with_its_place(filled: Site, path: str, status: int, told: str) -> None:
    # httpx would resolve `..` by itself
    answer = await filled.http.get(httpx.URL(filled.dicom_web + path.replace("..", "%2E%2E")))
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert told in answer.text
    assert {"what", "where", "why", "hint", "status"} <= answer.json().keys()


async def test_what_was_searched_for_is_not_told_in_an_error(filled: Site) -> None:
    answer = await filled.http.get("/studies?StudyDate=Miller&PatientID=Secret")
    assert answer.status_code == 400
    assert "Miller" not in answer.text
    assert "Secret" not in answer.text


@pytest.mark.parametrize("accept", ["text/html", "multipart/related; type=application/dicom"])
async def test_search_in_a_form_that_is_not_offered_is_not_acceptable(filled: Site, accept: str) -> None:
    answer = await filled.http.get("/studies", headers={"accept": accept})
    assert answer.status_code == 406
    assert "application/dicom+json" in answer.json()["hint"]


async def test_other_methods_are_told_what_is_allowed(filled: Site) -> None:
    answer = await filled.http.delete("/studies/1.1/metadata")
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD")


@pytest.mark.peers
async def test_command_of_the_readme_finds_studies(filled: Site) -> None:
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed, so the README's command is not run")
    (arguments,) = [arguments for arguments in shell_commands("curl") if "studies?" in arguments[-1]]
    url = arguments[-1].replace("127.0.0.1:50057", filled.settings.gateway.http_address).replace("Phan", "Smith")
    done = await asyncio.create_subprocess_exec("curl", "-s", url, stdout=asyncio.subprocess.PIPE)
    told, _ = await done.communicate()
    assert _values(json.loads(told), "StudyInstanceUID") == ["1.2"]
