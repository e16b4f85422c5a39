"""The PDF holds every value, repeats byte for byte, and survives every text."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from reporting_svc.content.finding_tables import finding_tables
from reporting_svc.content.report_content import ReportContent
from reporting_svc.pdf.document import render_pdf
from tests.reporting.sample_report import ML, VOLUME, finding, sample_content, sample_study

needs_pdftotext = pytest.mark.skipif(
    shutil.which("pdftotext") is None, reason="pdftotext of poppler-utils is not installed, so no text can be read back"
)


def _text(pdf: bytes, folder: Path) -> str:
    file = folder / "report.pdf"
    file.write_bytes(pdf)
    done = subprocess.run(["pdftotext", "-layout", str(file), "-"], capture_output=True, check=True, timeout=30)
    return done.stdout.decode("utf-8")


def _values(content: ReportContent) -> list[str]:
    return [cell.text for table in finding_tables(content.groups) for row in table.rows for cell in row if cell.numeric]


def test_the_same_content_gives_the_same_bytes() -> None:
    first, second = render_pdf(sample_content()), render_pdf(sample_content())
    assert first == second
    assert first.startswith(b"%PDF-1.")
    assert first != render_pdf(sample_content(version=3))


@pytest.mark.peers
@needs_pdftotext
def test_every_value_and_every_reason_stands_in_the_text(tmp_path: Path) -> None:
    content = sample_content()
    text = _text(render_pdf(content), tmp_path)
    flat = " ".join(text.split())
    for value in _values(content):
        assert value.replace("\u00a0", " ") in flat.replace("\u00a0", " ")
    for words in ("Phantom, Dr. Chest", "PH-0042", "Not measured: Perc15", "allow_sharp_kernel", "HU", "mL"):
        assert words in flat
    assert content.groups[0].measurements[1].flags[0].message in flat


@pytest.mark.peers
@needs_pdftotext
def test_each_page_says_not_for_diagnostic_use_with_versions_and_its_number(tmp_path: Path) -> None:
    many = [finding(f"Thing {number}", VOLUME, number + 0.5, ML) for number in range(120)]
    text = _text(render_pdf(sample_content(findings=many)), tmp_path)
    pages = text.split("\f")[:-1]
    assert len(pages) > 2
    for number, page in enumerate(pages, start=1):
        assert "Not for diagnostic use" in page
        assert re.search(r"Report version 2 · imaging-pipeline \S+ · lung-emphysema 1\.0", page)
        assert f"Page {number} of {len(pages)}" in page
        assert "PH-0042" in page


@pytest.mark.parametrize(
    "name",
    [
        "<script>alert(1)</script>^{{7*7}}",
        "\x1b[31mRed^\u202eright",
        "X" * 10_000_000,
        "Yamada^Tarou=山田^太郎=やまだ^たろう",
        "洪^吉洞=홍^길동",
        "محمد^علي",
        "\ud800^\uffff",
        "<font name='nowhere'>^&amp;</para>",
        "%s%n^\\",
    ],
)
def test_no_patient_name_breaks_the_pdf(name: str) -> None:
    # A protobuf string takes no lone surrogate: what arrives has them replaced.
    study = sample_study(patient_name=name.encode("utf-8", "replace").decode("utf-8"))
    assert render_pdf(sample_content(study=study)).startswith(b"%PDF")


@pytest.mark.peers
@needs_pdftotext
def test_names_in_chinese_characters_can_be_read_and_unknown_scripts_are_told(tmp_path: Path) -> None:
    text = _text(render_pdf(sample_content(study=sample_study(patient_name="Yamada^Tarou=山田^太郎"))), tmp_path)
    assert "Yamada, Tarou" in text
    assert "山田 太郎" in text
    text = _text(render_pdf(sample_content(study=sample_study(patient_name="محمد^علي"))), tmp_path)
    assert "have no font here" in text


def test_a_report_without_findings_and_pictures_is_made() -> None:
    assert render_pdf(sample_content(findings=[], images=0)).startswith(b"%PDF")


def test_no_patient_data_is_in_the_document_properties() -> None:
    pdf = render_pdf(sample_content())
    info = pdf[pdf.rindex(b"/Author") - 200 :]
    assert b"Phantom" not in info
    assert b"PH-0042" not in info


def test_hundreds_of_models_with_long_texts_are_laid_out() -> None:
    many = []
    for number in range(300):
        each = finding(f"{number} " + "thing " * 30, VOLUME, number + 0.5, ML)
        each.model, each.model_version = f"model-{number}" + "x" * 50, "1.0" * 20
        each.concept.meaning = "concept" * 20
        each.quality_flags.add(code="LONG", message=f"{number} " + "reason " * 200)
        many.append(each)
    study = sample_study(
        patient_name="^".join(["W" * 400] * 5), study_description="W" * 4000, referring_physician_name="W" * 4000
    )
    assert render_pdf(sample_content(study=study, findings=many)).startswith(b"%PDF")


@pytest.mark.peers
@needs_pdftotext
def test_no_heading_stands_alone_at_the_foot_of_a_page(tmp_path: Path) -> None:
    told = sample_content(findings=[finding(f"Thing {number}", VOLUME, number + 0.5, ML) for number in range(12)])
    for count in range(4, 32, 3):  # moves the rest down the page line by line
        content = replace(told, notes=tuple(f"Note {number}" for number in range(count)))
        for page in _text(render_pdf(content), tmp_path).split("\f")[:-1]:
            lines = [line.strip() for line in page.splitlines() if line.strip()]
            foot = max(index for index, line in enumerate(lines) if line.startswith("Not for diagnostic use"))
            assert lines[foot - 1] not in {"Key images", "Measurements", "Distributions"}, count
