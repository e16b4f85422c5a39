"""The few values that a reader wants to see first."""

from __future__ import annotations

import math
from collections.abc import Sequence

from reporting_svc.report_content import FindingGroup, Headline, Measurement
from reporting_svc.report_template import ReportTemplate
from reporting_svc.value_text import number_text, unit_text

_MAX_OF_ONE_GROUP = 3


def choose_headlines(groups: Sequence[FindingGroup], template: ReportTemplate) -> tuple[Headline, ...]:
    """At most `template.max_headlines` values: by the words of the template, then by size, at most 3 of one thing."""
    ranked = []
    for place, group in enumerate(groups):
        for order, measurement in enumerate(group.measurements):
            value = measurement.value
            if value is None or not math.isfinite(value):
                continue
            ranked.append((_rank(measurement, template), place, order, group, measurement))
    # Rank, then the order of the models: total before parts, the largest lesion before smaller ones.
    ranked.sort(key=lambda entry: entry[:3])
    taken: dict[int, int] = {}
    chosen: list[Headline] = []
    for _, place, _, group, measurement in ranked:
        if len(chosen) == template.max_headlines:
            break
        if taken.get(place, 0) == _MAX_OF_ONE_GROUP:
            continue
        taken[place] = taken.get(place, 0) + 1
        chosen.append(_headline(group, measurement))
    return tuple(chosen)


def measurement_label(measurement: Measurement) -> str:
    """Concept with its derivation, e.g. `Attenuation coefficient, mean`; one that says nothing new is left out."""
    name = measurement.concept.meaning
    derivation = measurement.derivation.meaning if measurement.derivation else ""
    if derivation and derivation.lower() not in name.lower():
        return f"{name}, {derivation[:1].lower()}{derivation[1:]}"
    return name


def _rank(measurement: Measurement, template: ReportTemplate) -> int:
    label = measurement_label(measurement).lower()
    for rank, word in enumerate(template.headline_words):
        if word in label:
            return rank
    return len(template.headline_words)


def _headline(group: FindingGroup, measurement: Measurement) -> Headline:
    value = measurement.value
    return Headline(
        label=measurement_label(measurement),
        value="" if value is None else number_text(value),
        unit=unit_text(measurement.unit.value) if measurement.unit else "",
        subject=group.label,
        flagged=bool(measurement.flags),
    )
