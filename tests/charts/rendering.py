"""The chart, rendered by helm for each of its scenarios, and the examples that are kept of it."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, Final

import yaml

from tests.charts.tools import program

CHART: Final = Path(__file__).parents[2] / "charts" / "imaging"
SCENARIOS: Final = tuple(
    sorted(path.name.removesuffix("-values.yaml") for path in (CHART / "ci").glob("*-values.yaml"))
)
Manifest = dict[str, Any]


def values_file(scenario: str) -> Path:
    """The values of a scenario."""
    return CHART / "ci" / f"{scenario}-values.yaml"


@cache
def rendered_text(scenario: str, *arguments: str, helm: str = "helm4") -> str:
    """What `helm template` gives for a scenario."""
    command = [str(program(helm)), "template", "test", str(CHART), "--namespace", "imaging", *arguments]
    done = subprocess.run([*command, "--values", str(values_file(scenario))], capture_output=True, text=True)
    if done.returncode:
        raise ValueError(done.stderr)
    return done.stdout


def rendered(scenario: str, *arguments: str) -> list[Manifest]:
    """The manifests of a scenario."""
    return [manifest for manifest in yaml.safe_load_all(rendered_text(scenario, *arguments)) if manifest]


def pods(manifests: list[Manifest]) -> Iterator[tuple[str, Manifest]]:
    """Name and pod specification of everything that becomes pods."""
    for manifest in manifests:
        name, spec = f"{manifest['kind']}/{manifest['metadata']['name']}", manifest.get("spec", {})
        if manifest["kind"] == "Pod":
            yield name, spec
        elif manifest["kind"] in ("Deployment", "Job", "StatefulSet", "DaemonSet"):
            yield name, spec["template"]["spec"]


def example_text(scenario: str) -> str:
    """The rendered scenario as it is kept below `examples/`: what is made anew each time is left out."""
    return re.sub(
        r"^(  [a-zA-Z.-]+: )[A-Za-z0-9+/=]{40,}$", r"\1bWFkZS1hdC1pbnN0YWxs", rendered_text(scenario), flags=re.M
    )


def main() -> None:
    """Write the examples anew."""
    for scenario in SCENARIOS:
        (CHART / "examples" / f"{scenario}.yaml").write_text(example_text(scenario))


if __name__ == "__main__":
    sys.exit(main())
