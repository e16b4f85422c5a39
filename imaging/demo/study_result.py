"""What the demonstration knows about one study at the end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from imaging.client.results import Study
from imaging.client.run_results import Finding, Report, Run


@dataclass(frozen=True, slots=True)
class StudyResult:
    """One study: its run, its findings, its files."""

    study: Study
    folder: str
    run: Run | None
    report: Report | None
    findings: tuple[Finding, ...]
    files: tuple[str, ...]
    """Relative to the output folder."""

    reason: str = ""
    """Why there is no report; empty when there is one."""

    @property
    def is_settled(self) -> bool:
        """True with a report, or with a stated reason for having none that is not a failure."""
        return self.report is not None or (self.run is not None and self.run.state == "SKIPPED" and bool(self.reason))

    def facts(self) -> dict[str, Any]:
        """For `summary.json`: no patient data."""
        run = self.run
        return {
            "folder": self.folder,
            "study": self.study.name,
            "modalities": list(self.study.modalities),
            "instances": self.study.instance_count,
            "state": run.state if run else "NONE",
            "reason": self.reason,
            "run": _run_facts(run) if run else None,
            "report": {"name": self.report.name, "version": self.report.version} if self.report else None,
            "findings": [_finding_facts(finding) for finding in self.findings],
            "files": list(self.files),
        }


def _run_facts(run: Run) -> dict[str, Any]:
    return {
        "name": run.name,
        "recipe": run.recipe,
        "recipe_version": run.recipe_version,
        "manifest_version": run.manifest_version,
        "trace_id": run.trace_id,
        "seconds": run.seconds,
        "stages": [
            {
                "name": stage.name,
                "state": stage.state,
                "algorithm": stage.algorithm,
                "series": stage.series,
                "attempts": stage.attempts,
                "findings": stage.finding_count,
                "outputs": len(stage.outputs),
                "error": stage.error,
                "refusals": [
                    {"subject": r.subject, "rule": r.rule, "message": r.message, "hint": r.hint} for r in stage.refusals
                ],
            }
            for stage in run.stages
        ],
    }


def _finding_facts(finding: Finding) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "concept": finding.concept.meaning,
        "code": f"{finding.concept.scheme} {finding.concept.value}",
        "value": finding.value,
        "unit": finding.unit,
        "of": finding.tracking_identifier,
        "model": f"{finding.model} {finding.model_version}",
        "series": finding.series,
    }
    if finding.derivation is not None:
        facts["derivation"] = finding.derivation.meaning
    if finding.coded_value is not None:
        facts["coded_value"] = finding.coded_value.meaning
    if finding.quality_flags:
        facts["quality_flags"] = [{"code": code, "message": message} for code, message in finding.quality_flags]
    return facts
