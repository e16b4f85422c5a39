"""Does the content of a document follow its template (PS3.16)? Checked are the rows that our documents use."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from pydicom.dataset import Dataset

from imaging.dicom.header_value import first_item, items, numbers, text

_Concept = tuple[str, str]
"""Code value and coding scheme."""


@dataclass(frozen=True, slots=True)
class Row:
    """A row of a template: what may or must stand below its parent."""

    relationship: str
    value_types: tuple[str, ...]
    concept: _Concept | None
    """None: any concept that no other row has, or none."""

    least: int = 0
    most: int | None = None
    rows: tuple[Row, ...] = ()
    """What stands below it; items that no row allows are a fault, as these templates are not extensible where we use
    them, or our own extension is a row, too."""

    def fits(self, relationship: str, value_type: str, concept: _Concept) -> bool:
        """True for the items that this row allows."""
        return relationship == self.relationship and value_type in self.value_types and self.concept in (None, concept)


def _code(concept: _Concept | None, relationship: str = "HAS CONCEPT MOD", least: int = 0) -> Row:
    return Row(relationship, ("CODE",), concept, least)


_COMMENT: Final = Row("CONTAINS", ("TEXT",), ("121106", "DCM"))

_TRACKING: Final = (
    Row("HAS OBS CONTEXT", ("TEXT",), ("112039", "DCM"), 1, 1),
    Row("HAS OBS CONTEXT", ("UIDREF",), ("112040", "DCM"), 1, 1),
)
"""Tracking identifier and its UID (TID 1410, 1411 and 1501)."""

_ALGORITHM: Final = (
    Row("HAS CONCEPT MOD", ("TEXT",), ("111001", "DCM"), 1, 1),
    Row("HAS CONCEPT MOD", ("TEXT",), ("111003", "DCM"), 1, 1),
    Row("HAS CONCEPT MOD", ("TEXT",), ("111002", "DCM")),
)
"""Name, version and parameters (TID 4019)."""

_ON_IMAGE: Final = (Row("SELECTED FROM", ("IMAGE",), None, 1, 1),)
"""The image that coordinates are of."""

_NUMBER: Final = Row(
    "CONTAINS",
    ("NUM",),
    None,
    rows=(
        _code(("121401", "DCM")),  # derivation
        Row("INFERRED FROM", ("SCOORD",), None, rows=_ON_IMAGE),
        Row("INFERRED FROM", ("SCOORD3D",), None),
    ),
)
"""A measurement with its unit (TID 1419, TID 300)."""

_GROUP: Final = Row(
    "CONTAINS",
    ("CONTAINER",),
    ("125007", "DCM"),
    rows=(
        *_TRACKING,
        *_ALGORITHM,
        Row("CONTAINS", ("CODE",), ("121071", "DCM"), 0, 1),  # finding
        Row("HAS CONCEPT MOD", ("CODE",), ("363698007", "SCT"), rows=(Row("HAS CONCEPT MOD", ("CODE",), None),)),
        Row("CONTAINS", ("SCOORD",), ("111030", "DCM"), 0, 1, _ON_IMAGE),  # image region
        Row("CONTAINS", ("IMAGE",), ("121191", "DCM"), 0, 1),  # referenced segment
        Row("CONTAINS", ("UIDREF",), ("121232", "DCM"), 0, 1),  # source series for segmentation
        Row("CONTAINS", ("IMAGE",), ("121233", "DCM")),  # source image for segmentation
        Row("CONTAINS", ("IMAGE",), ("121112", "DCM")),  # source of measurement
        _COMMENT,
        _NUMBER,
        Row("CONTAINS", ("CODE",), None),
    ),
)

_OBSERVER: Final = tuple(
    Row("HAS OBS CONTEXT", (value_type,), (code, "DCM"), least, most)
    for value_type, code, least, most in (
        ("CODE", "121005", 1, None),  # observer type
        ("UIDREF", "121012", 0, 1),  # device
        ("TEXT", "121013", 0, 1),
        ("TEXT", "121014", 0, 1),
        ("TEXT", "121015", 0, 1),
        ("TEXT", "121016", 0, 1),
        ("PNAME", "121008", 0, 1),  # person
        ("TEXT", "121009", 0, 1),
        ("CODE", "121011", 0, 1),
    )
)
"""TID 1001 to 1004."""

TEMPLATES: Final[dict[str, tuple[tuple[_Concept, ...], tuple[Row, ...]]]] = {
    "1500": (
        (("126000", "DCM"),),
        (
            Row("HAS CONCEPT MOD", ("CODE",), ("121049", "DCM"), 1, rows=(_code(("121046", "DCM")),)),
            *_OBSERVER,
            _code(("121058", "DCM"), least=1),
            Row("CONTAINS", ("CONTAINER",), ("126010", "DCM"), 0, 1, (_GROUP,)),
            Row(
                "CONTAINS",
                ("CONTAINER",),
                ("C0034375", "UMLS"),
                0,
                1,
                (_COMMENT, Row("CONTAINS", ("CODE",), None)),
            ),
        ),
    ),
    "2010": (
        # CID 7010 Key Object Selection Document Title, those that we use.
        (("113000", "DCM"), ("113018", "DCM"), ("113030", "DCM")),
        (
            Row("HAS CONCEPT MOD", ("CODE",), ("121049", "DCM")),
            _code(("113011", "DCM")),
            *_OBSERVER,
            Row("CONTAINS", ("TEXT",), ("113012", "DCM"), 0, 1),
            Row("CONTAINS", ("IMAGE",), None, 1),
        ),
    ),
}
"""Template by identifier: document titles, and the rows below the root."""


def check_template(dataset: Dataset) -> tuple[int, list[str]]:
    """How many content items there are, and what is wrong with them, in sentences without values."""
    identifier = text(first_item(dataset, "ContentTemplateSequence"), "TemplateIdentifier")
    if identifier not in TEMPLATES:
        return 0, [f"there is no template {identifier or 'named'}"]
    titles, rows = TEMPLATES[identifier]
    faults = [] if _concept(dataset) in titles else ["the title is none of the template's"]
    if text(dataset, "ValueType") != "CONTAINER":
        faults.append("the root is no CONTAINER")
    faults += _children(dataset, rows, f"TID {identifier}")
    every = list(_every_item(dataset))
    for item in every:
        faults += _value_faults(item)
    faults += _evidence_faults(dataset, every)
    return len(every) + 1, list(dict.fromkeys(faults))


def _children(parent: Dataset, rows: tuple[Row, ...], path: str) -> Iterator[str]:
    counts = [0] * len(rows)
    for item in items(parent, "ContentSequence"):
        relationship, value_type, concept = text(item, "RelationshipType"), text(item, "ValueType"), _concept(item)
        fitting = (index for index, row in enumerate(rows) if row.fits(relationship, value_type, concept))
        place = next(fitting, None)
        told = f"{path} > {relationship} {value_type} {concept[0]}".rstrip()
        if place is None:
            yield f"{told} has no row in the template"
            continue
        counts[place] += 1
        yield from _children(item, rows[place].rows, told)
    for row, count in zip(rows, counts, strict=True):
        what = f"{row.value_types[0]} {row.concept[0] if row.concept else 'of any concept'}"
        if count < row.least:
            yield f"{path} lacks {what}"
        if row.most is not None and count > row.most:
            yield f"{path} has {count} times {what}, at most {row.most} may be"


def _value_faults(item: Dataset) -> Iterator[str]:
    """The value of an item is there and whole (PS3.3 C.17.3, C.18)."""
    value_type = text(item, "ValueType")
    where = f"{value_type} {_concept(item)[0]}".rstrip()
    if value_type not in ("IMAGE", "SCOORD3D") and not all(_concept(item)):
        yield f"{where} has no concept"
    if value_type == "NUM":
        measured = first_item(item, "MeasuredValueSequence")
        if not text(measured, "NumericValue") or not _is_coded(first_item(measured, "MeasurementUnitsCodeSequence")):
            yield f"{where} has no value with a unit"
    elif value_type == "CODE" and not _is_coded(first_item(item, "ConceptCodeSequence")):
        yield f"{where} has no code"
    elif value_type == "TEXT" and not text(item, "TextValue"):
        yield f"{where} has no text"
    elif value_type == "UIDREF" and not text(item, "UID"):
        yield f"{where} has no UID"
    elif value_type == "SCOORD" and not _is_drawn(item):
        yield f"{where} has no coordinates, or one without the other"
    elif value_type == "SCOORD" and not text(
        first_item(first_item(item, "ContentSequence"), "ReferencedSOPSequence"), "ReferencedSOPInstanceUID"
    ):
        yield f"{where} names no image"
    elif value_type == "SCOORD3D" and not (
        text(item, "GraphicType") and text(item, "GraphicData") and text(item, "ReferencedFrameOfReferenceUID")
    ):
        yield f"{where} has no coordinates in a frame of reference"


def _is_drawn(item: Dataset) -> bool:
    """Pairs of column and row, none before the corner of the image (PS3.3 C.18.6)."""
    data = numbers(item, "GraphicData") or ()
    return bool(text(item, "GraphicType") and data and len(data) % 2 == 0 and min(data) >= 0)


def _evidence_faults(dataset: Dataset, content: list[Dataset]) -> Iterator[str]:
    """What the content refers to stands in the evidence, too (PS3.3 C.17.2.3)."""
    evidence = {
        text(reference, "ReferencedSOPInstanceUID")
        for study in items(dataset, "CurrentRequestedProcedureEvidenceSequence")
        for series in items(study, "ReferencedSeriesSequence")
        for reference in items(series, "ReferencedSOPSequence")
    }
    for item in content:
        for reference in items(item, "ReferencedSOPSequence"):
            uid = text(reference, "ReferencedSOPInstanceUID")
            if not uid or uid not in evidence:
                yield f"instance {uid or 'without UID'} is referred to and not in the evidence"


def _every_item(parent: Dataset) -> Iterator[Dataset]:
    for item in items(parent, "ContentSequence"):
        yield item
        yield from _every_item(item)


def _concept(item: Dataset) -> _Concept:
    name = first_item(item, "ConceptNameCodeSequence")
    return text(name, "CodeValue"), text(name, "CodingSchemeDesignator")


def _is_coded(item: Dataset | None) -> bool:
    return all(text(item, keyword) for keyword in ("CodeValue", "CodingSchemeDesignator", "CodeMeaning"))
