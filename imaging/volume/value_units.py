"""The unit of a voxel value, as the header of the image tells."""

from __future__ import annotations

from typing import Final

HOUNSFIELD: Final = "[hnsf'U]"

_PET_UNITS: Final = {
    "BQML": "Bq/mL",
    "GML": "g/mL",
    "CM2ML": "cm2/mL",
    "CNTS": "{counts}",
    "CPS": "{counts}/s",
    "PCNT": "%",
    "MLML": "mL/mL",
}
"""PS3.3 C.8.9.1.1.3."""


def value_units(
    modality: str, rescale_type: str, units: str = "", dose_units: str = "", *, is_rescaled: bool = True
) -> str:
    """The UCUM unit of a value after the Modality LUT, `1` where the header does not tell.

    Parameters
    ----------
    rescale_type
        RescaleType (0028,1054). Where a CT image has none, its values are Hounsfield units (PS3.3 C.11.1.1.2).
    units
        Units (0054,1001) of PET.
    dose_units
        DoseUnits (3004,0002).
    is_rescaled
        Whether the header has slope and intercept: without them nobody knows how far stored values are from Hounsfield
        units.
    """
    if rescale_type == "HU" or (modality == "CT" and not rescale_type):
        return HOUNSFIELD if is_rescaled else "1"
    if modality == "PT":
        return _PET_UNITS.get(units.upper(), "1")
    if dose_units.upper() == "GY":
        return "Gy"
    return "1"
