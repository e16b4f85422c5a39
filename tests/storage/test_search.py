"""Search: keys of PS3.4 C.2.2.2, order, and pages that neither lose nor repeat."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imaging.errors import InvalidArgument, NotFound
from imaging.rpc.page_token import decode_token, encode_token, query_digest
from imaging.storage.v1 import storage_service_pb2 as pb
from storage_svc.search.wildcard import name_key
from tests.storage.storage_under_test import Storage, ct


def keys(**wanted: str) -> list[pb.MatchKey]:
    return [pb.MatchKey(keyword=keyword, value=value) for keyword, value in wanted.items()]


@pytest.fixture
async def filled(storage: Storage) -> Storage:
    anna = {"PatientID": "P1", "PatientName": "Müller^Anna", "StudyDate": "20260101", "StudyTime": "101500"}
    john = {"PatientID": "p1", "PatientName": "Smith^John^^", "StudyDate": "20260215", "StudyTime": "2359"}
    name = "Yamada^Tarou=山田^太郎=やまだ^たろう"
    tarou = {"PatientID": "P_3", "PatientName": name, "StudyDate": "", "StudyTime": ""}
    await storage.store(
        ct("1.1", "1.1.1", "1.1.1.1", **anna),
        ct("1.1", "1.1.2", "1.1.2.1", **anna, Modality="MR", SeriesNumber="2", SeriesDescription="T1 50% a_b"),
        ct("1.2", "1.2.1", "1.2.1.1", **john),
        ct("1.3", "1.3.1", "1.3.1.1", **tarou, SpecificCharacterSet="ISO_IR 192"),
    )
    return storage


async def studies(storage: Storage, **wanted: str) -> list[str]:
    found = (await storage.call("SearchStudies", keys=keys(**wanted))).studies
    return [study.study_instance_uid for study in found]


async def test_studies_come_newest_date_first_and_without_a_date_last(filled: Storage) -> None:
    assert await studies(filled) == ["1.2", "1.1", "1.3"]


MATCHES: list[tuple[dict[str, str], list[str]]] = [
    ({"PatientID": "P1"}, ["1.1"]),
    ({"PatientID": "p*"}, ["1.2"]),
    ({"PatientID": "P?3"}, ["1.3"]),
    ({"PatientID": "P_3"}, ["1.3"]),
    ({"PatientID": "*"}, ["1.2", "1.1", "1.3"]),
    ({"PatientID": ""}, ["1.2", "1.1", "1.3"]),
    ({"PatientName": "müller^anna"}, ["1.1"]),
    ({"PatientName": "MÜLLER*"}, ["1.1"]),
    ({"PatientName": "smith^john"}, ["1.2"]),
    ({"PatientName": "smith"}, []),
    ({"PatientName": "*^j?hn"}, ["1.2"]),
    ({"PatientName": "山田*"}, ["1.3"]),
    ({"PatientName": "yamada^tarou"}, ["1.3"]),
    ({"StudyDate": "20260101"}, ["1.1"]),
    ({"StudyDate": "20260101-20260214"}, ["1.1"]),
    ({"StudyDate": "20260102-"}, ["1.2"]),
    ({"StudyDate": "-20260101"}, ["1.1"]),
    ({"StudyTime": "10"}, ["1.1"]),
    ({"StudyTime": "1014-1016"}, ["1.1"]),
    ({"StudyTime": "2359"}, ["1.2"]),
    ({"StudyInstanceUID": "1.1\\1.3\\1.9"}, ["1.1", "1.3"]),
    ({"ModalitiesInStudy": "MR"}, ["1.1"]),
    ({"ModalitiesInStudy": "MR\\PT"}, ["1.1"]),
    ({"PatientID": "P1", "StudyDate": "20260215"}, []),
]


async def test_matching_keys_find_studies(filled: Storage) -> None:
    for wanted, expected in MATCHES:
        assert await studies(filled, **wanted) == expected, wanted


async def test_a_study_tells_its_modalities_and_counts(filled: Storage) -> None:
    study = (await filled.call("GetStudy", name="studies/1.1")).study
    assert list(study.modalities_in_study) == ["CT", "MR"]
    assert (study.series_count, study.instance_count, study.patient_name) == (2, 2, "Müller^Anna")


async def test_studies_are_found_by_what_they_contain(filled: Storage) -> None:
    for wanted, expected in (
        ({"Modality": "MR"}, ["1.1"]),
        ({"Modality": "CT", "PatientID": "P*"}, ["1.1", "1.3"]),
        ({"SeriesInstanceUID": "1.2.1\\1.3.1"}, ["1.2", "1.3"]),
        ({"SOPInstanceUID": "1.1.2.1"}, ["1.1"]),
        ({"SOPInstanceUID": "1.1.2.1", "Modality": "MR"}, ["1.1"]),
        ({"SOPInstanceUID": "1.1.2.1", "Modality": "CT"}, []),
        ({"Modality": "MR", "SeriesNumber": "3"}, []),
        ({"Modality": "CT", "Rows": "128", "InstanceNumber": "1"}, ["1.2", "1.1", "1.3"]),
        ({"SeriesDescription": "T1*", "InstanceNumber": "9"}, []),
    ):
        assert await studies(filled, **wanted) == expected, wanted
    series = (await filled.call("SearchSeries", keys=keys(SOPInstanceUID="1.1.2.1\\1.3.1.1"))).series
    assert [found.series_instance_uid for found in series] == ["1.1.2", "1.3.1"]
    series = (await filled.call("SearchSeries", parent="studies/1.1", keys=keys(InstanceNumber="1"))).series
    assert [found.series_instance_uid for found in series] == ["1.1.1", "1.1.2"]


async def test_a_deleted_study_is_not_found_by_what_it_contains(filled: Storage) -> None:
    await filled.call("DeleteStudy", name="studies/1.1")
    for wanted in (
        {},
        {"Modality": "MR"},
        {"SOPInstanceUID": "1.1.2.1"},
        {"PatientName": "*ller*"},
        {"PatientID": "P1"},
    ):
        assert "1.1" not in await studies(filled, **wanted)


async def test_date_and_time_match_together_as_moments_or_each_by_itself(storage: Storage) -> None:
    for number, (date, time) in enumerate(
        [("20260101", "0700"), ("20260101", "0900"), ("20260102", "0700"), ("20260102", ""), ("20260103", "1200")], 1
    ):
        await storage.store(ct(f"1.{number}", f"1.{number}.1", f"1.{number}.1.1", StudyDate=date, StudyTime=time))

    async def search(date: str, time: str, **options: bool) -> list[str]:
        answer = await storage.call("SearchStudies", keys=keys(StudyDate=date, StudyTime=time), **options)
        return [study.study_instance_uid for study in answer.studies]

    assert await search("20260101-20260103", "0800-1000") == ["1.3", "1.4", "1.2"]
    assert await search("20260101-20260103", "0800-1000", separate_date_and_time=True) == ["1.2"]
    assert await search("20260101-", "0800-1000") == ["1.5", "1.3", "1.4", "1.2"]
    assert await search("-20260102", "0700") == ["1.3", "1.2", "1.1"]
    assert await search("20260102", "06-08") == ["1.3"]
    assert await search("20260102", "*") == ["1.3", "1.4"]


async def test_studies_of_a_day_come_latest_time_first_and_the_other_way_round(storage: Storage) -> None:
    for number, time in enumerate(["0900", "", "0930", "0900"], 1):
        await storage.store(ct(f"1.{number}", f"1.{number}.1", f"1.{number}.1.1", StudyTime=time))
    assert await studies(storage) == ["1.3", "1.4", "1.1", "1.2"]
    order = pb.SearchStudiesRequest.ORDER_OLDEST_FIRST
    token, oldest_first = "", []
    while True:
        page = await storage.call("SearchStudies", order=order, page_size=1, page_token=token)
        oldest_first += [study.study_instance_uid for study in page.studies]
        token = page.next_page_token
        if not token:
            break
    assert oldest_first == ["1.2", "1.1", "1.4", "1.3"]


async def test_matches_are_counted_as_far_as_asked(filled: Storage) -> None:
    for method, wanted, most, expected in (
        ("SearchStudies", {}, 10, 3),
        ("SearchStudies", {}, 2, 2),
        ("SearchStudies", {}, 0, 0),
        ("SearchStudies", {"PatientName": "*a*"}, 10, 2),
        ("SearchStudies", {"PatientName": "*q*"}, 10, 0),
        ("SearchSeries", {}, 10, 4),
        ("SearchInstances", {"PatientID": "P1"}, 10, 2),
    ):
        answer = await filled.call(method, keys=keys(**wanted), count_up_to=most, page_size=1)
        assert answer.count == expected, (method, wanted, most)
    with pytest.raises(InvalidArgument, match="count_up_to"):
        await filled.call("SearchStudies", count_up_to=10_001)


async def test_series_are_found_by_their_own_and_their_study_s_keys(filled: Storage) -> None:
    async def series(parent: str = "", **wanted: str) -> list[str]:
        answer = await filled.call("SearchSeries", parent=parent, keys=keys(**wanted))
        return [found.series_instance_uid for found in answer.series]

    assert await series("studies/1.1") == ["1.1.1", "1.1.2"]
    assert await series(Modality="MR") == ["1.1.2"]
    assert await series(SeriesDescription="T1 50% a_b") == ["1.1.2"]
    assert await series(SeriesDescription="T1 50%*") == ["1.1.2"]
    assert await series(SeriesDescription="T1 50_*") == []
    assert await series(SeriesNumber="2") == ["1.1.2"]
    assert await series(PatientID="P_3") == ["1.3.1"]


async def test_instances_are_found_by_keys_of_all_levels(filled: Storage) -> None:
    async def instances(parent: str = "", **wanted: str) -> list[str]:
        answer = await filled.call("SearchInstances", parent=parent, keys=keys(**wanted))
        return [found.sop_instance_uid for found in answer.instances]

    assert await instances("studies/1.1/series/1.1.2") == ["1.1.2.1"]
    assert await instances("studies/1.1", Modality="CT", PatientID="P1") == ["1.1.1.1"]
    assert await instances(SOPInstanceUID="1.1.2.1\\1.3.1.1") == ["1.1.2.1", "1.3.1.1"]
    assert await instances("studies/1.1", ImageType="ORIGINAL") == ["1.1.1.1", "1.1.2.1"]
    assert await instances("studies/1.1", ImageType="RIGINAL") == []
    assert await instances(Rows="128", InstanceNumber="1", PatientID="P_3") == ["1.3.1.1"]


UNUSABLE: list[tuple[str, dict[str, str]]] = [
    ("SearchStudies", {"Nonsense": "1"}),
    ("SearchStudies", {"StudyDate": "2026"}),
    ("SearchStudies", {"StudyDate": "20260101-2026"}),
    ("SearchStudies", {"StudyDate": "-"}),
    ("SearchStudies", {"StudyTime": "25:00"}),
    ("SearchStudies", {"PatientID": "x" * 9000}),
    ("SearchSeries", {"SeriesNumber": "one"}),
]


async def test_unusable_keys_are_refused_without_repeating_their_value(storage: Storage) -> None:
    for method, wanted in UNUSABLE:
        with pytest.raises(InvalidArgument) as caught:
            await storage.call(method, keys=keys(**wanted))
        assert caught.value.where.startswith("keys: ")
        assert not any(value in caught.value.what for value in wanted.values() if len(value) > 3)


async def test_pages_give_every_result_once_in_order(storage: Storage) -> None:
    contents = [ct(sop=f"1.2.3.1.{n}", InstanceNumber=str(n // 3)) for n in range(1, 26)]
    await storage.store(*contents)
    whole = (await storage.call("SearchInstances")).instances
    token, paged = "", []
    while True:
        answer = await storage.call("SearchInstances", page_size=4, page_token=token)
        paged += answer.instances
        token = answer.next_page_token
        if not token:
            break
        assert len(answer.instances) == 4
    assert paged == list(whole)
    assert len({instance.name for instance in paged}) == 25
    numbers = [instance.instance_number for instance in paged]
    assert numbers == sorted(numbers)


async def test_a_token_of_another_search_or_a_forged_one_is_refused(filled: Storage) -> None:
    answer = await filled.call("SearchStudies", page_size=1)
    for fields in (
        {"page_token": answer.next_page_token, "keys": keys(PatientID="P1")},
        {"page_token": answer.next_page_token[:-2]},
        {"page_token": "nonsense!"},
        {"page_size": -1},
    ):
        with pytest.raises(InvalidArgument):
            await filled.call("SearchStudies", **fields)


NAMES: list[tuple[str, dict[str, str], type[Exception]]] = [
    ("GetStudy", {"name": "studies/1.9"}, NotFound),
    ("GetSeries", {"name": "studies/1.1/series/1.9"}, NotFound),
    ("GetInstance", {"name": "studies/1.2/series/1.1.1/instances/1.1.1.1"}, NotFound),
    ("GetStudy", {"name": "studies/../1"}, InvalidArgument),
    ("GetStudy", {"name": "studies/1.1/series/1.1.1"}, InvalidArgument),
    ("GetSeries", {"name": ""}, InvalidArgument),
    ("SearchSeries", {"parent": "studies/"}, InvalidArgument),
]


async def test_names_that_are_not_there_or_not_names_are_told_apart(filled: Storage) -> None:
    for method, fields, error in NAMES:
        with pytest.raises(error):
            await filled.call(method, **fields)


storable = st.characters(exclude_characters="\0", exclude_categories=["Cs"])  # what a database takes
values = st.one_of(st.text(storable, max_size=70), st.integers(-(2**45), 2**45))


@given(st.lists(values, max_size=4), st.text("0123456789abcdef", min_size=16, max_size=16))
def test_a_token_brings_its_position_back(position: list[Any], digest: str) -> None:
    token = encode_token(position, digest)
    assert decode_token(token, digest, [type(value) for value in position]) == position


@given(st.text(max_size=60) | st.binary(max_size=40).map(lambda raw: raw.hex()))
def test_any_other_text_is_refused_as_a_token(text: str) -> None:
    if text:
        with pytest.raises(InvalidArgument):
            decode_token(text, "0" * 16, [str])


@pytest.mark.parametrize("value", [2**63, -(2**63) - 1, "\ud800", "a\0b"])
def test_a_token_made_by_hand_that_no_database_takes_is_refused(value: str | int) -> None:
    with pytest.raises(InvalidArgument):
        decode_token(encode_token([value], "0" * 16), "0" * 16, [type(value)])


def test_a_token_of_another_query_is_refused() -> None:
    token = encode_token([7], query_digest(1, "studies/1", [("PatientID", "a")]))
    with pytest.raises(InvalidArgument, match="another query"):
        decode_token(token, query_digest(1, "studies/1", [("PatientID", "b")]), [int])


def test_a_name_key_levels_case_and_empty_components() -> None:
    assert name_key("SMITH^John^^") == name_key("smith^john")
    assert name_key("") == ""


@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        ("PatientID", "*\0*"),
        ("PatientName", "\0"),
        ("ImageType", "\0"),
        ("PatientName", "\ufdfa" * 8000),  # eighteen letters each, when it is folded
        ("PatientID", "a*\\" * 1000),
        ("PatientName", "=".join("abcd")),
    ],
)
async def test_keys_that_the_database_cannot_take_are_refused(filled: Storage, keyword: str, value: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        await filled.call("SearchInstances", keys=keys(**{keyword: value}))
    assert caught.value.reason == "INVALID_ARGUMENT"
    assert caught.value.where == f"keys: {keyword}"


async def test_long_lists_of_values_are_matched(filled: Storage) -> None:
    everyone = len(await studies(filled))
    value = "\\".join(["*", *("x" for _ in range(4000))])
    assert len(await studies(filled, PatientID=value)) == everyone
    assert await studies(filled, PatientID="\\".join("x" for _ in range(4000))) == []


@pytest.mark.parametrize("value", ["\\".join(["1"] * 4000), "\\".join(["a*"] * 50)])
@pytest.mark.parametrize("keyword", ["PatientID", "ModalitiesInStudy"])
async def test_keys_that_are_too_much_together_are_refused_also_when_each_is_not(
    filled: Storage, keyword: str, value: str
) -> None:
    assert (await filled.call("SearchStudies", keys=keys(**{keyword: value}) * 2)).studies == []
    with pytest.raises(InvalidArgument, match="more than 100") as caught:
        await filled.call("SearchStudies", keys=keys(**{keyword: value}) * 17)
    assert caught.value.where == f"keys: {keyword}"


async def test_more_keys_than_there_are_keywords_are_refused(filled: Storage) -> None:
    with pytest.raises(InvalidArgument, match="more than 64 keys"):
        await filled.call("SearchStudies", keys=keys(PatientID="a") * 3000)


async def test_results_are_left_out_at_the_start_as_asked(filled: Storage) -> None:
    for skip, expected in ((0, ["1.2", "1.1"]), (1, ["1.1", "1.3"]), (2, ["1.3"]), (7, [])):
        page = await filled.call("SearchStudies", skip=skip, page_size=2)
        assert [study.study_instance_uid for study in page.studies] == expected
        assert bool(page.next_page_token) == (skip == 0)
    with pytest.raises(InvalidArgument, match="skip"):
        await filled.call("SearchSeries", skip=-1)


async def test_series_and_instances_tell_all_that_they_are_found_by(storage: Storage) -> None:
    values = {"SeriesDate": "20260103", "SeriesTime": "0304", "Laterality": "L", "ManufacturerModelName": "M1"}
    more = {"ContentDate": "20260104", "ContentTime": "05", "AcquisitionNumber": "7", "IssuerOfPatientID": "H"}
    steps = {"PerformedProcedureStepStartDate": "20260105", "PerformedProcedureStepStartTime": "0607"}
    await storage.store(ct(**values, **more, **steps))
    (study,) = (await storage.call("SearchStudies")).studies
    (series,) = (await storage.call("SearchSeries")).series
    (instance,) = (await storage.call("SearchInstances")).instances
    assert study.issuer_of_patient_id == "H"
    assert (series.series_date, series.series_time, series.laterality) == ("20260103", "0304", "L")
    assert series.manufacturer_model_name == "M1"
    assert series.performed_procedure_step_start_date == "20260105"
    assert series.performed_procedure_step_start_time == "0607"
    assert (instance.content_date, instance.content_time, instance.acquisition_number) == ("20260104", "05", 7)
