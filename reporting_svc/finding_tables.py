"""Finding groups as tables that PDF and HTML print alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from reporting_svc.headlines import measurement_label
from reporting_svc.report_content import FindingGroup, Measurement, QualityFlag
from reporting_svc.value_text import number_text, unit_text

_MAX_MATRIX_COLUMNS = 6
"""More columns of numbers than this do not stand side by side on a page."""

_COLUMNS_OF_WIDE_MATRIX = 4


@dataclass(frozen=True, slots=True)
class Cell:
    """A value as text; numbers stand on the right."""

    text: str
    unit: str = ""
    numeric: bool = False
    flag_marks: tuple[int, ...] = ()
    """Numbers of the table's notes."""


@dataclass(frozen=True, slots=True)
class FindingTable:
    """A table of values with its notes."""

    title: str
    subtitle: str
    head: tuple[Cell, ...]
    rows: tuple[tuple[Cell, ...], ...]
    notes: tuple[str, ...]
    """Quality flags, numbered from 1 by their place."""


class _Notes:
    """Collects quality flags; equal ones get one number."""

    def __init__(self) -> None:
        self.texts: dict[str, int] = {}

    def marks(self, flags: Sequence[QualityFlag]) -> tuple[int, ...]:
        numbers = [
            self.texts.setdefault(flag.message or flag.code, len(self.texts) + 1)
            for flag in flags
            if flag.message or flag.code
        ]
        return tuple(sorted(set(numbers)))


def finding_tables(groups: Sequence[FindingGroup]) -> tuple[FindingTable, ...]:
    """One table for each kind of thing: several things of a kind share a matrix, a single one gets a list."""
    kinds: dict[tuple[str, str], list[FindingGroup]] = {}
    for group in groups:
        finding_type = group.finding_type.meaning if group.finding_type else ""
        # Things of one kind are comparable when the same model measured them.
        model = group.measurements[0].model if group.measurements else ""
        kinds.setdefault((finding_type or group.label, model), []).append(group)
    tables: list[FindingTable] = []
    for members in kinds.values():
        if len(members) == 1:
            tables.append(_list_table(members[0]))
        elif len(_columns(members)) <= _MAX_MATRIX_COLUMNS:
            tables.append(_matrix(members))
        else:
            starts = range(0, len(members), _COLUMNS_OF_WIDE_MATRIX)
            tables.extend(_turned_matrix(members[start : start + _COLUMNS_OF_WIDE_MATRIX]) for start in starts)
    return tuple(tables)


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


def _title(group: FindingGroup) -> str:
    return group.finding_type.meaning if group.finding_type else group.label


def _subtitle(group: FindingGroup) -> str:
    first = group.measurements[0]
    parts = [group.site.meaning if group.site and group.site.meaning not in group.label else ""]
    parts.append(f"{first.model} {first.model_version}".strip())
    return " · ".join(part for part in parts if part)


def _list_table(group: FindingGroup) -> FindingTable:
    notes = _Notes()
    rows = []
    for measurement in group.measurements:
        cell = _value_cell(measurement, notes)
        rows.append((Cell(measurement_label(measurement)), cell, Cell(_unit(measurement))))
    head = (Cell("Measurement"), Cell("Value", numeric=True), Cell("Unit"))
    return FindingTable(group.label, _subtitle(group), head, tuple(rows), tuple(notes.texts))


def _matrix(groups: Sequence[FindingGroup]) -> FindingTable:
    """One row a thing, one column a concept; the unit stands in the head."""
    notes, columns = _Notes(), _columns(groups)
    head = (Cell(_title(groups[0])), *(_head_cell(example) for example in columns.values()))
    rows = tuple((Cell(group.label), *_values(group, columns, notes)) for group in groups)
    return FindingTable(_plural(groups), _subtitle_of_many(groups), head, rows, tuple(notes.texts))


def _turned_matrix(groups: Sequence[FindingGroup]) -> FindingTable:
    """One row a concept, one column a thing: for many concepts."""
    notes, columns = _Notes(), _columns(groups)
    values = [_values(group, columns, notes) for group in groups]
    head = (Cell("Measurement"), *(Cell(group.label, numeric=True) for group in groups), Cell("Unit"))
    rows = tuple(
        (Cell(measurement_label(example)), *(column[place] for column in values), Cell(_unit(example)))
        for place, example in enumerate(columns.values())
    )
    return FindingTable(_plural(groups), _subtitle_of_many(groups), head, rows, tuple(notes.texts))


def _values(group: FindingGroup, columns: dict[str, Measurement], notes: _Notes) -> list[Cell]:
    by_key = {_column_key(measurement): measurement for measurement in group.measurements}
    return [_value_cell(by_key[key], notes) if key in by_key else Cell("–", numeric=True) for key in columns]


def _plural(groups: Sequence[FindingGroup]) -> str:
    title = _title(groups[0])
    labels = [group.label for group in groups]
    if len(groups) == 1:
        return labels[0]
    return f"{title} ({len(groups)})"


def _subtitle_of_many(groups: Sequence[FindingGroup]) -> str:
    sites = {group.site.meaning for group in groups if group.site}
    first = groups[0].measurements[0]
    parts = [sites.pop() if len(sites) == 1 else "", f"{first.model} {first.model_version}".strip()]
    return " · ".join(part for part in parts if part)


def _head_cell(example: Measurement) -> Cell:
    return Cell(measurement_label(example), unit=_unit(example), numeric=example.coded_value is None)


def _value_cell(measurement: Measurement, notes: _Notes) -> Cell:
    marks = notes.marks(measurement.flags)
    if measurement.value is not None:
        return Cell(number_text(measurement.value), numeric=True, flag_marks=marks)
    meaning = measurement.coded_value.meaning if measurement.coded_value else "–"
    return Cell(meaning, numeric=measurement.coded_value is None, flag_marks=marks)


def _unit(measurement: Measurement) -> str:
    return unit_text(measurement.unit.value) if measurement.unit else ""
