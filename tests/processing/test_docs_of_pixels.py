"""docs/pixels.md names what is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from imaging.codecs.registry import CODECS
from imaging.dicom.transfer_syntax import JPEG_BASELINE_8BIT, transfer_syntax
from imaging.errors import UnsupportedTransferSyntax
from pipeline_svc.recipes.parse_recipe import parse_recipe
from processing_svc.steps.registry import COPIES, STEPS
from storage_svc.retrieve.transcode_frame import target_syntax

DOCS = (Path(__file__).parents[2] / "docs" / "pixels.md").read_text(encoding="utf-8")


def _steps() -> dict[str, str]:
    """Name and parameters of each row of the table."""
    table = DOCS.partition("## Steps\n")[2].partition("\n## ")[0]
    return dict(re.findall(r"^\| `([a-z0-9-]+)` \|[^|]*\| ?([^|]*) \|$", table, re.MULTILINE))


def test_every_step_stands_in_the_docs() -> None:
    assert sorted(_steps()) == sorted({**STEPS, **COPIES})


@pytest.mark.parametrize("name", sorted({**STEPS, **COPIES}))
def test_every_parameter_stands_in_the_docs_with_its_default(name: str) -> None:
    told = _steps()[name]
    fields = {**STEPS, **COPIES}[name].Parameters.model_fields
    assert set(re.findall(r"`(\w+)`", told)) == set(fields)
    for parameter, field in fields.items():
        if isinstance(field.default, int | float | str):
            shown = f"{field.default:g}" if isinstance(field.default, float) else str(field.default)
            assert f"`{parameter}` {shown}" in told


def test_every_transfer_syntax_stands_in_the_docs_with_what_is_done_to_it() -> None:
    table = DOCS.partition("## Transfer syntaxes\n")[2].partition("\n## ")[0]
    told = [
        tuple(row) for row in re.findall(r"^\| (.+) \| ([\d.]+) \| (\w+) \| (\w+) \| (\w+) \|$", table, re.MULTILINE)
    ]
    written = {uid for uid in CODECS if _given(JPEG_BASELINE_8BIT, uid)}
    assert told == [
        (transfer_syntax(uid).name, uid, _word(transfer_syntax(uid).lossless), "yes", _word(uid in written))
        for uid in CODECS
    ]


def _given(stored_uid: str, accepted_uid: str) -> bool:
    try:
        return target_syntax(stored_uid, [accepted_uid], where="") == accepted_uid and stored_uid != accepted_uid
    except UnsupportedTransferSyntax:
        return False


def _word(yes: bool) -> str:
    return "yes" if yes else "no"


def test_the_recipe_of_the_docs_is_one() -> None:
    (text,) = re.findall(r"^```yaml\n(.*?)^```", DOCS, re.MULTILINE | re.DOTALL)
    recipe = parse_recipe(text, "ct-progressive.yaml").recipe
    assert [stage.uses for stage in recipe.stages] == ["progressive-htj2k"]
