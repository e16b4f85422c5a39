"""Findings are gathered by thing, printed in tables that compare, and the first values are chosen well."""

from __future__ import annotations

from reporting_svc.content.finding_groups import group_findings
from reporting_svc.content.finding_tables import finding_tables
from reporting_svc.content.headlines import choose_headlines
from reporting_svc.content.report_template import find_template, template_names
from tests.reporting.sample_report import LAA, ML, VOLUME, finding, sample_content, sample_findings


def test_findings_about_one_thing_make_one_group() -> None:
    groups = sample_content().groups
    assert [group.label for group in groups] == [
        "Lungs",
        "Left lung",
        "Right lung",
        "Lesion 1",
        "Lesion 2",
        "Fat",
        "Image quality",
    ]
    assert [len(group.measurements) for group in groups] == [3, 1, 1, 3, 3, 1, 1]
    assert groups[3].segment_number == 4
    assert groups[3].measurements[0].line_mm == (-40.0, 12.5, 10.0, -21.58, 12.5, 10.0)


def test_things_of_a_kind_share_a_table_with_the_unit_in_its_head() -> None:
    lungs, lesions, *_ = finding_tables(sample_content().groups)
    assert [cell.text for cell in lungs.head[1:]] == [
        "Volume",
        "Low attenuation area below -950 HU",
        "Attenuation Coefficient, mean",
    ]
    assert [cell.unit for cell in lungs.head[1:]] == ["mL", "%", "HU"]
    assert [cell.text for cell in lungs.rows[1]] == ["Left lung", "2\u00a0202", "–", "–"]
    assert [row[0].text for row in lesions.rows] == ["Lesion 1", "Lesion 2"]
    assert all(cell.numeric for row in lesions.rows for cell in row[1:])


def test_a_note_of_some_values_is_numbered_and_one_of_all_is_said_once() -> None:
    findings = sample_findings()
    lungs = finding_tables(group_findings(findings, {}))[0]
    assert lungs.numbered_notes == (findings[1].quality_flags[0].message,)
    assert lungs.rows[0][2].marks == (1,)
    assert lungs.common_notes == ()
    for each in findings[:5]:
        each.ClearField("quality_flags")
        each.quality_flags.add(code="RESEARCH", message="For research.")
    lungs = finding_tables(group_findings(findings, {}))[0]
    assert lungs.common_notes == ("For research.",)
    assert lungs.numbered_notes == ()
    assert all(not cell.marks for row in lungs.rows for cell in row)


def test_many_concepts_are_turned_and_many_things_are_split() -> None:
    findings = []
    for thing in range(6):
        for place in range(8):
            each = finding(f"Image {thing}", VOLUME, 10.0 * thing + place, ML)
            each.concept.meaning = f"Measure {place}"
            each.finding_type.meaning = "Image"
            findings.append(each)
    tables = finding_tables(group_findings(findings, {}))
    assert [len(table.head) for table in tables] == [6, 4]
    assert [row[0].text for row in tables[0].rows] == [f"Measure {place}" for place in range(8)]
    assert tables[1].rows[7][1].text == "47"


def test_key_values_follow_the_template_and_show_the_largest_axis() -> None:
    content = sample_content()
    shown = [(headline.label, headline.value, headline.unit, headline.subject) for headline in content.headlines]
    assert shown[0] == ("Low attenuation area below -950 HU", "7.42", "%", "Lungs")
    assert shown[1] == ("Long Axis", "18.42", "mm", "Lesion 1")
    assert shown[2] == ("Volume", "4\u00a0812", "mL", "Lungs")
    assert content.headlines[0].flagged
    assert len(shown) <= 6
    assert choose_headlines([], find_template("quantitative")) == ()


def test_not_a_number_is_no_key_value() -> None:
    content = sample_content(findings=[finding("Lungs", LAA, float("nan"), ML)])
    assert content.headlines == ()


def test_template_names_are_sorted() -> None:
    assert template_names() == ("ct-quantitative", "quantitative")


def test_charts_beyond_the_limit_are_left_out_with_a_note() -> None:
    chart = sample_findings()[1].chart_json
    many = [finding(f"Thing {n}", VOLUME, 1.0, ML, chart_json=chart) for n in range(30)]
    content = sample_content(findings=many)
    assert sum(len(group.charts) for group in content.groups) == 24
    assert content.notes == ("Only the first 24 charts are shown.",)


def test_statistics_of_a_whole_series_stand_last_under_the_name_of_the_series() -> None:
    statistics = finding("Series", VOLUME, 1.0, ML)
    groups = sample_content(findings=[statistics, *sample_findings()]).groups
    assert groups[-1].label == "Series 3 · Thorax 1.5 B30f"
    assert groups[0].label == "Lungs"
