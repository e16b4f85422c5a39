"""Whether a CT was reconstructed with a sharp kernel, from (0018,1210) Convolution Kernel."""

from __future__ import annotations

import re
from enum import Enum
from typing import Final


class Sharpness(Enum):
    """What a kernel's name tells."""

    SMOOTH = "smooth"
    SHARP = "sharp"
    UNKNOWN = "unknown"


_WORDS: Final = re.compile(r"LUNG|BONE|EDGE|SHARP|ULTRA|HRCT|DETAIL|HIGH ?RES|RAM-?LAK")
"""GE names (LUNG, BONE, BONEPLUS, EDGE, ULTRA, DETAIL), what free names say, and the plain ramp filter."""

_SMOOTH_WORDS: Final = re.compile(r"STANDARD|STND|SOFT|SMOOTH|BODY|CHST|ROUTINE|MEDIUM")

_SIEMENS: Final = re.compile(r"(?:B|H|U|D|I|J|T|BR|BF|BL|BV|HR|HF|HV|HC|QR|SA|UR|TR|TF)(\d{2})[A-Z]*")
"""B31f, I50f, Br64d …: the number tells the sharpness; from 50 on edges are raised."""

_SIEMENS_SHARP: Final = 50

_CANON: Final = re.compile(r"FC(\d{2}).*")
"""Toshiba and Canon: FC01 to FC29 body and head, FC30 to FC39 bone, FC50 to FC59 lung, FC80 to FC89 high resolution."""

_PHILIPS_SMOOTH: Final = frozenset({"A", "B", "C", "SA", "SB", "SC", "UA", "UB", "UC", "XA", "XB", "XC"})
_PHILIPS_SHARP: Final = frozenset({"D", "E", "F", "L", "CD", "CE", "YA", "YB", "YC", "YD", "YE"})


def kernel_sharpness(kernel: str) -> Sharpness:
    """The sharpness by the makers' naming rules.

    A sharp kernel raises noise and overshoots at edges, so that voxels fall under -950 HU which are not emphysema
    (Boedeker et al.: Acad Radiol 11, 767, 2004, for GE, Siemens and others).

    Parameters
    ----------
    kernel
        The value as it stands in the header; several values are joined by a backslash and the first one counts.
    """
    name = kernel.split("\\")[0].strip().upper()
    if not name:
        return Sharpness.UNKNOWN
    if _WORDS.search(name):
        return Sharpness.SHARP
    if _SMOOTH_WORDS.search(name):
        return Sharpness.SMOOTH
    siemens = _SIEMENS.fullmatch(name)
    if siemens is not None:
        return Sharpness.SHARP if int(siemens[1]) >= _SIEMENS_SHARP else Sharpness.SMOOTH
    canon = _CANON.fullmatch(name)
    if canon is not None:
        return Sharpness.SHARP if canon[1][0] in "3578" else Sharpness.SMOOTH
    if name in _PHILIPS_SHARP:
        return Sharpness.SHARP
    return Sharpness.SMOOTH if name in _PHILIPS_SMOOTH else Sharpness.UNKNOWN
