"""The factor from the values of a PET series to SUV by body weight.

The way is the vendor-neutral one that the Quantitative Imaging Biomarkers Alliance publishes (QIBA FDG-PET/CT profile,
appendix G: SUV calculation), for classic PET images (PS3.3 C.8.9.1). What is missing or does not fit is refused: a
wrong dose, weight or time gives a plausible wrong number.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from pydicom.dataset import Dataset

from analysis_svc.pet.moment import read_date_and_time, read_date_time
from imaging.dicom.header_value import first_item, first_number, text
from imaging.errors import MeasurementRefused

_DAY: Final = timedelta(days=1)
_MOST_HALF_LIVES: Final = 6.0
"""After this time a fiftieth of the activity is left: nobody scans so late, so that one of the times is wrong."""

_WEIGHT_KG: Final = (0.5, 400.0)
_DOSE_BQ: Final = (1e4, 1e11)
_PHILIPS: Final = "Philips PET Private Group"
_SAME: Final = (
    "Units",
    "DecayCorrection",
    "CorrectedImage",
    "PatientWeight",
    "SUVType",
    "SeriesDate",
    "SeriesTime",
)


@dataclass(frozen=True, slots=True)
class SuvScale:
    """What values are multiplied by, and how that was found."""

    factor: float
    """SUV (g/mL) by unit of the series."""

    explanation: str
    """A sentence with the numbers that decided."""


def suv_scale(headers: Sequence[Dataset]) -> SuvScale:
    """The scale of a series.

    Parameters
    ----------
    headers
        Of all images, at least one; pixel data is not needed.

    Raises
    ------
    MeasurementRefused
        Rule `MIXED_ACQUISITION`, `UNITS`, `SUV_TYPE`, `NOT_CORRECTED`, `NO_WEIGHT`, `NO_DOSE`, `NO_HALF_LIFE`,
        `NO_TIME` or `IMPLAUSIBLE_TIME`.
    """
    first = headers[0]
    for keyword in _SAME:
        if len({text(header, keyword) for header in headers}) > 1:
            raise _refused(
                "MIXED_ACQUISITION", f"The images differ in {keyword}", "Take the images of one acquisition."
            )
    units = text(first, "Units").upper()
    if units == "GML":
        kind = text(first, "SUVType").upper() or "BW"
        if kind != "BW":
            raise _refused("SUV_TYPE", f"The values are SUV by {kind}, not by body weight", "Send the series in BQML.")
        return SuvScale(1.0, "The values are SUV by body weight already (0054,1001).")
    if units == "CNTS":
        return _philips(first)
    if units != "BQML":
        raise _refused("UNITS", f"The unit of the values is {units or 'not told'} (0054,1001)", "Send it in BQML.")
    return _of_activity(headers)


def _of_activity(headers: Sequence[Dataset]) -> SuvScale:
    first = headers[0]
    corrected = text(first, "CorrectedImage").upper().split("\\")
    missing = [name for name in ("ATTN", "DECY") if name not in corrected]
    if missing:
        raise _refused(
            "NOT_CORRECTED",
            f"The images are not corrected for {' and '.join(missing)} (0028,0051)",
            "Send the corrected series.",
        )
    weight = first_number(first, "PatientWeight")
    if weight is None or not _WEIGHT_KG[0] <= weight <= _WEIGHT_KG[1]:
        told = "missing" if weight is None else f"{weight:g} kg"
        raise _refused("NO_WEIGHT", f"Patient's Weight (0010,1030) is {told}", "Complete it at the scanner.")
    agent = first_item(first, "RadiopharmaceuticalInformationSequence")
    dose = first_number(agent, "RadionuclideTotalDose")
    if dose is None or not _DOSE_BQ[0] <= dose <= _DOSE_BQ[1]:
        told = "missing" if dose is None else f"{dose:g}, which is no dose in Bq"
        raise _refused("NO_DOSE", f"Radionuclide Total Dose (0018,1074) is {told}", "Complete it at the scanner.")
    correction = text(first, "DecayCorrection").upper()
    if correction == "ADMIN":
        return SuvScale(weight * 1000 / dose, f"Dose {dose / 1e6:.1f} MBq, decay corrected to its administration.")
    if correction != "START":
        raise _refused(
            "NOT_CORRECTED",
            f"Decay Correction (0054,1102) is {correction or 'not told'}; START and ADMIN are understood",
            "Send the series with decay correction.",
        )
    half_life = first_number(agent, "RadionuclideHalfLife")
    if half_life is None or half_life <= 0:
        raise _refused("NO_HALF_LIFE", "Radionuclide Half Life (0018,1075) is missing", "Complete it at the scanner.")
    waited = _decay_time(headers, agent, half_life).total_seconds()
    if not 0 <= waited <= _MOST_HALF_LIVES * half_life:
        raise _refused(
            "IMPLAUSIBLE_TIME",
            f"From injection to scan {waited / 60:.0f} minutes are told, {waited / half_life:.1f} half-lives",
            "Correct Radiopharmaceutical Start Time (0018,1072) or the times of the series.",
        )
    left = dose * 2 ** (-waited / half_life)
    return SuvScale(
        weight * 1000 / left,
        f"Dose {dose / 1e6:.1f} MBq, of which {left / 1e6:.1f} MBq were left at the scan {waited / 60:.1f} min later.",
    )


def _decay_time(headers: Sequence[Dataset], agent: Dataset | None, half_life: float) -> timedelta:
    """From injection to the moment that the images are decay corrected to."""
    first = headers[0]
    series = read_date_and_time(text(first, "SeriesDate"), text(first, "SeriesTime"))
    acquired = [
        moment
        for header in headers
        if (moment := read_date_and_time(text(header, "AcquisitionDate"), text(header, "AcquisitionTime"))) is not None
    ]
    if series is None or len(acquired) < len(headers):
        raise _refused("NO_TIME", "Date or time of series or acquisition is missing", "Complete it at the scanner.")
    # A series that was reconstructed later has a time after its acquisition.
    scan = series if series <= min(acquired) else min(acquired)
    injected = read_date_time(text(agent, "RadiopharmaceuticalStartDateTime"), text(first, "TimezoneOffsetFromUTC"))
    if injected is not None:
        return scan - injected
    start = _start_time(scan, text(agent, "RadiopharmaceuticalStartTime"))
    if start is None:
        raise _refused(
            "NO_TIME", "The time of the injection (0018,1078 or 0018,1072) is missing", "Complete it at the scanner."
        )
    if _MOST_HALF_LIVES * half_life >= _DAY.total_seconds():
        # Of Cu-64, Zr-89 or I-124 scans are made days later, and nothing would tell a wrong day.
        raise _refused(
            "NO_TIME",
            "Only the time of day of the injection is told (0018,1072); with a half-life of"
            f" {half_life / 3600:.1f} h its day matters",
            "Complete Radiopharmaceutical Start DateTime (0018,1078) at the scanner.",
        )
    # A time without a date, later than the scan, is of the evening before.
    return scan - start if start <= scan else scan - start + _DAY


def _start_time(scan: datetime, time: str) -> datetime | None:
    return read_date_and_time(scan.strftime("%Y%m%d"), time)


def _philips(header: Dataset) -> SuvScale:
    """Counts with the factor that Philips scanners write (7053,xx00)."""
    try:
        factor = float(str(header.private_block(0x7053, _PHILIPS)[0x00].value))
    except (KeyError, ValueError, TypeError):
        factor = 0.0
    if not factor > 0:
        raise _refused(
            "UNITS", "The values are counts (0054,1001) without a factor to SUV (7053,xx00)", "Send the series in BQML."
        )
    return SuvScale(factor, f"Counts, by the scanner's own factor {factor:g} (7053,xx00).")


def _refused(rule: str, what: str, hint: str) -> MeasurementRefused:
    return MeasurementRefused(what, where="SUV", hint=hint, metadata={"rule": rule})
