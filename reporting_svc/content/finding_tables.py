"""Finding groups as tables that PDF and HTML print alike."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from imaging.unit_text import unit_text
from reporting_svc.content.headlines import measurement_label
from reporting_svc.content.quality_notes import NumberedNotes, common_notes
from reporting_svc.content.report_content import FindingGroup, Measurement
from reporting_svc.content.value_text import number_text

_MAX_MATRIX_COLUMNS = 6
"""More columns of numbers than this do not stand side by side on a page."""

_COLUMNS_OF_WIDE_MATRIX = 4


@dataclass(frozen=True, slots=True)
class Cell:
    """A value as text; numbers stand on the right."""

    text: str
    unit: str = ""
    numeric: bool = False
    marks: tuple[int, ...] = ()
    """Numbers of the table's notes."""


@dataclass(frozen=True, slots=True)
class FindingTable:
    """A table of values with its notes."""

    title: str
    subtitle: str
    head: tuple[Cell, ...]
    rows: tuple[tuple[Cell, ...], ...]
    common_notes: tuple[str, ...]
    """What holds for every value."""

    numbered_notes: tuple[str, ...]
    """What holds for marked values; the first has number 1."""

    is_list: bool
    """One thing: a line for each measurement, in three columns."""


def finding_tables(groups: Sequence[FindingGroup]) -> tuple[FindingTable, ...]:
    """One table for things that can be compared, which share a matrix; a list for a thing of its own."""
    tables: list[FindingTable] = []
    for members in _comparable(group for group in groups if group.measurements):
        if len(members) == 1:
            tables.append(_list_table(members[0]))
        elif len(_columns(members)) <= _MAX_MATRIX_COLUMNS:
            tables.append(_matrix(members))
        else:
            starts = range(0, len(members), _COLUMNS_OF_WIDE_MATRIX)
            tables.extend(_turned_matrix(members[start : start + _COLUMNS_OF_WIDE_MATRIX]) for start in starts)
    return tuple(tables)


def _comparable(groups: Iterable[FindingGroup]) -> list[list[FindingGroup]]:
    """Groups of one model that are of one type, or single ones of which the same things were measured."""
    kinds: dict[tuple[str, str], list[FindingGroup]] = {}
    for group in groups:
        kinds.setdefault((group.measurements[0].model, _type_name(group) or group.label), []).append(group)
    merged: list[list[FindingGroup]] = []
    for members in kinds.values():
        before = merged[-1] if merged else []
        if before and len(members) == 1 and _share_columns(before, members):
            before.extend(members)
        else:
            merged.append(list(members))
    return merged


def _share_columns(before: Sequence[FindingGroup], members: Sequence[FindingGroup]) -> bool:
    """True for things of one model, each the only one of its type, of which something equal was measured."""
    if before[0].measurements[0].model != members[0].measurements[0].model:
        return False
    types = [_type_name(group) for group in before]
    if len(set(types)) < len(types):
        return False
    return not set(_columns(before)).isdisjoint(_columns(members))


def _type_name(group: FindingGroup) -> str:
    return group.finding_type.meaning if group.finding_type else ""


def _column_key(measurement: Measurement) -> str:
    unit = measurement.unit.value if measurement.unit else ""
    return f"{measurement_label(measurement)}\0{unit}"


def _columns(groups: Sequence[FindingGroup]) -> dict[str, Measurement]:
    """The distinct measurements in the order of their appearance, each by one example."""
    columns: dict[str, Measurement] = {}
    for group in groups:
        for measurement in group.measurements:
            columns.setdefault(_column_key(measurement), measurement)
    return columns


def _list_table(group: FindingGroup) -> FindingTable:
    common = common_notes(group.measurements)
    notes = NumberedNotes(common)
    rows = tuple(
        (Cell(measurement_label(each)), _value_cell(each, notes), Cell(_unit(each))) for each in group.measurements
    )
    head = (
        Cell("Measurement"),
        Cell("Value", numeric=True),
        Cell("Unit" if any(map(_unit, group.measurements)) else ""),
    )
    return FindingTable(group.label, _subtitle([group]), head, rows, common, notes.texts, is_list=True)


def _matrix(groups: Sequence[FindingGroup]) -> FindingTable:
    """One row a thing, one column a concept; the unit stands in the head."""
    common, columns = _common(groups), _columns(groups)
    notes = NumberedNotes(common)
    head = (Cell(""), *(_head_cell(example) for example in columns.values()))
    rows = tuple((Cell(group.label), *_values(group, columns, notes)) for group in groups)
    return FindingTable(_title(groups), _subtitle(groups), head, rows, common, notes.texts, is_list=False)


def _turned_matrix(groups: Sequence[FindingGroup]) -> FindingTable:
    """One row a concept, one column a thing: for many concepts."""
    common, columns = _common(groups), _columns(groups)
    notes = NumberedNotes(common)
    values = [_values(group, columns, notes) for group in groups]
    head = (
        Cell(""),
        *(Cell(group.label, numeric=True) for group in groups),
        Cell("Unit" if any(map(_unit, columns.values())) else ""),
    )
    rows = tuple(
        (Cell(measurement_label(example)), *(column[place] for column in values), Cell(_unit(example)))
        for place, example in enumerate(columns.values())
    )
    return FindingTable(_title(groups), _subtitle(groups), head, rows, common, notes.texts, is_list=False)


def _common(groups: Sequence[FindingGroup]) -> tuple[str, ...]:
    return common_notes(measurement for group in groups for measurement in group.measurements)


def _values(group: FindingGroup, columns: dict[str, Measurement], notes: NumberedNotes) -> list[Cell]:
    by_key = {_column_key(measurement): measurement for measurement in group.measurements}
    return [_value_cell(by_key[key], notes) if key in by_key else Cell("–", numeric=True) for key in columns]


def _title(groups: Sequence[FindingGroup]) -> str:
    """The type that the things have in common, else the model's name as words."""
    types = {_type_name(group) for group in groups}
    if len(groups) == 1:
        return groups[0].label
    if len(types) == 1 and (name := types.pop()):
        return name
    words = groups[0].measurements[0].model.replace("-", " ").replace("_", " ")
    return words[:1].upper() + words[1:]


def _subtitle(groups: Sequence[FindingGroup]) -> str:
    sites = {group.site.meaning if group.site else "" for group in groups}
    site = sites.pop() if len(sites) == 1 else ""
    first = groups[0].measurements[0]
    shown = "" if site and site.lower() in _title(groups).lower() else site
    return " · ".join(part for part in (shown, f"{first.model} {first.model_version}".strip()) if part)


def _head_cell(example: Measurement) -> Cell:
    return Cell(measurement_label(example), unit=_unit(example), numeric=example.coded_value is None)


def _value_cell(measurement: Measurement, notes: NumberedNotes) -> Cell:
    marks = notes.marks(measurement)
    if measurement.value is not None:
        return Cell(number_text(measurement.value), numeric=True, marks=marks)
    meaning = measurement.coded_value.meaning if measurement.coded_value else "–"
    return Cell(meaning, numeric=measurement.coded_value is None, marks=marks)


def _unit(measurement: Measurement) -> str:
    return unit_text(measurement.unit.value) if measurement.unit else ""
