"""The page is self-contained, and nothing foreign in it can act."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest

from reporting_svc.content.finding_tables import finding_tables
from reporting_svc.html.page import render_html
from tests.reporting.sample_report import ML, VOLUME, finding, sample_content, sample_findings, sample_study


class _Page(HTMLParser):
    """Tags with attributes, and the text."""

    def __init__(self, page: bytes) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page.decode("utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_page_holds_every_value() -> None:
    content = sample_content()
    text = _Page(render_html(content)).text
    for table in finding_tables(content.groups):
        for row in table.rows:
            assert all(cell.text in text for cell in row)
    assert "Not measured: Perc15" in text
    assert text.count("Not for diagnostic use") >= 2
    assert "lung-emphysema 1.0" in text


def test_the_page_loads_nothing_and_runs_nothing() -> None:
    page = _Page(render_html(sample_content()))
    names = {tag for tag, _ in page.tags}
    assert not names & {"script", "link", "iframe", "object", "embed", "form", "base"}
    for tag, attributes in page.tags:
        assert not [name for name in attributes if name.startswith("on")]
        for name in ("src", "href"):
            assert (attributes.get(name) or "data:image/png;base64,").startswith("data:image/png;base64,"), tag
    policy = next(
        attributes["content"] for tag, attributes in page.tags if "http-equiv" in attributes and tag == "meta"
    )
    assert policy is not None
    assert "default-src 'none'" in policy
    assert len([tag for tag, _ in page.tags if tag == "svg"]) == 2
    assert len([tag for tag, _ in page.tags if tag == "img"]) == 2


@pytest.mark.parametrize(
    "text",
    [
        "<script>alert(1)</script>",
        "{{7919*7}}{% raw %}",
        '"><img src=x onerror=alert(1)>',
        "'-alert(1)-'",
        "</style><svg onload=alert(1)>",
        "javascript:alert(1)",
        "\x1b[31m\u202egpj\x00",
    ],
)
def test_foreign_text_is_only_ever_text(text: str) -> None:
    study = sample_study(
        patient_name=text, patient_id=text, study_description=text, accession_number=text, study_id=text
    )
    findings = sample_findings()
    evil = finding(text, VOLUME, 1.0, ML)
    evil.concept.meaning = evil.model = evil.model_version = evil.unit.value = text
    evil.site.meaning = evil.finding_type.meaning = text
    evil.quality_flags.add(code=text, message=text)
    page = render_html(sample_content(study=study, findings=[*findings, evil]))
    plain = _Page(render_html(sample_content(findings=[*findings, finding("Plain", VOLUME, 1.0, ML)])))
    parsed = _Page(page)
    assert {tag for tag, _ in parsed.tags} <= {tag for tag, _ in plain.tags}
    assert not [name for _, attributes in parsed.tags for name in attributes if name.startswith("on")]
    assert b"55433" not in page
    for forbidden in ("\x1b", "\u202e", "\x00"):
        assert forbidden.encode() not in page
    if "<" in text:
        assert text.encode() not in page


def test_ten_megabytes_of_name_make_a_small_page() -> None:
    huge = sample_study(patient_name="X" * 10_000_000, study_description="Y" * 1_000_000)
    assert len(render_html(sample_content(study=huge, images=0))) < 100_000


def test_the_same_content_gives_the_same_bytes() -> None:
    assert render_html(sample_content()) == render_html(sample_content())
