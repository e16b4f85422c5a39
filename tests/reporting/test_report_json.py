"""The data form holds everything with full precision."""

from __future__ import annotations

import json

from reporting_svc.report_json import render_json
from tests.reporting.sample_report import ML, VOLUME, finding, sample_content


def test_values_are_exact_and_coded() -> None:
    data = json.loads(render_json(sample_content()))
    first = data["groups"][0]["measurements"][0]
    assert first["value"] == 4812.345
    assert first["unit"] == {"value": "mL", "scheme": "UCUM", "meaning": "milliliter"}
    assert data["refusals"][0]["rule"] == "SHARP_KERNEL"
    assert data["effective_time"] == "2030-03-17T17:46:40+00:00"
    assert data["disclaimer"] == "Not for diagnostic use"
    assert "png" not in data["key_images"][0]


def test_what_is_not_finite_is_null() -> None:
    data = json.loads(render_json(sample_content(findings=[finding("A", VOLUME, float("inf"), ML)])))
    assert data["groups"][0]["measurements"][0]["value"] is None
