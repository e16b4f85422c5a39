"""The few values that a reader wants to see first."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from imaging.unit_text import unit_text
from reporting_svc.content.quality_notes import common_notes, note_text
from reporting_svc.content.report_content import FindingGroup, Headline, Measurement
from reporting_svc.content.report_template import ReportTemplate
from reporting_svc.content.value_text import number_text

_Candidate = tuple[FindingGroup, Measurement]


def choose_headlines(groups: Sequence[FindingGroup], template: ReportTemplate) -> tuple[Headline, ...]:
    """At most `template.max_headlines` values, by the words of the template; without such, in the order of the models.

    Each kind of value is told once for a kind of thing: that of the first one (the whole before its parts), or the
    largest where the template says so.
    """
    kinds: dict[tuple[str, str, str], list[_Candidate]] = {}
    for group in groups:
        for measurement in group.measurements:
            if measurement.value is not None and math.isfinite(measurement.value):
                finding_type = group.finding_type.meaning if group.finding_type else group.label
                kind = (measurement.model, finding_type, measurement_label(measurement))
                kinds.setdefault(kind, []).append((group, measurement))
    ranked = sorted(kinds.values(), key=lambda candidates: _rank(candidates[0][1], template.headline_words))
    named = [each for each in ranked if _rank(each[0][1], template.headline_words) < len(template.headline_words)]
    # What no word names, such as the 5th percentile, is told in the tables; only where nothing else is there, here too.
    chosen = [_chosen(candidates, template) for candidates in (named or ranked)[: template.max_headlines]]
    general = _general_notes(groups)
    return tuple(_headline(group, measurement, general) for group, measurement in chosen)


def measurement_label(measurement: Measurement) -> str:
    """Concept with its derivation, e.g. `Attenuation coefficient, mean`; one that says nothing new is left out."""
    name = measurement.concept.meaning
    derivation = measurement.derivation.meaning if measurement.derivation else ""
    if derivation and derivation.lower() not in name.lower():
        return f"{name}, {derivation.lower()}"
    return name


def _chosen(candidates: Sequence[_Candidate], template: ReportTemplate) -> _Candidate:
    label = measurement_label(candidates[0][1]).lower()
    if any(word in label for word in template.largest_words):
        return max(candidates, key=lambda candidate: candidate[1].value or 0.0)
    return candidates[0]


def _rank(measurement: Measurement, words: Sequence[str]) -> int:
    label = measurement_label(measurement).lower()
    return next((rank for rank, word in enumerate(words) if word in label), len(words))


def _general_notes(groups: Sequence[FindingGroup]) -> dict[str, frozenset[str]]:
    """By model, the notes that all of its measurements have: such a note is no reason to mark one of them."""
    by_model: dict[str, list[Measurement]] = {}
    for group in groups:
        for measurement in group.measurements:
            by_model.setdefault(measurement.model, []).append(measurement)
    return {model: frozenset(common_notes(measurements)) for model, measurements in by_model.items()}


def _headline(group: FindingGroup, measurement: Measurement, general: dict[str, frozenset[str]]) -> Headline:
    own: Iterable[str] = (note_text(flag) for flag in measurement.flags)
    return Headline(
        label=measurement_label(measurement),
        value="" if measurement.value is None else number_text(measurement.value),
        unit=unit_text(measurement.unit.value) if measurement.unit else "",
        subject=group.label,
        flagged=any(text not in general.get(measurement.model, frozenset()) for text in own),
    )
