"""How much a data set may ask of the scanner before it is refused."""

from __future__ import annotations

from dataclasses import dataclass

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB


@dataclass(frozen=True, slots=True)
class ScanLimits:
    """Limits of one scan. Each is checked before memory is taken or work is done for the input."""

    max_file_bytes: int = 4 * GIB
    """Bytes of one instance. Whole-slide images come close to it; the largest defined length of an element is 4 GiB."""

    max_inflate_ratio: int = 200
    """Inflated bytes per deflated byte. Real images stay under 100 : 1; zlib's worst is 1,032 : 1."""

    inflate_allowance_bytes: int = 4 * MIB
    """Inflated bytes that are never held against the ratio: a small empty image deflates 1,000 : 1 and harms nobody."""

    max_inflated_bytes: int = 2 * GIB
    """Inflated bytes of one data set, whatever the ratio: they are held in memory."""

    warn_depth: int = 32
    """Sequences inside each other from which on a warning is given. Structured reports use up to about 15."""

    max_depth: int = 64
    """Sequences inside each other. pydicom recurses and fails near 200."""

    max_elements: int = 1_000_000
    """Elements and items at all depths, the fragments of pixel data not counted."""

    max_outermost_elements: int = 100_000
    """Elements of the outermost level: their places are remembered, 200 bytes each. Real objects have some hundreds."""

    max_fragments: int = 2_000_000
    """Fragments of encapsulated pixel data; a slide of 300,000 x 300,000 pixels has 1.4 million tiles of 256."""

    max_indexed_value_bytes: int = 64 * KIB
    """Bytes of a value that goes into the index; a longer one is kept in the file and is null in the index."""

    max_warnings: int = 100
    """Warnings told of one instance; the rest is counted."""


DEFAULT_LIMITS = ScanLimits()
