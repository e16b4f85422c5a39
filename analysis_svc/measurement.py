"""What a model gives back: measurements, masks, and what it refused to measure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.sr.coding import Code

from imaging.volume.volume import SourceFrame


@dataclass(frozen=True, slots=True)
class QualityFlag:
    """Something about a measurement that its reader must know."""

    code: str
    """UPPER_SNAKE, e.g. `THICK_SLICES`."""

    message: str
    """The reason, with the values that decided."""


@dataclass(frozen=True, slots=True)
class SegmentReference:
    """A segment of a segmentation that is stored already."""

    sop_instance_uid: str
    segment_number: int
    """Counts from 1."""


@dataclass(frozen=True, slots=True)
class Measurement:
    """One number, or one coded answer, with everything that a reader needs to trust it."""

    concept: Code
    """What was measured, e.g. `118565006 SCT Volume`."""

    value: float | None = None
    """The number in `unit`; None for a qualitative answer."""

    unit: Code | None = None
    """UCUM unit of `value`; must be there with a value."""

    coded_value: Code | None = None
    """The answer, for a qualitative measurement."""

    site: Code | None = None
    """Where in the body."""

    finding_type: Code | None = None
    """What the measured thing is: lung, lesion, image …"""

    derivation: Code | None = None
    """How the number was derived (mean, maximum …), where it was."""

    tracking_identifier: str = ""
    """Groups the measurements about one thing, e.g. `Lesion 2`; unique within a series."""

    frames: tuple[SourceFrame, ...] = ()
    """The frames that it rests on, or the ones that show it best."""

    segment_label: str = ""
    """`Mask.label` of the mask that it was measured in; empty without."""

    segment: SegmentReference | None = None
    """The segment of somebody else that it was measured in; a mask of the same answer is named by `segment_label`."""

    line_mm: tuple[float, ...] = ()
    """Ends of an axis: x y z x y z in patient coordinates (LPS), millimetres; empty without."""

    quality_flags: tuple[QualityFlag, ...] = ()
    chart: Mapping[str, Any] | None = None
    """Plot data, ready for JSON: see `histogram_chart`."""


@dataclass(frozen=True, slots=True)
class Mask:
    """The voxels of one thing; becomes one segment of the DICOM SEG (PS3.3 C.8.20.2)."""

    label: str
    """Unique within an analysis, e.g. `Left lung`; at most 64 characters (LO)."""

    voxels: NDArray[np.bool_]
    """Shape of the volume that was analysed: (slices, rows, columns)."""

    category: Code
    """Segmented Property Category (CID 7150), e.g. `91723000 SCT Anatomical Structure`."""

    type: Code
    """Segmented Property Type (CID 7151), e.g. `39607008 SCT Lung`."""

    site: Code | None = None
    """Anatomic region, where the type does not tell it."""

    colour: tuple[int, int, int] = (230, 60, 60)
    """Recommended display colour, sRGB 0 to 255."""

    tracking_identifier: str = ""
    """That of the measurements about the same thing."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why something was not measured although nothing failed: the input does not allow a true answer."""

    subject: str
    """What was asked for, e.g. `lung-emphysema` or `LAA-950`."""

    rule: str
    """UPPER_SNAKE name of the rule, e.g. `SHARP_KERNEL`."""

    message: str
    """The reason in a sentence, with the values that decided."""

    hint: str = ""
    """How to fix it, or how to allow it."""


@dataclass(frozen=True, slots=True)
class Analysis:
    """The whole answer of a model."""

    measurements: tuple[Measurement, ...] = ()
    masks: tuple[Mask, ...] = field(default=())
    refusals: tuple[Refusal, ...] = ()


def histogram_chart(
    edges: NDArray[np.float64],
    counts: NDArray[np.int64],
    unit: str,
    title: str,
    marks: Mapping[str, float] | None = None,
) -> dict[str, Any]:
    """Plot data of a histogram: n + 1 bin edges in a UCUM unit, n counts, and named places on the value axis."""
    return {
        "marks": [[round(float(place), 6), name] for name, place in (marks or {}).items()],
        "kind": "histogram",
        "title": title,
        "edges": [round(float(edge), 6) for edge in edges],
        "counts": [int(count) for count in counts],
        "unit": unit,
    }


def bar_chart(bars: Mapping[str, float], unit: str, title: str) -> dict[str, Any]:
    """Plot data of named amounts in a UCUM unit, in the order in which they are to stand."""
    return {
        "kind": "bars",
        "title": title,
        "labels": list(bars),
        "values": [round(float(value), 6) for value in bars.values()],
        "unit": unit,
    }
