"""The templates of reports: what stands at the top, and what the report is called."""

from __future__ import annotations

from dataclasses import dataclass

from imaging.errors import NotFound


@dataclass(frozen=True, slots=True)
class ReportTemplate:
    """A kind of report."""

    name: str
    title: str
    headline_words: tuple[str, ...]
    """Words of concept meanings, the most important first: which measurements are shown large at the top. Words, not
    codes: a model that a user installs brings codes of its own."""

    largest_words: tuple[str, ...] = ("axis", "diameter")
    """Of such measurements the largest is shown, not the first."""

    max_headlines: int = 6
    max_key_images: int = 6


_TEMPLATES = {
    template.name: template
    for template in (
        ReportTemplate(
            name="ct-quantitative",
            title="Quantitative CT report",
            headline_words=(
                "calcium score",
                "calcium volume",
                "low attenuation",
                "emphysema",
                "15th percentile",
                "perc15",
                "number of lesions",
                "long axis",
                "volume",
                "diameter",
                "fraction",
                "mean",
                "noise",
            ),
        ),
        ReportTemplate(
            name="quantitative",
            title="Quantitative imaging report",
            headline_words=(
                "suvbw, maximum",
                "suvbw, peak",
                "glycolysis",
                "metabolic volume",
                "deviation index",
                "exposure index",
                "signal to noise",
                "uniformity",
                "volume of mesh",
                "maximum 3d diameter",
                "sphericity",
                "mean intensity",
                "volume",
                "long axis",
                "diameter",
                "mean",
                "noise",
                "standard deviation",
                "median",
            ),
        ),
    )
}


def template_names() -> tuple[str, ...]:
    """The names of all templates, sorted."""
    return tuple(sorted(_TEMPLATES))


def find_template(name: str) -> ReportTemplate:
    """The template of that name.

    Raises
    ------
    NotFound
        With the names that there are.
    """
    try:
        return _TEMPLATES[name]
    except KeyError:
        raise NotFound(
            "There is no such report template",
            where="template",
            hint=f"Use one of: {', '.join(template_names())}.",
        ) from None
