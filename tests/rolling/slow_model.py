"""A model that takes its time and writes down when it begins: it tells how often a stage was really done."""

from __future__ import annotations

import os
import textwrap
import time
from pathlib import Path
from typing import Any, Final

from analysis_svc.concepts import MILLILITRE, VOLUME
from analysis_svc.measurement import Analysis, Measurement
from analysis_svc.model import ModelParameters

BEGINNINGS: Final = "ROLLING_TEST_BEGINNINGS"
"""Variable with the file that gets a line, the seconds that were asked for, for each beginning."""


class Slow:
    """Waits."""

    name, version, description = "slow", "1", "Waits, and measures nothing but one millilitre."
    modalities, requires = ("CT",), "volume"

    class Parameters(ModelParameters):
        """How long."""

        seconds: float = 3.0

    def analyze(self, volume: Any, parameters: Parameters, report: Any) -> Analysis:
        """One millilitre, after a while."""
        with Path(os.environ[BEGINNINGS]).open("a", encoding="ascii") as file:
            file.write(f"{parameters.seconds:g}\n")
        ends_at = time.monotonic() + parameters.seconds
        while (left := ends_at - time.monotonic()) > 0:
            report(int(parameters.seconds - left), int(parameters.seconds), "seconds", "waiting")
            time.sleep(min(0.2, left))
        return Analysis((Measurement(concept=VOLUME, value=1.0, unit=MILLILITRE),))


def install(folder: Path, short_seconds: int, long_seconds: int) -> dict[str, str]:
    """Install it for the services, with recipes that use it; the variables by which they find all that.

    The recipe `rolling` of every study waits for `short_seconds`, `rolling-long` for `long_seconds`.
    """
    distribution = folder / "site" / "slow_model-1.dist-info"
    distribution.mkdir(parents=True)
    (distribution / "METADATA").write_text("Metadata-Version: 2.1\nName: slow-model\nVersion: 1\n")
    (distribution / "entry_points.txt").write_text(f"[imaging.models]\nslow = {__name__}:Slow\n")
    (folder / "beginnings").touch()
    recipes = folder / "recipes"
    recipes.mkdir()
    # The first is that of every study, by the order of the files; the other one is asked for by its name.
    for order, name, seconds in ((1, "rolling", short_seconds), (2, "rolling-long", long_seconds)):
        (recipes / f"{order}-{name}.yaml").write_text(
            textwrap.dedent(f"""\
                name: {name}
                version: 1
                description: Every kind of stage, one of which takes {seconds} s.
                match: {{Modality: CT, min_instances: 3}}
                select: {{series: largest}}
                stages:
                  - {{process: resample-isotropic, spacing_mm: 2.0}}
                  - {{analyze: image-statistics}}
                  - {{analyze: slow, seconds: {seconds}}}
                  - {{report: ct-quantitative}}
                """)
        )
    return {
        "PYTHONPATH": os.pathsep.join([str(folder / "site"), str(Path(__file__).parents[2])]),
        "IMAGING_PIPELINE_RECIPES_DIR": str(recipes),
        BEGINNINGS: str(folder / "beginnings"),
    }


def beginnings(folder: Path, seconds: float) -> int:
    """How often it began to wait for so many seconds."""
    return (folder / "beginnings").read_text(encoding="ascii").split().count(f"{seconds:g}")
