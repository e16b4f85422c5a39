"""Which findings raise an alert: the rules of a recipe over the findings of a run."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase

from imaging.analysis.v1 import analysis_pb2
from imaging.pipeline.v1 import pipeline_pb2
from pipeline_svc.recipes.alert_rule import AlertRule
from pipeline_svc.runs.record import RunRecord


def alerts_of(
    run: RunRecord, rules: Iterable[AlertRule], findings: Iterable[analysis_pb2.Finding]
) -> Iterator[pipeline_pb2.Alert]:
    """An alert for each rule and finding whose value is beyond a limit; the same ones whenever it is asked."""
    found = list(findings)
    for rule in rules:
        for finding in found:
            if _is_meant(rule, finding) and (condition := _broken(rule, finding.value)):
                key = f"{run.id} {rule.alert} {finding.name}"
                yield pipeline_pb2.Alert(
                    name=f"alerts/{hashlib.sha256(key.encode()).hexdigest()[:32]}",
                    rule=rule.alert,
                    severity=pipeline_pb2.Alert.Severity.Value(f"SEVERITY_{rule.severity.upper()}"),
                    run=run.name,
                    study=run.study,
                    finding=finding.name,
                    concept=finding.concept,
                    value=finding.value,
                    unit=finding.unit.value,
                    condition=condition,
                )


def _is_meant(rule: AlertRule, finding: analysis_pb2.Finding) -> bool:
    if not finding.HasField("value") or (rule.unit and rule.unit != finding.unit.value):
        return False
    wanted = rule.finding.casefold()
    names = (finding.concept.value, finding.concept.meaning, finding.tracking_identifier)
    return fnmatchcase(finding.model, rule.model) and any(fnmatchcase(name.casefold(), wanted) for name in names)


def _broken(rule: AlertRule, value: float) -> str:
    """The limit that a value is beyond; empty if it is within. No number is beyond any."""
    if rule.above is not None and value > rule.above:
        return f"above {rule.above:g}"
    if rule.below is not None and value < rule.below:
        return f"below {rule.below:g}"
    return ""
