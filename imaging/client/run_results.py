"""What the client gives back about runs, findings and reports: immutable, typed values; times are aware and in UTC."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

State = Literal["UNSPECIFIED", "PENDING", "RUNNING", "SUCCEEDED", "FAILED", "CANCELLED", "SKIPPED"]

ENDED: frozenset[State] = frozenset({"SUCCEEDED", "FAILED", "CANCELLED", "SKIPPED"})
"""States that a run does not leave by itself."""


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
class ObjectCheck:
    """What was compared of the objects of one SOP Class before they were stored; they all passed."""

    sop_class_uid: str
    object_count: int
    compared: dict[str, int]
    """How much, by rule: attributes, pixels, template, places, content."""

    largest_deviation_mm: float | None
    """Of a frame from its place; None where the objects have none."""


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
    checks: tuple[ObjectCheck, ...] = ()


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

    format: Literal["SR", "PDF", "HTML", "KEY_IMAGE", "JSON", "FHIR", "KOS", "SC", "UNSPECIFIED"]
    media_type: str
    file_name: str
    size_bytes: int
    sha256: str
    number: int
    instance: str = ""


@dataclass(frozen=True, slots=True)
class Verification:
    """Who stands for a version of a report."""

    observer: str
    """`Family^Given`."""

    organization: str
    time: datetime | None


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
    create_time: datetime | None = None
    checks: tuple[ObjectCheck, ...] = ()
    state: Literal["DRAFT", "FINAL", "AMENDED", "UNSPECIFIED"] = "UNSPECIFIED"
    verification: Verification | None = None
    """None for a draft."""

    replaces: str = ""
    """`reports/{id}` of the final version that an amended one replaces."""

    def __iter__(self) -> Iterator[Document]:
        return iter(self.documents)
