"""The table of transfer syntaxes agrees with pydicom's."""

from __future__ import annotations

import pytest
from pydicom.uid import AllTransferSyntaxes

from imaging.dicom.transfer_syntax import TRANSFER_SYNTAXES, PixelFamily, TransferSyntax, transfer_syntax
from imaging.errors import UnsupportedTransferSyntax


def test_every_file_transfer_syntax_of_pydicom_is_in_the_table() -> None:
    streams = {"1.2.840.10008.1.2.7.1", "1.2.840.10008.1.2.7.2", "1.2.840.10008.1.2.7.3"}
    assert {str(uid) for uid in AllTransferSyntaxes} - streams <= set(TRANSFER_SYNTAXES)


@pytest.mark.parametrize("syntax", TRANSFER_SYNTAXES.values(), ids=lambda syntax: syntax.uid)
def test_encodings_are_those_of_pydicom(syntax: TransferSyntax) -> None:
    known = {str(uid): uid for uid in AllTransferSyntaxes}.get(syntax.uid)
    if known is None or syntax.family is PixelFamily.REFERENCED:
        return
    assert syntax.implicit_vr == known.is_implicit_VR
    assert syntax.little_endian == known.is_little_endian
    assert syntax.deflated == known.is_deflated
    assert syntax.encapsulated == known.is_encapsulated


@pytest.mark.parametrize("uid", ["", "1.2.3", "Smith^John"])
def test_unknown_transfer_syntax_is_refused_and_only_a_uid_is_told(uid: str) -> None:
    with pytest.raises(UnsupportedTransferSyntax) as caught:
        transfer_syntax(uid, where="(0002,0010), byte 132")
    assert caught.value.metadata == ({"transfer_syntax_uid": uid} if uid == "1.2.3" else {})
    assert "Smith" not in caught.value.text
