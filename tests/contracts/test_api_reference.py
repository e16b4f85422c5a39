"""docs/api is what the contracts say now, and its links lead somewhere."""

from __future__ import annotations

import re
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).parents[2]
API = ROOT / "docs" / "api"


def _document() -> ModuleType:
    spec = spec_from_file_location("document", ROOT / "protos" / "document.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_reference_is_up_to_date() -> None:
    assert {path.name: path.read_text() for path in API.glob("*.md")} == _document().references(), "run `make protos`"


def test_links_lead_to_headings_and_every_method_tells_what_it_does() -> None:
    pages = {path.name: path.read_text() for path in API.glob("*.md")}
    anchors = {
        name: {heading.lower().replace(".", "") for heading in re.findall(r"^## (.*)$", text, re.MULTILINE)}
        for name, text in pages.items()
    }
    for name, text in pages.items():
        for file, anchor in re.findall(r"\]\((\w*(?:\.md)?)#(\w+)\)", text):
            assert anchor in anchors[file or name], (name, anchor)
        for section in text.split("\n### ")[1:]:
            assert len(section.split("\n## ")[0].split()) > 8, section[:80]
