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


@pytest.mark.parametrize("width", [200, 20])
def test_a_name_in_a_title_stays_whole_over_a_table_that_is_narrower(width: int) -> None:
    output, shown = output_of(width)
    output.table(f"studies/{UID}", ("file",), [("report.pdf",)])
    assert shown.getvalue().splitlines()[0].rstrip() == f"studies/{UID}"


def test_wide_terminals_get_one_line_a_row() -> None:
    output, shown = output_of(120)
    output.table("", COLUMNS, ROWS)
    assert len(shown.getvalue().splitlines()) == 1 + len(ROWS)


def test_tables_of_the_demonstration_fit_a_terminal_of_80_columns() -> None:
    output, shown = output_of(80)
    columns = ("study", "recipe", "stages", "state", "findings>", "refused>", "time>")
    output.table("Studies", columns, [("ct-a82f7df1", "ct-general 1", "7/7", "succeeded", 44, 0, "5 min 03 s")])
    phantom = ("measure", "truth>", "measured>", "unit", "difference>", "")
    output.table("", phantom, [("right ellipsoid: volume", "12654.87", "12652.82", "mm3", "-12.04", "within 113.10")])
    assert len(shown.getvalue().splitlines()) == 1 + 2 + 2


def test_long_sentences_are_left_to_the_terminal_to_wrap() -> None:
    output, shown = output_of(20)
    output.say("rejected  " + "/path" * 20)
    assert len(shown.getvalue().splitlines()) == 1


def test_very_long_paths_keep_the_name_of_the_file() -> None:
    output, shown = output_of(5000)
    name_if_not_stored(FileResult(Path("/".join(["d" * 240] * 20)) / "last.dcm", "skipped", note="no"), output)
    (line,) = shown.getvalue().splitlines()
    assert "last.dcm: no" in line
    assert len(line) < 400
