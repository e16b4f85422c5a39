"""A short recipe whose runs raise alerts, for the pipeline by itself and for whole installations."""

from __future__ import annotations

from collections.abc import Iterable


def alerting_recipe(*rules: str, analyses: Iterable[str] = ("image-statistics",)) -> str:
    """The text of a recipe for CT with these rules, such as `{alert: large, finding: "*", above: 25}`."""
    lines = [
        "name: ct-alerts",
        "version: 1",
        "match: {Modality: CT}",
        "stages:",
        *(f"  - {{analyze: {model}}}" for model in analyses),
        "  - {report: quantitative}",
        "alerts:",
        *(f"  - {rule}" for rule in rules),
    ]
    return "\n".join(lines) + "\n"
