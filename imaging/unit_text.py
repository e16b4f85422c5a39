"""UCUM codes as people write them after a number."""

from __future__ import annotations

import re

_UNIT_SIGNS = {
    "[hnsf'U]": "HU",
    "[hnsf'U]2": "HU²",
    "mm2": "mm²",
    "mm3": "mm³",
    "cm2": "cm²",
    "cm3": "cm³",
    "ml": "mL",
    "1": "",
    "{ratio}": "",
    "um": "µm",
    "10*-6.mm2/s": "10⁻⁶ mm²/s",
    "g/ml{SUVbw}": "g/mL SUVbw",
}
"""How UCUM codes are printed where the code itself is not what people write."""

_ANNOTATION = re.compile(r"\{([^{}]*)\}")


def unit_text(ucum: str) -> str:
    """The unit as it is printed after a number, such as `HU` for `[hnsf'U]`; empty for the dimensionless `1`."""
    sign = _UNIT_SIGNS.get(ucum)
    if sign is not None:
        return sign
    return _ANNOTATION.sub(r"\1", ucum).strip()
