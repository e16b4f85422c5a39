"""The place, the size and the scale of one frame, as its header tells."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from imaging.volume.volume import SourceFrame


@dataclass(frozen=True, slots=True)
class FrameHeader:
    """What has to be known of a frame to put it into a volume; see `imaging.volume.frame_headers`."""

    sop_class_uid: str
    sop_instance_uid: str
    frame_number: int
    """Counts from 1; 1 for a single-frame instance."""

    rows: int
    columns: int
    position_mm: tuple[float, float, float]
    """Patient coordinates (x, y, z) of the centre of the first voxel (0020,0032)."""

    orientation: tuple[float, float, float, float, float, float]
    """Direction cosines (x, y, z) of a row, then of a column (0020,0037), as they stand in the header."""

    pixel_spacing_mm: tuple[float, float]
    """Distance between rows, then between columns (0028,0030)."""

    slice_thickness_mm: float | None = None
    """(0018,0050); nothing is derived from it but the depth of a single slice."""

    spacing_between_slices_mm: float | None = None
    """(0018,0088); only used for a single slice: between slices the positions alone tell."""

    rescale_slope: float = 1.0
    rescale_intercept: float = 0.0
    rescale_type: str = ""
    """(0028,1054), upper case; empty where the header does not tell."""

    units: str = "1"
    """UCUM unit of a value after rescale."""

    padding_value: float | None = None
    """PixelPaddingValue (0028,0120) after rescale; such voxels are outside the field of view."""

    padding_limit: float | None = None
    """PixelPaddingRangeLimit (0028,0121) after rescale: all values from one to the other are padding."""

    frame_of_reference_uid: str = ""
    study_instance_uid: str = ""
    series_instance_uid: str = ""
    modality: str = ""
    attributes: Mapping[str, str] = field(default_factory=dict)
    """See `Volume.attributes`."""

    dimensions: Mapping[str, str] = field(default_factory=dict)
    """What else tells frames of one place apart: time, b-value, echo, stack; by DICOM keyword."""

    @property
    def source(self) -> SourceFrame:
        """The frame by its name."""
        return SourceFrame(self.sop_instance_uid, self.sop_class_uid, self.frame_number)

    @property
    def label(self) -> str:
        """A name of the frame for messages: `instance 1.2.3 frame 4`."""
        return f"instance {self.sop_instance_uid} frame {self.frame_number}"
