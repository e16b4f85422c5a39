"""How an image was derived, in DICOM's words and for the reader."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydicom.sr.codedict import Code


@dataclass(frozen=True, slots=True)
class Algorithm:
    """What made an object, and with which parameters."""

    name: str
    version: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    """By name, with the unit in the name; plain values that JSON can hold."""

    @property
    def parameters_text(self) -> str:
        """The parameters as JSON, always in the same order."""
        return json.dumps(dict(self.parameters), sort_keys=True, separators=(", ", ": "))

    @property
    def text(self) -> str:
        """`resample-isotropic 1.0 {"spacing_mm": 1.0}`."""
        return f"{self.name} {self.version} {self.parameters_text}"


@dataclass(frozen=True, slots=True)
class Derivation:
    """How the images of a derived series came about (PS3.3 C.7.6.1.1.3 and C.12.4)."""

    description: str
    """For DerivationDescription (0008,2111), a sentence; the algorithm is added to it."""

    codes: tuple[Code, ...]
    """For DerivationCodeSequence (0008,9215), of CID 7203."""

    series_suffix: str
    """Added to the source's series description, a few words: `iso 1 mm`."""

    image_type: str
    """Fourth value of ImageType (0008,0008), upper case: `RESAMPLED`."""

    keeps_values: bool = True
    """False if a value no longer means what it meant in the source, so that the source's window does not fit."""
