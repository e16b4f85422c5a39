"""The digital phantom of the Image Biomarker Standardisation Initiative, and what its participants agreed on.

Zwanenburg et al.: Radiology 295, 328, 2020, https://doi.org/10.1148/radiol.2020191145; voxels and values as published
by the initiative at https://github.com/theibsi/data_sets (CC BY 4.0).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

SPACING_MM = (2.0, 2.0, 2.0)

VOXELS = np.array(
    [
        [[1, 4, 4, 1, 1], [1, 4, 6, 1, 1], [4, 1, 6, 4, 1], [4, 4, 6, 4, 1]],
        [[1, 4, 4, 1, 1], [1, 1, 6, 1, 1], [1, 1, 3, 1, 1], [4, 4, 6, 1, 1]],
        [[1, 4, 4, 1, 1], [1, 1, 1, 1, 1], [1, 1, 9, 1, 1], [1, 1, 6, 1, 1]],
        [[1, 4, 4, 1, 1], [1, 1, 1, 1, 1], [1, 1, 1, 1, 1], [1, 1, 6, 1, 1]],
    ],
    dtype=np.int16,
)
"""Axes (slice, row, column)."""

MASK = np.ones(VOXELS.shape, dtype=np.bool_)
for place in ((1, 2, 0), (2, 0, 3), (2, 0, 4), (2, 2, 2), (3, 0, 3), (3, 0, 4)):
    MASK[place] = False


@dataclass(frozen=True, slots=True)
class Consensus:
    """What a feature of the phantom is."""

    value: str
    """As published, to so many digits."""

    tolerance: float
    """As published; 0: the digits of `value` must come out."""

    def agrees(self, value: float) -> bool:
        """True if a value is within the tolerance, or becomes the published one when it is rounded like that."""
        digits = len(self.value.partition(".")[2])
        return abs(value - float(self.value)) <= self.tolerance or f"{value:.{digits}f}" == self.value


CONSENSUS = {
    # Morphology
    "RNU0": Consensus("556", 4),
    "YEKZ": Consensus("592", 4),
    "C0JK": Consensus("388", 3),
    "2PR5": Consensus("0.698", 0.004),
    "SKGS": Consensus("0.0411", 0.0003),
    "BQWJ": Consensus("0.599", 0.004),
    "KRCK": Consensus("1.19", 0.01),
    "QCFX": Consensus("0.843", 0.005),
    "25C7": Consensus("0.186", 0.001),
    "KLMA": Consensus("0.672", 0.004),
    "L0JK": Consensus("13.1", 0.1),
    "TDIC": Consensus("11.4", 0.1),
    "P9VJ": Consensus("9.31", 0.06),
    "7J51": Consensus("8.54", 0.05),
    "Q3CK": Consensus("0.816", 0.005),
    "N17B": Consensus("0.749", 0.005),
    "PBX1": Consensus("0.869", 0.005),
    "R59B": Consensus("0.866", 0.005),
    "6BDE": Consensus("1.17", 0.01),
    "RDD2": Consensus("1.36", 0.01),
    "R3ER": Consensus("0.961", 0.006),
    "7T7F": Consensus("1.03", 0.01),
    "99N0": Consensus("1200", 10),
    # Intensity-based statistics
    "Q4LE": Consensus("2.15", 0),
    "ECT3": Consensus("3.05", 0),
    "KE2A": Consensus("1.08", 0),
    "IPH6": Consensus("-0.355", 0),
    "Y12H": Consensus("1", 0),
    "1GSF": Consensus("1", 0),
    "QG58": Consensus("1", 0),
    "8DWT": Consensus("4", 0),
    "84IY": Consensus("6", 0),
    "SALO": Consensus("3", 0),
    "2OJQ": Consensus("5", 0),
    "4FUA": Consensus("1.55", 0),
    "1128": Consensus("1.11", 0),
    "N72L": Consensus("1.15", 0),
    "7TET": Consensus("0.812", 0),
    "9S40": Consensus("0.6", 0),
    "N8CA": Consensus("567", 0),
    "5ZWQ": Consensus("2.77", 0),
    # Intensity histogram, of the values as levels 1 to 6
    "X6K6": Consensus("2.15", 0),
    "CH89": Consensus("3.05", 0),
    "88K1": Consensus("1.08", 0),
    "C3I7": Consensus("-0.355", 0),
    "WIFQ": Consensus("1", 0),
    "1PR8": Consensus("1", 0),
    "GPMT": Consensus("1", 0),
    "OZ0C": Consensus("4", 0),
    "3NCY": Consensus("6", 0),
    "AMMC": Consensus("1", 0),
    "WR0O": Consensus("3", 0),
    "5Z3W": Consensus("5", 0),
    "D2ZX": Consensus("1.55", 0),
    "WRZB": Consensus("1.11", 0),
    "4RNL": Consensus("1.15", 0),
    "CWYJ": Consensus("0.812", 0),
    "SLWD": Consensus("0.6", 0),
    "TLU2": Consensus("1.27", 0),
    "BJ5W": Consensus("0.512", 0),
    "12CE": Consensus("8", 0),
    "8E6O": Consensus("3", 0),
    "VQB3": Consensus("-50", 0),
    "RHQZ": Consensus("1", 0),
}
"""By IBSI identifier."""
