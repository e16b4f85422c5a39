"""What the client gives back: immutable, typed values; times are aware and in UTC."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Literal

from imaging.errors import ImagingError

State = Literal["UNSPECIFIED", "PENDING", "RUNNING", "SUCCEEDED", "FAILED", "CANCELLED", "SKIPPED"]
FileStatus = Literal["stored", "already_stored", "equivalent", "new_version", "restored", "rejected", "skipped"]

ENDED: frozenset[State] = frozenset({"SUCCEEDED", "FAILED", "CANCELLED", "SKIPPED"})
"""States that a run does not leave by itself."""


@dataclass(frozen=True, slots=True)
class FileResult:
    """What became of one file that was to be stored."""

    path: Path
    status: FileStatus
    size_bytes: int = 0
    instance: str = ""
    """`studies/{uid}/series/{uid}/instances/{uid}` when it is stored."""

    error: ImagingError | None = None
    """Why it was rejected."""

    note: str = ""
    """Why it was skipped."""

    @property
    def study(self) -> str:
        """`studies/{uid}`; empty when it is not stored."""
        return "/".join(self.instance.split("/")[:2])


@dataclass(frozen=True, slots=True)
class StoreSummary:
    """What became of all files."""

    files: tuple[FileResult, ...]
    seconds: float

    def _with(self, *statuses: FileStatus) -> tuple[FileResult, ...]:
        return tuple(file for file in self.files if file.status in statuses)

    @property
    def stored(self) -> tuple[FileResult, ...]:
        """The files whose instance is durable now, whether it was new or not."""
        return self._with("stored", "already_stored", "equivalent", "new_version", "restored")

    @property
    def rejected(self) -> tuple[FileResult, ...]:
        """The files that were not accepted, each with its error."""
        return self._with("rejected")

    @property
    def skipped(self) -> tuple[FileResult, ...]:
        """The files that were not sent, each with a note."""
        return self._with("skipped")

    @property
    def studies(self) -> tuple[str, ...]:
        """`studies/{uid}` of every study that a stored file belongs to, in the order of arrival."""
        return tuple(dict.fromkeys(file.study for file in self.stored))

    @property
    def size_bytes(self) -> int:
        """Bytes of the stored files."""
        return sum(file.size_bytes for file in self.stored)


@dataclass(frozen=True, slots=True)
class StoreProgress:
    """How far storing is; given to the `progress` function after each file."""

    files_done: int
    files_total: int
    bytes_done: int
    bytes_total: int
    newest: FileResult


@dataclass(frozen=True, slots=True)
class Study:
    """A study."""

    name: str
    study_instance_uid: str
    patient_id: str
    patient_name: str
    patient_birth_date: str
    patient_sex: str
    study_date: str
    study_time: str
    accession_number: str
    study_id: str
    description: str
    modalities: tuple[str, ...]
    series_count: int
    instance_count: int
    size_bytes: int
    manifest_version: int
    """0 while the study was never complete."""


@dataclass(frozen=True, slots=True)
class Series:
    """A series."""

    name: str
    series_instance_uid: str
    study_instance_uid: str
    modality: str
    series_number: int | None
    description: str
    body_part_examined: str
    instance_count: int
    frame_count: int
    """0 for a series without pixels."""

    rows: int
    columns: int
    size_bytes: int
    is_derived: bool
    """Made by a run, not received."""


@dataclass(frozen=True, slots=True)
class Code:
    """A coded concept (PS3.16)."""

    value: str
    scheme: str
    meaning: str


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why something was not done although nothing failed."""

    subject: str
    rule: str
    message: str
    hint: str


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage of a run."""

    name: str
    kind: str
    uses: str
    state: State
    attempts: int
    finding_count: int
    outputs: tuple[str, ...]
    refusals: tuple[Refusal, ...]
    error: str
    algorithm: str
    series: str
    done: int
    total: int
    """0 while it is not known."""

    unit: str
    message: str
    start_time: datetime | None
    end_time: datetime | None


@dataclass(frozen=True, slots=True)
class Run:
    """The way of one manifest version of a study through one recipe."""

    name: str
    study: str
    manifest_version: int
    recipe: str
    recipe_version: int
    state: State
    reason: str
    stages: tuple[Stage, ...]
    report: str
    """`reports/{id}`; empty: none."""

    superseded_by: str
    trace_id: str
    create_time: datetime | None
    end_time: datetime | None

    @property
    def has_ended(self) -> bool:
        """True when it succeeded, failed, was cancelled or skipped."""
        return self.state in ENDED

    @property
    def seconds(self) -> float | None:
        """From its creation to its end."""
        if self.create_time is None or self.end_time is None:
            return None
        return (self.end_time - self.create_time).total_seconds()


@dataclass(frozen=True, slots=True)
class Finding:
    """A measurement or a qualitative observation."""

    name: str
    series: str
    run: str
    concept: Code
    value: float | None
    unit: str
    """UCUM code; empty for a qualitative finding."""

    coded_value: Code | None
    site: Code | None
    finding_type: Code | None
    derivation: Code | None
    tracking_identifier: str
    tracking_uid: str
    segmentation_sop_instance_uid: str
    segment_number: int
    model: str
    model_version: str
    quality_flags: tuple[tuple[str, str], ...]
    """Code and message of each."""

    line_mm: tuple[float, ...]
    frames: tuple[tuple[str, int], ...]
    """SOP Instance UID and frame number (from 1) of the frames that it rests on."""


@dataclass(frozen=True, slots=True)
class Document:
    """One document of a report."""

    format: Literal["SR", "PDF", "HTML", "KEY_IMAGE", "JSON", "UNSPECIFIED"]
    media_type: str
    file_name: str
    size_bytes: int
    sha256: str
    number: int
    instance: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """A version of the report of a study."""

    name: str
    study: str
    run: str
    version: int
    manifest_version: int
    predecessor: str
    finding_count: int
    documents: tuple[Document, ...] = ()
    refusals: tuple[Refusal, ...] = ()
    create_time: datetime | None = field(default=None)

    def __iter__(self) -> Iterator[Document]:
        return iter(self.documents)
