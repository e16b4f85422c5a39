"""Lookup tables as DICOM writes them: a descriptor of three numbers, and the entries (PS3.3 C.11.1.1, C.7.6.3.1.5)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from imaging.dicom.header_value import numbers, whole_value
from imaging.errors import PixelDataInvalid

MAX_ENTRIES = 1 << 16


@dataclass(frozen=True, slots=True)
class LookupTable:
    """A table from consecutive integers to unsigned integers."""

    first_mapped: int
    """The input that the first entry stands for; smaller ones get the first entry, larger ones the last."""
    bits: int
    """Bits of an entry: the largest output is `2 ** bits - 1`."""
    entries: NDArray[np.uint16]
    """Shape (number of entries,)."""

    def apply(self, values: NDArray[Any]) -> NDArray[np.uint16]:
        """The entries for those values, rounded to integers; same shape."""
        index = np.floor(values + 0.5) if values.dtype.kind == "f" else values.astype(np.int64)
        clipped = np.clip(index - self.first_mapped, 0, len(self.entries) - 1)
        mapped: NDArray[np.uint16] = self.entries[clipped.astype(np.intp)]
        return mapped

    @property
    def largest(self) -> int:
        """The largest value an entry may have; more than `bits` allow only where the data itself has more."""
        return max((1 << self.bits) - 1, int(self.entries.max()))


@dataclass(frozen=True, slots=True)
class Descriptor:
    """The three values of a LUT descriptor."""

    entries: int
    first_mapped: int
    bits: int


def read_descriptor(item: Dataset, keyword: str, *, signed_input: bool) -> Descriptor:
    """The descriptor, with 0 entries read as 65,536 and the first mapped value in the sign of the input.

    Raises
    ------
    PixelDataInvalid
        If it is absent, has not three values, or has entries of a width that is not 8 to 16 bits.
    """
    values = numbers(item, keyword)
    if values is None or len(values) != 3:
        raise _invalid(f"{keyword} has not three values", keyword, "It is: entries, first mapped value, bits.")
    count, first, bits = (int(value) for value in values)
    # Read as signed (SS) or unsigned (US): which one depends on the input, so both are brought to one meaning.
    count = count % MAX_ENTRIES or MAX_ENTRIES
    if signed_input and first > 32767:
        first -= 65536
    if not 8 <= bits <= 16:
        raise _invalid(f"{keyword} tells entries of {bits} bits", keyword, "Entries have 8 to 16 bits.")
    return Descriptor(count, first, bits)


def read_entries(item: Dataset, keyword: str, descriptor: Descriptor, *, little_endian: bool) -> NDArray[np.uint16]:
    """The entries, shape (descriptor.entries,); surplus is dropped.

    Raises
    ------
    PixelDataInvalid
        If there are fewer than the descriptor tells, or they are no numbers.
    """
    value = whole_value(item, keyword)
    if value is None:
        raise _invalid(f"{keyword} is missing", keyword, "A LUT descriptor without its data.")
    if isinstance(value, bytes | bytearray):
        # 8-bit entries may be packed two in a word (PS3.3 C.7.6.3.1.6), or stand in the low byte of one each.
        packed = descriptor.bits == 8 and len(value) < 2 * descriptor.entries
        order = "<" if little_endian else ">"
        width = 1 if packed else 2
        entries = np.frombuffer(value, "u1" if packed else f"{order}u2", len(value) // width)
        if packed and not little_endian:
            entries = entries.reshape(-1, 2)[:, ::-1].ravel() if len(entries) % 2 == 0 else entries
    else:
        try:
            entries = np.atleast_1d(np.array(value, dtype=np.int64)) % MAX_ENTRIES
        except (TypeError, ValueError, OverflowError):
            raise _invalid(f"{keyword} holds something else than numbers", keyword, "It has VR US or OW.") from None
    if len(entries) < descriptor.entries:
        raise _invalid(
            f"{keyword} has {len(entries)} entries, its descriptor tells {descriptor.entries}",
            keyword,
            "The table was cut, or the descriptor is wrong.",
        )
    return entries[: descriptor.entries].astype(np.uint16)


def read_lookup_table(item: Dataset, *, signed_input: bool, little_endian: bool) -> LookupTable:
    """The table of a Modality LUT or VOI LUT sequence item (LUT Descriptor and LUT Data).

    Raises
    ------
    PixelDataInvalid
        If descriptor and data do not fit.
    """
    descriptor = read_descriptor(item, "LUTDescriptor", signed_input=signed_input)
    entries = read_entries(item, "LUTData", descriptor, little_endian=little_endian)
    return LookupTable(descriptor.first_mapped, descriptor.bits, entries)


def is_little_endian(header: Dataset) -> bool:
    """Whether the data set was read as little endian, which data sets made in memory are taken for."""
    return getattr(header, "original_encoding", (None, True))[1] is not False


def _invalid(what: str, where: str, hint: str) -> PixelDataInvalid:
    return PixelDataInvalid(what, where=where, hint=hint)
