"""Segmentations and structure sets that somebody else has drawn on a volume."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

import highdicom
import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid

from analysis_svc import concepts
from analysis_svc.measurement import Mask
from analysis_svc.segmentation import SegmentationMaker, segmentation
from analysis_svc.segmentation_source import segmentation_source
from imaging.dicom.uid import derived_uid
from imaging.phantom.ct_series import phantom_datasets
from imaging.volume.volume import Volume

MAKER = SegmentationMaker("somebody", "1", ("drawn",), datetime(2031, 5, 6, tzinfo=UTC))


def drawn_segmentation(masks: dict[str, NDArray[np.bool_]], volume: Volume) -> Dataset:
    """A binary segmentation of the phantom with a lesion a mask."""
    lesions = [Mask(label, mask, concepts.ABNORMAL_STRUCTURE, concepts.LESION) for label, mask in masks.items()]
    headers = list(phantom_datasets(volume))
    dataset = segmentation(lesions, volume, headers, MAKER)
    assert dataset is not None
    return dataset


def structure_set(contours: dict[str, Sequence[NDArray[np.float64]]], volume: Volume, kind: str = "") -> Dataset:
    """A structure set; each contour is an array of patient coordinates of shape (points, 3)."""
    header = next(phantom_datasets(volume))
    dataset = Dataset()
    for keyword in ("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyInstanceUID", "StudyDate"):
        setattr(dataset, keyword, header.get(keyword, ""))
    dataset.SOPClassUID = "1.2.840.10008.5.1.4.1.1.481.3"
    dataset.SOPInstanceUID, dataset.SeriesInstanceUID = generate_uid(), generate_uid()
    dataset.Modality = "RTSTRUCT"
    series = Dataset()
    series.SeriesInstanceUID = header.SeriesInstanceUID
    study = Dataset()
    study.RTReferencedSeriesSequence = [series]
    frame_of_reference = Dataset()
    frame_of_reference.FrameOfReferenceUID = header.FrameOfReferenceUID
    frame_of_reference.RTReferencedStudySequence = [study]
    dataset.ReferencedFrameOfReferenceSequence = [frame_of_reference]
    dataset.StructureSetROISequence = []
    dataset.ROIContourSequence = []
    for number, (name, outlines) in enumerate(contours.items(), start=1):
        roi, drawn = Dataset(), Dataset()
        roi.ROINumber, roi.ROIName = number, name
        drawn.ReferencedROINumber = number
        drawn.ContourSequence = [_contour(outline, kind or "CLOSED_PLANAR") for outline in outlines]
        dataset.StructureSetROISequence.append(roi)
        dataset.ROIContourSequence.append(drawn)
    return dataset


def circles(
    volume: Volume, slices: Iterable[float], centre_mm: tuple[float, float], radius_mm: float
) -> list[NDArray[np.float64]]:
    """A circle on each slice, given by fractional index, round a place (x, y)."""
    angles = np.linspace(0, 2 * np.pi, 180, endpoint=False)
    x, y = centre_mm[0] + radius_mm * np.cos(angles), centre_mm[1] + radius_mm * np.sin(angles)
    return [
        np.column_stack([x, y, np.full(180, volume.origin_mm[2] + index * volume.spacing_mm[0])]) for index in slices
    ]


def _contour(outline: NDArray[np.float64], kind: str) -> Dataset:
    contour = Dataset()
    contour.ContourGeometricType = kind
    contour.NumberOfContourPoints = len(outline)
    contour.ContourData = [f"{coordinate:.3f}" for coordinate in outline.ravel()]
    return contour


def drawn_label_map(masks: dict[str, NDArray[np.bool_]], volume: Volume) -> Dataset:
    """The same as a label map, as another system makes it: its background is a segment, too."""
    labels = np.zeros(volume.voxels.shape, dtype=np.uint8)
    for number, mask in enumerate(masks.values(), start=1):
        labels[mask] = number
    headers = {str(header.SOPInstanceUID): header for header in phantom_datasets(volume)}
    described = [
        highdicom.seg.SegmentDescription(
            segment_number=number,
            segment_label=label,
            segmented_property_category=concepts.ABNORMAL_STRUCTURE,
            segmented_property_type=concepts.LESION,
            algorithm_type=highdicom.seg.SegmentAlgorithmTypeValues.MANUAL,
        )
        for number, label in enumerate(masks, start=1)
    ]
    made: Dataset = highdicom.seg.Segmentation(
        source_images=[segmentation_source(headers[frame.sop_instance_uid], volume) for frame in volume.frames],
        pixel_array=labels,
        segmentation_type=highdicom.seg.SegmentationTypeValues.LABELMAP,
        segment_descriptions=described,
        series_instance_uid=derived_uid("label map series"),
        series_number=1,
        sop_instance_uid=derived_uid("label map"),
        instance_number=1,
        manufacturer="Somebody",
        manufacturer_model_name="Else",
        software_versions="1",
        device_serial_number="1",
    )
    return made
