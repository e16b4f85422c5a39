"""Which series of a study a run works on, and which instances of them: one stack of slices, without scouts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from imaging.storage.v1 import storage_pb2
from pipeline_svc.recipes.fit import fitting_series, image_count, is_excluded_image_type
from pipeline_svc.recipes.recipe import Recipe

if TYPE_CHECKING:
    from imaging.client.headers import InstanceHeader
    from imaging.client.storage import StorageClient

AXIAL_COSINE = 0.8
"""Least cosine between the normal of the slices and the body's long axis: oblique stacks up to 37 degrees are axial."""

_SPLIT_BY = ("AcquisitionNumber", "TemporalPositionIdentifier", "EchoNumbers", "TriggerTime", "ContentTime")
"""Attributes that tell stacks at the same positions apart (phases, echoes), tried in this order."""


@dataclass(frozen=True, slots=True)
class SelectedSeries:
    """A series that a run works on."""

    series: str
    """`studies/{uid}/series/{uid}`."""

    sop_instance_uids: tuple[str, ...]
    """The instances to take, in the order of storage (instance number)."""


@dataclass(frozen=True, slots=True)
class Selection:
    """What was selected; nothing, with the reason, if no series serves."""

    series: tuple[SelectedSeries, ...]
    why_none: str = ""


async def select_series(
    storage: StorageClient, recipe: Recipe, study: storage_pb2.Study, series: Sequence[storage_pb2.Series]
) -> Selection:
    """The series and instances that the recipe takes of a study.

    `largest` and `largest-axial` take the largest stack of parallel slices of one series: of the same orientation,
    matrix and pixel spacing, and with one slice a position. `each` takes every series whole, without excluded images.

    Raises
    ------
    NotFound
        If the study was deleted meanwhile.
    Unavailable
        If storage does not answer.
    """
    fitting = fitting_series(recipe, study, series)
    if recipe.select.series == "each":
        return await _each(storage, recipe, fitting)
    axial_only = recipe.select.series == "largest-axial"
    best: SelectedSeries | None = None
    best_size = recipe.match.min_instances - 1
    # The index tells how many images a series has at most: once a stack is larger than all that is left, it is the one.
    for one in sorted(fitting, key=lambda one: (-image_count(one), one.series_number, one.name)):
        if best_size >= image_count(one):
            break
        stack = largest_stack(await _headers(storage, recipe, one), axial_only=axial_only)
        if _size(stack) > best_size:
            best_size = _size(stack)
            best = SelectedSeries(one.name, tuple(header.instance.sop_instance_uid for header in stack))
    if best is not None:
        return Selection((best,))
    kind = "axial " if axial_only else ""
    return Selection(
        (),
        f"the recipe {recipe.name} found no {kind}stack of {recipe.match.min_instances} or more slices "
        f"in the {len(fitting)} series that match",
    )


async def _each(storage: StorageClient, recipe: Recipe, fitting: Iterable[storage_pb2.Series]) -> Selection:
    taken: list[SelectedSeries] = []
    for one in sorted(fitting, key=lambda one: (one.series_number, one.name)):
        if len(taken) == recipe.select.max_series:
            break
        uids = tuple(instance.sop_instance_uid for instance in await _instances(storage, recipe, one))
        if uids:
            taken.append(SelectedSeries(one.name, uids))
    return Selection(tuple(taken), "" if taken else f"the recipe {recipe.name} excludes all images of the study")


async def _instances(storage: StorageClient, recipe: Recipe, series: storage_pb2.Series) -> list[storage_pb2.Instance]:
    excluded = recipe.select.exclude.ImageType
    return [
        instance
        async for instance in storage.search_instances(series.name)
        if instance.number_of_frames > 0
        and instance.origin.kind != storage_pb2.Origin.KIND_DERIVED
        and not is_excluded_image_type(instance.image_type, excluded)
    ]


async def _headers(storage: StorageClient, recipe: Recipe, series: storage_pb2.Series) -> list[InstanceHeader]:
    uids = [instance.sop_instance_uid for instance in await _instances(storage, recipe, series)]
    return await storage.read_headers(series.name, uids) if uids else []


def largest_stack(headers: Iterable[InstanceHeader], *, axial_only: bool) -> list[InstanceHeader]:
    """The largest group of instances that lie parallel, have the same matrix and spacing, and different positions.

    An instance with many frames is a stack by itself. Instances without a place in the patient make a group too, the
    last resort where `axial_only` does not rule it out.
    """
    groups: dict[tuple[Any, ...], list[InstanceHeader]] = {}
    for header in headers:
        orientation = _orientation(header.dataset)
        if axial_only and not _is_axial(orientation):
            continue
        key = (
            orientation and tuple(round(cosine, 2) for cosine in orientation),
            header.instance.rows,
            header.instance.columns,
            _rounded(header.dataset.get("PixelSpacing")),
            header.instance.sop_instance_uid if header.instance.number_of_frames > 1 else "",
        )
        groups.setdefault(key, []).append(header)
    if not groups:
        return []
    # Placed before unplaced, then the larger one; of equals the one that came first.
    placed = max(groups, key=lambda key: (key[0] is not None, _size(groups[key])))
    return _one_a_position(groups[placed])


def _one_a_position(group: list[InstanceHeader]) -> list[InstanceHeader]:
    """The largest part with one slice a position, if an attribute tells the parts apart; otherwise the whole group."""
    if _has_distinct_positions(group):
        return group
    for keyword in _SPLIT_BY:
        parts: dict[str, list[InstanceHeader]] = {}
        for header in group:
            parts.setdefault(str(header.dataset.get(keyword, "")), []).append(header)
        if len(parts) > 1:
            largest = max(parts.values(), key=len)
            if len(largest) > 1 and _has_distinct_positions(largest):
                return largest
    return group


def _has_distinct_positions(group: list[InstanceHeader]) -> bool:
    positions = [_rounded(header.dataset.get("ImagePositionPatient")) for header in group]
    return len(group) == 1 or None in positions or len(set(positions)) == len(positions)


def _size(stack: Sequence[InstanceHeader]) -> int:
    return sum(max(1, header.instance.number_of_frames) for header in stack)


def _is_axial(orientation: tuple[float, ...] | None) -> bool:
    if orientation is None:
        return False
    normal = np.cross(orientation[:3], orientation[3:])
    return abs(float(normal[2])) >= AXIAL_COSINE


def _orientation(dataset: Any) -> tuple[float, ...] | None:
    """Image Orientation (Patient) (0020,0037), also from the functional groups of an enhanced image; None without."""
    values = dataset.get("ImageOrientationPatient")
    for groups in ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"):
        if values:
            break
        group = (dataset.get(groups) or [{}])[0]
        plane = (group.get("PlaneOrientationSequence") or [{}])[0]
        values = plane.get("ImageOrientationPatient")
    return _numbers(values, 6)


def _numbers(values: Any, count: int) -> tuple[float, ...] | None:
    try:
        numbers = tuple(float(value) for value in values or ())
    except (TypeError, ValueError):
        return None
    return numbers if len(numbers) == count and np.isfinite(numbers).all() else None


def _rounded(values: Any) -> tuple[float, ...] | None:
    """Millimetres to a hundredth; None for a value that is absent or no number."""
    numbers = _numbers(values, 3) or _numbers(values, 2)
    return numbers and tuple(round(number, 2) for number in numbers)
