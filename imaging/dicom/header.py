"""The header of an instance, without its pixels, as bytes and as a pydicom data set."""

from __future__ import annotations

from io import BytesIO

from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.filereader import read_dataset
from pydicom.uid import UID

from imaging.dicom.byte_source import Buffer, flat_bytes
from imaging.dicom.deflated import inflate_data_set
from imaging.dicom.limits import DEFAULT_LIMITS, ScanLimits
from imaging.dicom.scanned_instance import ScannedInstance
from imaging.dicom.transfer_syntax import transfer_syntax
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
        If pydicom cannot read the bytes: they were not scanned before.
    """
    syntax = transfer_syntax(transfer_syntax_uid)
    try:
        data_set = read_dataset(BytesIO(header), syntax.implicit_vr, syntax.little_endian)
    except Exception as error:
        # pydicom names no closed set of exceptions here; whatever it is, the header is not readable.
        raise InvalidDicom(
            "The header cannot be read", hint="Scan the instance: only the scanner judges structure."
        ) from error
    data_set.file_meta = FileMetaDataset()
    data_set.file_meta.TransferSyntaxUID = UID(transfer_syntax_uid)
    return data_set
