"""What commands write, on terminals of any width."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console
from rich.text import Text

from imaging.cli.file_lines import name_if_not_stored
from imaging.cli.output import Output
from imaging.client.results import FileResult

UID = "1.3.6.1.4.1.5962.1.2.1.20040119072730.12322"
COLUMNS = ("study", "patient", "ID", "state", "instances>", "size>")
ROWS = [(UID, "Doe^Jane", "4711", Text("succeeded"), 12, "1.5 MB"), (UID + ".9", "", "", Text("failed"), 3, "9 B")]


def output_of(width: int) -> tuple[Output, io.StringIO]:
    output, shown = Output(as_json=False), io.StringIO()
    output.console = Console(file=shown, width=width, highlight=False, force_terminal=True, color_system=None)
    output.messages = output.console
    return output, shown


@pytest.mark.parametrize("width", [200, 100, 80, 40, 20])
def test_no_table_cuts_a_value_however_narrow_the_terminal_is(width: int) -> None:
    output, shown = output_of(width)
    output.table("Found", COLUMNS, ROWS)
    text = shown.getvalue()
    assert all(str(cell) in text for row in ROWS for cell in row)


def test_wide_terminals_get_one_line_a_row() -> None:
    output, shown = output_of(120)
    output.table("", COLUMNS, ROWS)
    assert len(shown.getvalue().splitlines()) == 1 + len(ROWS)


def test_very_long_paths_keep_the_name_of_the_file() -> None:
    output, shown = output_of(5000)
    name_if_not_stored(FileResult(Path("/".join(["d" * 240] * 20)) / "last.dcm", "skipped", note="no"), output)
    (line,) = shown.getvalue().splitlines()
    assert "last.dcm: no" in line
    assert len(line) < 400
