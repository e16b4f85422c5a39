"""Objects as the stages make them, and damages to them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache
from io import BytesIO

import numpy as np
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes

from analysis_svc import concepts
from analysis_svc.measurement import Mask
from analysis_svc.segmentation import SegmentationMaker, segmentation
from analysis_svc.segmentation_readback import differences
from imaging.derived.derivation import Algorithm, Derivation
from imaging.derived.derived_series import derived_series
from imaging.derived.deterministic import part10_bytes
from imaging.gate.check import Outgoing
from imaging.gate.image_place import ExpectedPlaces, place_of_slice, places_of_source
from imaging.phantom.ct_series import phantom_datasets
from imaging.volume.resample import resample
from imaging.volume.volume import Volume
from reporting_svc.dicom.encapsulated_pdf import encapsulated_pdf
from reporting_svc.dicom.structured_report import structured_report
from reporting_svc.pdf.document import render_pdf
from tests.analysis.chest import QUICK_MM, chest
from tests.reporting.sample_report import sample_content
from tests.reporting.test_structured_report import UIDS, _sources

WHEN = datetime(2031, 5, 6, tzinfo=UTC)


@cache
def phantom_series() -> tuple[Volume, tuple[Dataset, ...]]:
    """The phantom and its slices."""
    volume, _ = chest(QUICK_MM)
    return volume, tuple(phantom_datasets(volume))


@cache
def phantom_masks() -> tuple[Mask, ...]:
    """Two things to segment."""
    volume, _ = phantom_series()
    body = np.zeros(volume.voxels.shape, dtype=np.bool_)
    body[5:9, 20:40, 10:25] = True
    small = np.zeros_like(body)
    small[7, 22, 12] = True
    return tuple(
        Mask(label, voxels, concepts.ABNORMAL_STRUCTURE, concepts.LESION, concepts.LUNG, (230, 60, 60), label)
        for label, voxels in (("Body", body), ("Small", small))
    )


@cache
def phantom_segmentation() -> bytes:
    """Part 10 bytes of the segmentation of `phantom_masks`."""
    volume, headers = phantom_series()
    maker = SegmentationMaker("test-model", "1.0", ("digest",), WHEN)
    made = segmentation(phantom_masks(), volume, headers, maker)
    assert made is not None
    return part10_bytes(made)


@cache
def derived_slice() -> tuple[bytes, ExpectedPlaces]:
    """A resampled slice, and where it lies."""
    volume, headers = phantom_series()
    cubes = resample(volume, (4.0, 4.0, 4.0))
    images = derived_series(
        cubes,
        headers,
        derivation=Derivation("Resampled", (codes.DCM.SpatialResampling,), "iso 4 mm", "RESAMPLED"),
        algorithm=Algorithm("resample-isotropic", "1.0", {}),
        uid_parts=("test",),
        effective_time=WHEN,
    )
    return part10_bytes(next(images)), place_of_slice(cubes, 0, volume)


@cache
def sample_report() -> bytes:
    """Part 10 bytes of a structured report."""
    return structured_report(sample_content(), _sources(), UIDS)


@cache
def sample_pdf() -> bytes:
    """Part 10 bytes of an encapsulated PDF."""
    content = sample_content()
    return encapsulated_pdf(content, render_pdf(content), _sources().identity, [], UIDS)


def outgoing_segmentation(content: bytes) -> Outgoing:
    """A segmentation as it goes to the gate."""
    volume, headers = phantom_series()
    return Outgoing(content, places_of_source(headers), lambda read: differences(read, phantom_masks(), volume))


def damaged(content: bytes, damage: Callable[[Dataset], object]) -> bytes:
    """The bytes of an object with a damage."""
    dataset = dcmread(BytesIO(content))
    damage(dataset)
    file = BytesIO()
    dataset.save_as(file)
    return file.getvalue()
