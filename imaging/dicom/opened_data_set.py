"""A data set that has been walked, with the bytes in which its offsets count."""

from __future__ import annotations

from dataclasses import dataclass

from imaging.dicom.byte_source import Buffer
from imaging.dicom.transfer_syntax import TransferSyntax
from imaging.dicom.walked_data_set import WalkedDataSet


@dataclass(frozen=True, slots=True)
class OpenedDataSet:
    """The data set as it is walked: the file itself, or the inflated bytes."""

    data: Buffer
    start: int
    """Offset of the first element."""
    syntax: TransferSyntax
    inflated: bool
    note: str
    """Said after byte offsets: empty, or that they count in the inflated data set."""
    walked: WalkedDataSet
