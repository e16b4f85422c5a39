"""The header of an instance, without its pixels, as bytes and as a pydicom data set."""

from __future__ import annotations

from io import BytesIO

from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.filereader import read_dataset
from pydicom.uid import UID

from imaging.dicom.byte_source import Buffer, flat_bytes
from imaging.dicom.deflated import inflate_data_set
from imaging.dicom.element_walk import walk_data_set
from imaging.dicom.header_value import UNREADABLE
from imaging.dicom.indexed_attributes import SPECIFIC_CHARACTER_SET
from imaging.dicom.limits import DEFAULT_LIMITS, ScanLimits
from imaging.dicom.scan_warning import WarningLog
from imaging.dicom.scanned_instance import ScannedInstance
from imaging.dicom.transfer_syntax import TransferSyntax, transfer_syntax
from imaging.errors import InvalidDicom


def header_bytes(data: Buffer, scanned: ScannedInstance, *, limits: ScanLimits = DEFAULT_LIMITS) -> bytes:
    """The data set up to the pixel data element, in the encoding of its transfer syntax.

    A deflated data set comes inflated, which is Explicit VR Little Endian. Elements after the pixel data (digital
    signatures, trailing padding) are left out. For all but deflated files it is the byte range from
    `data_set_offset` to `header_end`, so that it can be had from a store without reading the pixels.

    Parameters
    ----------
    data
        The whole file that was scanned, or at least its first `header_end` bytes (deflated: the whole).
    """
    if scanned.inflated:
        return inflate_data_set(data, scanned.data_set_offset, limits=limits, max_bytes=scanned.header_end)
    return bytes(flat_bytes(data)[scanned.data_set_offset : scanned.header_end])


def read_header(header: bytes, transfer_syntax_uid: str) -> Dataset:
    """The pydicom data set of these header bytes, with a file meta that names the transfer syntax.

    Values are decoded when they are first asked for; pydicom may warn or raise then, if one is odd.

    Parameters
    ----------
    header
        What `header_bytes` gave; for a deflated transfer syntax the inflated bytes.
    transfer_syntax_uid
        The instance's transfer syntax.

    Raises
    ------
    UnsupportedTransferSyntax
        If it is unknown.
    InvalidDicom
        If the bytes are no header that was scanned.
    """
    syntax = transfer_syntax(transfer_syntax_uid)
    try:
        data_set = _read(header, syntax)
    except UNREADABLE:
        # pydicom looks the character set up while reading, and fails on one with NUL in it.
        try:
            data_set = _read(_without_character_set(header, syntax), syntax)
        except UNREADABLE as error:
            raise InvalidDicom(
                f"The header cannot be read ({type(error).__name__})",
                where="byte 0 of the data set",
                hint="Its structure was sound when it was stored: retrieve the whole instance, and report this.",
            ) from error
    data_set.file_meta = FileMetaDataset()
    data_set.file_meta.TransferSyntaxUID = UID(transfer_syntax_uid)
    return data_set


def _read(header: bytes, syntax: TransferSyntax) -> Dataset:
    return read_dataset(BytesIO(header), syntax.implicit_vr, syntax.little_endian)


def _without_character_set(header: bytes, syntax: TransferSyntax) -> bytes:
    """The header with an empty Specific Character Set, at the same length."""
    walked = walk_data_set(
        header,
        0,
        len(header),
        implicit_vr=syntax.implicit_vr,
        little_endian=syntax.little_endian,
        limits=DEFAULT_LIMITS,
        log=WarningLog(0),
    )
    _, _, value_offset, length = walked.elements.get(SPECIFIC_CHARACTER_SET, (b"", 0, 0, 0))
    return header[:value_offset] + b" " * length + header[value_offset + length :]
