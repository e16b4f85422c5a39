"""PALETTE COLOR: indices to RGB (PS3.3 C.7.6.3.1.5, C.7.6.3.1.6)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from imaging.dicom.header_value import first_number, whole_value
from imaging.errors import PixelDataInvalid
from imaging.render.lookup_table import (
    LookupTable,
    is_little_endian,
    read_descriptor,
    read_entries,
)
from imaging.render.segmented_palette import expand_segments

_CHANNELS = ("Red", "Green", "Blue")


def apply_palette(stored: NDArray[Any], header: Dataset) -> NDArray[np.uint8]:
    """RGB, shape (rows, columns, 3); indices before the first entry get the first, those after the last the last one.

    Raises
    ------
    PixelDataInvalid
        If a table is missing, has fewer entries than its descriptor tells, or the three descriptors differ.
    """
    tables = [_table(header, channel) for channel in _CHANNELS]
    if len({(len(table.entries), table.first_mapped) for table in tables}) != 1:
        raise PixelDataInvalid(
            "The palette's red, green and blue descriptors differ",
            where="Palette Color Lookup Table Descriptor (0028,1101-1103)",
            hint="Entries and first mapped value must be the same in all three.",
        )
    largest = max(int(table.entries.max()) for table in tables)
    # Many writers declare 16 bits and fill in 8-bit values, which would all come out black.
    shift = 8 if tables[0].bits > 8 and largest > 255 else 0
    return np.stack([(table.apply(stored) >> shift).astype(np.uint8) for table in tables], axis=-1)


def _table(header: Dataset, channel: str) -> LookupTable:
    keyword = f"{channel}PaletteColorLookupTable"
    descriptor = read_descriptor(
        header, f"{keyword}Descriptor", signed_input=first_number(header, "PixelRepresentation") == 1
    )
    segmented = whole_value(header, f"Segmented{keyword}Data")
    if isinstance(segmented, bytes) and f"{keyword}Data" not in header:
        entries = expand_segments(
            segmented, descriptor, f"Segmented{keyword}Data", little_endian=is_little_endian(header)
        )
    else:
        entries = read_entries(header, f"{keyword}Data", descriptor, little_endian=is_little_endian(header))
    return LookupTable(descriptor.first_mapped, descriptor.bits, entries)
