"""A radiomic feature: its code, its unit, its value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from pydicom.sr.coding import Code

UnitKind = Literal["intensity", "intensity squared", "intensity volume", "mm", "mm2", "mm3", "1/mm", "1"]
"""What the number is told in; `intensity` stands for the unit of the voxel values."""

SCHEME: Final = "IBSI"


@dataclass(frozen=True, slots=True)
class Feature:
    """One number by a definition of the IBSI reference manual (arXiv:1612.07003)."""

    code: str
    """Identifier of the definition, e.g. `Q4LE`."""

    meaning: str
    value: float
    unit: UnitKind

    @property
    def concept(self) -> Code:
        """The definition as a code of the scheme IBSI."""
        return Code(self.code, SCHEME, self.meaning)
