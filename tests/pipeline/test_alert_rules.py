"""The rules of a recipe: which findings raise an alert."""

from __future__ import annotations

from typing import Any

import pytest

from imaging.analysis.v1 import analysis_pb2
from pipeline_svc.alerts.rules import alerts_of
from pipeline_svc.recipes.alert_rule import AlertRule
from tests.pipeline.alerted_runs import OneRun, finding


@pytest.mark.parametrize(
    ("rule", "found", "conditions"),
    [
        ({"finding": "laa-950", "above": 25}, finding(), ["above 25"]),
        ({"finding": "low attenuation*", "above": 25}, finding(), ["above 25"]),
        ({"finding": "Lesion 2", "below": 40}, finding(tracking_identifier="Lesion 2"), ["below 40"]),
        ({"finding": "LAA-950", "above": 31.5}, finding(), []),
        ({"finding": "LAA-950", "below": 10, "above": 30}, finding(), ["above 30"]),
        ({"finding": "LAA-950", "above": 25, "unit": "mL"}, finding(), []),
        ({"finding": "LAA-950", "above": 25, "model": "other"}, finding(model="lung-emphysema"), []),
        ({"finding": "LAA-950", "above": 25, "model": "lung-*"}, finding(model="lung-emphysema"), ["above 25"]),
        ({"finding": "other", "above": 25}, finding(), []),
        ({"finding": "LAA-950", "below": 25}, finding(None), []),
        ({"finding": "LAA-950", "above": 0}, finding(float("nan")), []),
    ],
)
def test_a_rule_means_what_it_says(rule: dict[str, Any], found: analysis_pb2.Finding, conditions: list[str]) -> None:
    run: Any = OneRun
    alerts = list(alerts_of(run, [AlertRule(alert="a", **rule)], [found]))
    assert [alert.condition for alert in alerts] == conditions
    assert alerts == list(alerts_of(run, [AlertRule(alert="a", **rule)], [found]))
