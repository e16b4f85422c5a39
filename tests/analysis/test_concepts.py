"""The codes are there in the code systems that they name."""

from __future__ import annotations

import pytest
from pydicom.sr._concepts_dict import concepts as published
from pydicom.sr.coding import Code

from analysis_svc import concepts

CODES = {name: value for name, value in vars(concepts).items() if isinstance(value, Code)}

NOT_IN_DICOM = {
    # SNOMED CT and UCUM have these; the context groups of DICOM, and so pydicom's dictionary, do not.
    "LEFT_LUNG": ("44029006", "SCT"),
    "RIGHT_LUNG": ("3341006", "SCT"),
    "EMPHYSEMA": ("87433001", "SCT"),
    "MILLILITRE": ("mL", "UCUM"),
    "PER_MILLIMETRE": ("/mm", "UCUM"),
    "GRAM": ("g", "UCUM"),
    "MILLIGRAM": ("mg", "UCUM"),
}


@pytest.mark.parametrize("name", sorted(CODES))
def test_each_code_is_published_or_plainly_private(name: str) -> None:
    code = CODES[name]
    if name in NOT_IN_DICOM:
        assert (code.value, code.scheme_designator) == NOT_IN_DICOM[name]
    elif code.scheme_designator == concepts.PRIVATE_SCHEME:
        assert code.scheme_designator.startswith("99")
        assert len(code.value) <= 16
    else:
        assert any(code.value in meanings for meanings in published[code.scheme_designator].values())
    assert len(code.scheme_designator) <= 16
    assert 0 < len(code.meaning) <= 64


def test_no_two_names_have_the_same_code() -> None:
    assert len({(code.value, code.scheme_designator) for code in CODES.values()}) == len(CODES)
