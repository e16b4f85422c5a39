"""Segments of a label map over the image that they were drawn on."""

from __future__ import annotations

from io import BytesIO

import numpy as np
from pydicom import dcmread

from imaging.derived.deterministic import part10_bytes
from imaging.phantom.ct_series import phantom_datasets
from reporting_svc.key_images.segmentation_index import SegmentationIndex
from tests.analysis.chest import chest
from tests.analysis.drawings import drawn_label_map


def test_each_segment_of_a_frame_comes_back_and_the_background_does_not() -> None:
    volume, _ = chest()
    masks = {name: np.zeros(volume.voxels.shape, dtype=np.bool_) for name in ("One", "Two")}
    masks["One"][5:9, 10:20, 30:50] = True
    masks["Two"][5:9, 30:33, 30:33] = True
    dataset = dcmread(BytesIO(part10_bytes(drawn_label_map(masks, volume))))
    index = SegmentationIndex(dataset)
    image = list(phantom_datasets(volume))
    (header,) = [each for each in image if each.SOPInstanceUID == volume.frames[6].sop_instance_uid]
    found = index.masks_over(header, 1)
    assert [mask.segment.label for mask in found] == ["One", "Two"]
    assert len({mask.frame_number for mask in found}) == 1
    pixels = dataset.pixel_array.reshape(-1, *volume.voxels.shape[1:])
    for mask in found:
        drawn = index.mask(mask, pixels[mask.frame_number - 1])
        assert np.array_equal(drawn, masks[mask.segment.label][6])
