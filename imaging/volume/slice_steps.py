"""Are the slices evenly spaced? Which one is missing, or there twice?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from imaging.errors import VolumeRefused
from imaging.volume.frame_header import FrameHeader
from imaging.volume.header_values import refused

DUPLICATE_MM: Final = 0.01
"""Positions nearer than this along the normal are the same place; headers round to 0.01 mm at worst."""

STEP_TOLERANCE: Final = 0.05
"""Steps may differ by this part of the usual step, or by `STEP_TOLERANCE_MM` where that is more: rounded positions."""

STEP_TOLERANCE_MM: Final = 0.02


def check_steps(ordered: Sequence[FrameHeader], along: NDArray[np.float64]) -> None:
    """Pass even steps; refuse duplicates, gaps and uneven steps.

    Parameters
    ----------
    ordered
        The headers in the order of the slices.
    along
        Their positions along the normal in mm, rising.

    Raises
    ------
    VolumeRefused
        Rule `duplicate_position`, `gap` or `uneven_spacing`.
    """
    steps = np.diff(along)
    for index in _places(steps < DUPLICATE_MM)[:1]:
        raise _duplicate(ordered[index], ordered[index + 1], int((steps < DUPLICATE_MM).sum()))
    # The lower median: with a slice missing among three, the smaller of the two steps is the usual one.
    usual = float(np.sort(steps)[(len(steps) - 1) // 2])
    tolerance = max(STEP_TOLERANCE_MM, STEP_TOLERANCE * usual)
    for index in _places(np.abs(steps - usual) > tolerance):
        times = round(float(steps[index]) / usual)
        if times >= 2 and abs(steps[index] - times * usual) <= tolerance * times:
            raise _step(
                "gap", f"{times - 1} slice{'s are' if times > 2 else ' is'} missing", ordered, along, index, usual
            )
        raise _step("uneven_spacing", "the step changes", ordered, along, index, usual)
    grid = along[0] + (along[-1] - along[0]) * np.arange(len(along)) / (len(along) - 1)
    worst = int(np.abs(along - grid).argmax())
    if abs(along[worst] - grid[worst]) > 0.1 * usual:
        raise _step("uneven_spacing", "the step drifts", ordered, along, min(worst, len(along) - 2), usual)


def _step(
    rule: str, what: str, ordered: Sequence[FrameHeader], along: NDArray[np.float64], index: int, usual: float
) -> VolumeRefused:
    below, above = float(along[index]), float(along[index + 1])
    return refused(
        rule,
        f"Between {below:.2f} mm and {above:.2f} mm along the normal {what}: the step is {above - below:.3f} mm, "
        f"the usual one {usual:.3f} mm",
        where=f"{ordered[index].label} and {ordered[index + 1].label}",
        hint="Send the missing slices." if rule == "gap" else "Only evenly spaced slices make a volume.",
        first_sop_instance_uid=ordered[index].sop_instance_uid,
        second_sop_instance_uid=ordered[index + 1].sop_instance_uid,
        step_mm=f"{above - below:.4f}",
        usual_step_mm=f"{usual:.4f}",
        slice_index=index,
    )


def _duplicate(first: FrameHeader, second: FrameHeader, count: int) -> VolumeRefused:
    differing = sorted(
        name
        for name in {*first.dimensions, *second.dimensions}
        if first.dimensions.get(name) != second.dimensions.get(name)
    )
    hint = (
        f"They differ in {', '.join(differing)}: choose one value of it, the series has more than three dimensions."
        if differing
        else "The slice was sent twice under two UIDs: remove one."
    )
    return refused(
        "duplicate_position",
        f"Two slices are at the same place{f', and so are {count - 1} more' if count > 1 else ''}",
        where=f"{first.label} and {second.label}",
        hint=hint,
        first_sop_instance_uid=first.sop_instance_uid,
        second_sop_instance_uid=second.sop_instance_uid,
        differing=",".join(differing),
    )


def _places(found: NDArray[np.bool_]) -> list[int]:
    return [int(index) for index in np.flatnonzero(found)]
