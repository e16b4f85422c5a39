"""What the demonstration sends in when the user names nothing: real images, and a phantom of known truth."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pydicom.data

from imaging.phantom.ct_series import write_phantom
from imaging.phantom.truth import PhantomTruth

_FROM_PYDICOM: Final = (
    "CT_small.dcm",
    "J2K_pixelrep_mismatch.dcm",
    "MR_small.dcm",
    "examples_overlay.dcm",
    "examples_palette.dcm",
    "dicomdirtests/77654033",
    "dicomdirtests/98892001",
    "dicomdirtests/98892003",
)
"""CT, MR, X-ray and ultrasound images that pydicom carries for its own tests, anonymised. The folders are whole
studies, their images shrunk to 16 x 16 pixels by pydicom."""


def pydicom_images() -> list[Path]:
    """The files and folders of the pydicom package that are there."""
    folder = Path(pydicom.data.__file__).parent / "test_files"
    return [path for name in _FROM_PYDICOM if (path := folder / name).exists()]


def generated_phantom(folder: Path) -> PhantomTruth:
    """Write the CT chest phantom into a folder; its truth comes back."""
    return write_phantom(folder)
