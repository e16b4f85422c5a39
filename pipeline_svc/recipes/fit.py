"""Does a recipe fit a study? Judged by what storage has in its index, without reading any image."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase

from imaging.storage.v1 import storage_pb2
from pipeline_svc.recipes.recipe import Match, Recipe

SEGMENTATION_AND_DOSE = {
    "SEG": "segmentations",
    "RTDOSE": "radiotherapy dose",
    "RTSEGANN": "radiotherapy segment annotations",
    "M3D": "models",
}
"""Modalities whose objects have pixel data that are not images to be measured."""

_NOT_IMAGES = {
    "1.2.840.10008.5.1.4.1.1.66.4": "segmentations",
    "1.2.840.10008.5.1.4.1.1.66.7": "segmentations",
    "1.2.840.10008.5.1.4.1.1.481.2": "radiotherapy dose",
    "1.2.840.10008.5.1.4.1.1.30": "parametric maps",
}
"""SOP Classes (PS3.4 B.5) of the same kind, for senders that write another modality."""


def image_count(series: storage_pb2.Series) -> int:
    """Images of a series: its instances, or their frames where they have many."""
    return max(series.instance_count, series.frame_count) if series.frame_count else 0


def why_not_image_series(series: storage_pb2.Series) -> str:
    """Why a series has nothing to measure, in a few words; empty if it is a series of received images."""
    if series.origin.kind == storage_pb2.Origin.KIND_DERIVED:
        return "derived by a run"
    if series.frame_count == 0:
        return "without images"
    if series.modality in SEGMENTATION_AND_DOSE:
        return SEGMENTATION_AND_DOSE[series.modality]
    classes = set(series.sop_class_uids)
    if classes and classes <= _NOT_IMAGES.keys():
        return _NOT_IMAGES[min(classes)]
    return ""


def is_excluded_image_type(image_type: str, excluded: Iterable[str]) -> bool:
    """True if one of the values of an Image Type (0008,0008), joined by a backslash, is excluded."""
    return any(_matches(value, excluded) for value in image_type.split("\\"))


def fitting_series(
    recipe: Recipe, study: storage_pb2.Study, series: Iterable[storage_pb2.Series]
) -> list[storage_pb2.Series]:
    """The series that the recipe's `match` and `exclude` leave over."""
    series = list(series)
    if recipe.match.drawn_on and not any(_is_drawing(one) for one in series):
        return []
    return [
        one
        for one in series
        if not why_not_image_series(one)
        and _fits(recipe.match, study, one)
        and not (
            one.image_types
            and all(
                is_excluded_image_type(image_type, recipe.select.exclude.ImageType) for image_type in one.image_types
            )
        )
    ]


def first_that_fits(
    recipes: Sequence[Recipe], study: storage_pb2.Study, series: Sequence[storage_pb2.Series]
) -> Recipe | None:
    """The first recipe that fits at least one series; None if there is none."""
    return next((recipe for recipe in recipes if fitting_series(recipe, study, series)), None)


def why_none_fits(series: Sequence[storage_pb2.Series]) -> str:
    """The reason that a study without a fitting recipe is told, with its modalities."""
    modalities = ", ".join(sorted({one.modality or "unknown" for one in series})) or "none"
    reasons = {why_not_image_series(one) for one in series}
    if "" in reasons:
        return f"no recipe fits: no series matches any recipe (modalities: {modalities})"
    told = sorted(reasons - {"without images", "derived by a run"})
    only = f", only {' and '.join(told)}" if told else ""
    return f"no recipe fits: no series with images{only} (modalities: {modalities})"


def _is_drawing(series: storage_pb2.Series) -> bool:
    return series.modality in ("SEG", "RTSTRUCT") and series.origin.kind != storage_pb2.Origin.KIND_DERIVED


def _fits(match: Match, study: storage_pb2.Study, series: storage_pb2.Series) -> bool:
    wanted = (
        (match.Modality, series.modality),
        (match.BodyPartExamined, series.body_part_examined),
        (match.SeriesDescription, series.series_description),
        (match.ProtocolName, series.protocol_name),
        (match.Manufacturer, series.manufacturer),
        (match.StudyDescription, study.study_description),
    )
    return image_count(series) >= match.min_instances and all(
        not patterns or _matches(value, patterns) for patterns, value in wanted
    )


def _matches(value: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(value.strip().upper(), pattern.strip().upper()) for pattern in patterns)
