"""What a codec hands back: the samples as the codestream has them, and what is left to do to them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class DecodedSamples:
    """Samples of one frame before sign, unused bits and colour space are put right."""

    samples: NDArray[Any]
    """Shape (rows, columns) or (rows, columns, samples); any integer or float type, native byte order."""

    photometric_interpretation: str
    """Of these samples: it differs from the header's where the codec undid a colour transform or the codestream
    itself says otherwise."""

    significant_bits: int | None = None
    """Bits of a sample that carry the value: the others are cleared or filled with the sign. None: all of them."""

    lowest_bit: int = 0
    """Where those bits begin: over 0 where High Bit is not Bits Stored - 1, as the Standard allowed once."""
