"""Which recipe fits a study, which series and which instances of them are taken."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset

from imaging.client.headers import InstanceHeader
from imaging.client.storage import StorageClient
from imaging.rpc.channel import open_channel
from imaging.storage.v1 import storage_pb2
from pipeline_svc.recipes.book import load_recipe_book
from pipeline_svc.recipes.fit import first_that_fits, fitting_series, is_excluded_image_type, why_none_fits
from pipeline_svc.recipes.parse_recipe import parse_recipe
from pipeline_svc.recipes.recipe import Recipe
from pipeline_svc.recipes.select import Selection, largest_stack, select_series
from tests.pipeline.scripted_services import Scripted
from tests.pipeline.scripted_storage import ScriptedSeries, ct_series, slice_header

STUDY = "studies/1.2.3"
RECIPES = [loaded.recipe for loaded in load_recipe_book(None)]
CHEST, CT, GENERAL = (load_recipe_book(None).get(name).recipe for name in ("ct-chest", "ct-general", "general"))


def series(**fields: object) -> storage_pb2.Series:
    message = ct_series(STUDY).message
    for name, value in fields.items():
        setattr(message, name, value)
    return message


def recipe(text: str) -> Recipe:
    return parse_recipe(f"name: a\nversion: 1\n{text}\nstages:\n  - {{analyze: x}}\n", "a.yaml").recipe


async def select(scripted: Scripted, chosen: Recipe, *of_study: ScriptedSeries) -> Selection:
    scripted.storage.complete(STUDY, *of_study)
    async with open_channel(scripted.addresses["storage"]) as channel:
        study = scripted.storage.studies[STUDY]
        return await select_series(StorageClient(channel), chosen, study, [one.message for one in of_study])


@pytest.mark.parametrize(
    ("fields", "fitting"),
    [
        ({}, CHEST),
        ({"body_part_examined": "chest wall"}, CHEST),
        ({"body_part_examined": "HEAD"}, CT),
        ({"instance_count": 19, "frame_count": 19}, CT),
        ({"instance_count": 1, "frame_count": 40}, CHEST),
        ({"instance_count": 2, "frame_count": 2}, GENERAL),
        ({"modality": "NM"}, GENERAL),
        ({"modality": "SEG"}, None),
        ({"modality": "RTDOSE"}, None),
        ({"frame_count": 0}, None),
    ],
)
def test_the_first_recipe_that_fits_is_taken(fields: dict[str, object], fitting: Recipe | None) -> None:
    assert first_that_fits(RECIPES, storage_pb2.Study(), [series(**fields)]) == fitting


def test_a_series_of_scouts_alone_does_not_fit() -> None:
    scouts = series()
    scouts.image_types[:] = ["ORIGINAL\\PRIMARY\\LOCALIZER"]
    assert not fitting_series(CT, storage_pb2.Study(), [scouts])
    scouts.image_types.append("ORIGINAL\\PRIMARY\\AXIAL")
    assert fitting_series(CT, storage_pb2.Study(), [scouts])


def test_a_segmentation_under_another_modality_is_no_image_series() -> None:
    disguised = series(modality="OT")
    disguised.sop_class_uids[:] = ["1.2.840.10008.5.1.4.1.1.66.4"]
    assert not fitting_series(GENERAL, storage_pb2.Study(), [disguised])
    assert why_none_fits([disguised]).startswith("no recipe fits: no series with images, only segmentations")


def test_the_reason_names_all_modalities() -> None:
    found = [series(modality="SR", frame_count=0), series(modality="ECG", frame_count=0)]
    assert why_none_fits(found) == "no recipe fits: no series with images (modalities: ECG, SR)"
    assert why_none_fits([]) == "no recipe fits: no series with images (modalities: none)"


@settings(max_examples=100, deadline=None)
@given(st.text(alphabet="ABC_", max_size=8), st.booleans())
def test_patterns_do_not_mind_case_or_padding(value: str, starred: bool) -> None:
    pattern = f"{value[:2]}*" if starred else value
    assert is_excluded_image_type(f"X\\{value.lower()} ", [pattern])


async def test_the_largest_axial_stack_is_taken_not_the_largest_series(scripted: Scripted) -> None:
    coronal = ct_series(STUDY, 1, slices=60)
    for header in coronal.headers:
        header.ImageOrientationPatient = [1, 0, 0, 0, 0, -1]
    selection = await select(scripted, CHEST, coronal, ct_series(STUDY, 2, slices=30), ct_series(STUDY, 3, slices=25))
    assert [one.series for one in selection.series] == ["studies/1.2.3/series/1.2.3.2"]
    assert len(selection.series[0].sop_instance_uids) == 30


async def test_scouts_in_a_series_are_left_out(scripted: Scripted) -> None:
    mixed = ct_series(STUDY, slices=26)
    mixed.image_types = ["ORIGINAL\\PRIMARY\\LOCALIZER"] * 2 + ["ORIGINAL\\PRIMARY\\AXIAL"] * 24
    selection = await select(scripted, CHEST, mixed)
    assert selection.series[0].sop_instance_uids == tuple(f"1.2.3.1.{number}" for number in range(3, 27))


async def test_two_phases_at_the_same_positions_are_told_apart(scripted: Scripted) -> None:
    phases = ct_series(STUDY, slices=50)
    phases.headers = [slice_header(number % 25, acquisition=1 + number // 25) for number in range(50)]
    selection = await select(scripted, CT, phases)
    assert len(selection.series[0].sop_instance_uids) == 25


async def test_a_recipe_that_finds_no_stack_says_why(scripted: Scripted) -> None:
    unplaced = ct_series(STUDY)
    for header in unplaced.headers:
        del header.ImageOrientationPatient
    selection = await select(scripted, CHEST, unplaced)
    assert selection.why_none == (
        "the recipe ct-chest found no axial stack of 20 or more slices in the 1 series that match"
    )


async def test_each_takes_so_many_series_in_order(scripted: Scripted) -> None:
    found = [ct_series(STUDY, number, slices=1) for number in (3, 1, 2)]
    selection = await select(scripted, recipe("select: {series: each, max_series: 2}"), *found)
    assert [one.series[-1] for one in selection.series] == ["1", "2"]


def headers(*datasets: Dataset) -> list[InstanceHeader]:
    return [
        InstanceHeader(storage_pb2.Instance(sop_instance_uid=str(number), number_of_frames=1), dataset)
        for number, dataset in enumerate(datasets)
    ]


def test_unplaced_images_are_a_last_resort() -> None:
    unplaced = [Dataset() for _ in range(5)]
    assert len(largest_stack(headers(*unplaced, slice_header(1), slice_header(2)), axial_only=False)) == 2
    assert len(largest_stack(headers(*unplaced), axial_only=False)) == 5
    assert not largest_stack(headers(*unplaced), axial_only=True)
    assert not largest_stack([], axial_only=False)


def test_the_orientation_of_an_enhanced_image_is_in_its_functional_groups() -> None:
    plane, group, enhanced = Dataset(), Dataset(), Dataset()
    plane.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    group.PlaneOrientationSequence = [plane]
    enhanced.SharedFunctionalGroupsSequence = [group]
    assert len(largest_stack(headers(enhanced), axial_only=True)) == 1


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(["axial", "sagittal", "none", "odd"]), st.integers(0, 6), st.integers(1, 2)),
        max_size=14,
    )
)
def test_a_stack_is_parallel_and_has_one_slice_a_position_where_that_can_be_had(
    slices: list[tuple[str, int, int]],
) -> None:
    datasets = []
    for kind, position, acquisition in slices:
        dataset = slice_header(position, acquisition=acquisition)
        if kind == "sagittal":
            dataset.ImageOrientationPatient = [0, 1, 0, 0, 0, -1]
        elif kind == "none":
            dataset = Dataset()
        elif kind == "odd":
            dataset.ImageOrientationPatient = [0, 1]
        datasets.append(dataset)
    stack = largest_stack(headers(*datasets), axial_only=False)
    assert bool(stack) == bool(slices)
    orientations = {str(header.dataset.get("ImageOrientationPatient")) for header in stack}
    assert len(orientations) <= 1 or orientations == {"None", "[0, 1]"}


@pytest.mark.parametrize(
    ("modality", "description", "drawn", "recipe"),
    [
        ("MR", "", False, "mr-general"),
        ("DX", "", False, "xray-general"),
        ("MG", "", False, "xray-general"),
        ("US", "", False, "ultrasound-general"),
        ("PT", "", False, "pet-ct"),
        ("XA", "", False, "general"),
        ("MR", "", True, "segmented"),
        ("CT", "Ca Score 3.0", True, "ct-calcium"),
        ("CT", "Ca Score 3.0", False, "ct-chest"),
    ],
)
def test_each_modality_has_its_recipe(modality: str, description: str, drawn: bool, recipe: str) -> None:
    images = series(modality=modality, series_description=description)
    drawing = series(modality="RTSTRUCT", frame_count=0, name="studies/1.2.3/series/9")
    found = first_that_fits(RECIPES, storage_pb2.Study(), [images, drawing] if drawn else [images])
    assert found is not None
    assert found.name == recipe
