"""Value representations as the scanner needs them: how a VR tells its length, and which tags are sequences."""

from __future__ import annotations

UNDEFINED_LENGTH = 0xFFFFFFFF

SHORT_LENGTH_VRS = frozenset(b"AE AS AT CS DA DS DT FL FD IS LO LT PN SH SL SS ST TM UI UL US".split())
"""VRs with a length of 16 bits (PS3.5 7.1.2)."""

LONG_LENGTH_VRS = frozenset(b"OB OD OF OL OV OW SQ SV UC UN UR UT UV".split())
"""VRs with two reserved bytes and a length of 32 bits (PS3.5 7.1.2)."""

FRAGMENT_VRS = frozenset((b"OB", b"OW", b"OD", b"OF", b"OL", b"OV"))
"""VRs whose undefined length means fragments, not items with data sets (PS3.5 A.4)."""

TEXT_VRS = frozenset(
    ("AE", "AS", "CS", "DA", "DS", "DT", "IS", "LO", "LT", "PN", "SH", "ST", "TM", "UC", "UI", "UR", "UT")
)
"""VRs whose values are characters."""


def is_known_vr(vr: bytes) -> bool:
    """True if these two bytes name a VR of the Standard."""
    return vr in SHORT_LENGTH_VRS or vr in LONG_LENGTH_VRS
