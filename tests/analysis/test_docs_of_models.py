"""docs/models.md names what is there."""

from __future__ import annotations

import re
from pathlib import Path

from analysis_svc.onnx.model_card import read_model_card
from analysis_svc.registry import ModelRegistry
from pipeline_svc.recipes.book import BUILT_IN

DOCS = Path(__file__).parents[2] / "docs" / "models.md"


def _table(heading: str) -> list[str]:
    section = DOCS.read_text(encoding="utf-8").partition(f"## {heading}\n")[2].partition("\n## ")[0]
    return re.findall(r"^\| `([a-z-]+)` \|", section, re.MULTILINE)


def test_every_model_stands_in_the_docs() -> None:
    assert sorted(_table("Models")) == [entry.model.name for entry in ModelRegistry.discover().all()]


def test_the_recipes_stand_in_the_docs_in_the_order_in_which_they_are_tried() -> None:
    assert _table("Recipes") == list(BUILT_IN)


def test_the_card_in_the_docs_is_one(tmp_path: Path) -> None:
    card = tmp_path / "model.yaml"
    section = DOCS.read_text(encoding="utf-8").partition("## Models of others as ONNX files\n")[2]
    card.write_text(section.partition("```yaml\n")[2].partition("```")[0])
    assert read_model_card(card).outputs[0].label == "Liver"
