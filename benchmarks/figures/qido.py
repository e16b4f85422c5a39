"""`qido`, `qido_series`, `web_metadata`: requests a second by DICOMweb, four clients.

Targets are 0.5, 0.5 and 3 times the peer's. Both archives keep the same studies. The work list is asked for as OHIF
does it, a page of 101: without a key, by a part of name or ID, by modality, by date. Series are those of one study.
Metadata are those of a series of 20 images, as plain JSON.
"""

from __future__ import annotations

from io import BytesIO
from typing import Final

import pydicom

from benchmarks.dicomweb import open_archives, timed_requests
from benchmarks.figure import Bench, Figure, figure
from benchmarks.work import Series

_STUDIES: Final = 200
_IMAGES: Final = 20
_JSON: Final = "application/dicom+json"
_PAGE: Final = "limit=101&offset=0&fuzzymatching=false&includefield=00081030%2C00080060%2C00080090%2C00100030"
_SURNAMES: Final = ("Abbott", "Becker", "Castillo", "Dubois", "Eriksen", "Fontaine", "Gruber", "Hansen")


def measure(bench: Bench) -> Figure:
    """Study lists; the runs of the others are made on the way."""
    archives = open_archives(bench, "qido")
    studies = _studies(bench)
    for archive in archives:
        for study in studies:
            archive.store(study)
    lists = [f"studies?{_PAGE}{keys}" for keys in _keys()]
    series = [f"studies/{study.study_instance_uid}/series?includefield=0008103E%2C00080021" for study in studies]
    metadata = [f"{study.name}/metadata" for study in studies]
    rounds = 1 if bench.is_quick else 4
    for name, paths in (("qido", lists * rounds), ("qido_series", series * rounds), ("web_metadata", metadata)):
        bench.kept[name] = timed_requests(bench, archives, paths, _JSON)
    return figure("qido", "requests/s", bench.kept["qido"], target=0.5)


def measure_series(bench: Bench) -> Figure:
    """The series of a study, from the runs of `qido`; so is the next."""
    return figure("qido_series", "requests/s", bench.kept["qido_series"], target=0.5)


def measure_metadata(bench: Bench) -> Figure:
    """The metadata of a series."""
    return figure("web_metadata", "requests/s", bench.kept["web_metadata"], target=3.0)


def _keys() -> list[str]:
    """What is searched for, fifty times; no key for every fifth."""
    kinds = [
        "",
        "&PatientName=*{surname}*",
        "&00100020=*{number}*",
        "&ModalitiesInStudy=MR",
        "&StudyDate=202601{first:02}-202601{last:02}",
    ]
    return [
        kinds[number % len(kinds)].format(
            surname=_SURNAMES[number % len(_SURNAMES)][:4], number=number, first=1 + number % 20, last=8 + number % 20
        )
        for number in range(50)
    ]


def _studies(bench: Bench) -> list[Series]:
    """Studies of one series of small images each, with patients and dates of their own."""
    studies: list[Series] = []
    for number in range(_STUDIES // (4 if bench.is_quick else 1)):
        made = bench.work.mr(_IMAGES)
        files: list[bytes] = []
        for file in made.files:
            assert isinstance(file, bytes)
            image = pydicom.dcmread(BytesIO(file))
            image.Rows = image.Columns = 16
            image.PixelData = image.PixelData[: 16 * 16 * 2]
            image.PatientName = f"{_SURNAMES[number % len(_SURNAMES)]}^{number}"
            image.PatientID = f"P{number:05}"
            image.StudyDate = f"202601{1 + number % 28:02}"
            buffer = BytesIO()
            image.save_as(buffer, enforce_file_format=True)
            files.append(buffer.getvalue())
        studies.append(Series(made.study_instance_uid, made.series_instance_uid, made.sop_instance_uids, tuple(files)))
    return studies
