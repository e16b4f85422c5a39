"""Check of what a demonstration wrote: `python -m tests.demo_output demo-out`.

One line a study; exit code 1, with the reasons, when something that was promised is missing or wrong.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pydicom
from pydicom.uid import Comprehensive3DSRStorage, KeyObjectSelectionDocumentStorage, SegmentationStorage

PROMISED: Final = ("report.pdf", "report.html", "report.sr.dcm", "report.json", "report.fhir.json", "key-image-1.png")


def problems_of(folder: Path) -> tuple[list[str], list[str]]:
    """The line of each study, and everything that is wrong; empty when all is well."""
    try:
        summary = json.loads((folder / "summary.json").read_text())
    except (OSError, ValueError) as error:
        return [], [f"summary.json cannot be read: {error}"]
    lines, wrong = [], []
    if summary["good"] is not True:
        wrong.append("summary.json: the demonstration itself says that it is not good")
    if not summary["studies"]:
        wrong.append("summary.json: no study")
    for study in summary["studies"]:
        found = list(_of_study(folder, study))
        wrong += [f"{study['folder']}: {text}" for text in found]
        lines.append(_line(study, found))
    wrong += _of_phantom(summary["phantom"])
    known = {"summary.json", ".data", *(study["folder"] for study in summary["studies"])}
    wrong += [f"{path.name} is not in summary.json" for path in folder.iterdir() if path.name not in known]
    return lines, wrong


def _line(study: dict[str, Any], found: list[str]) -> str:
    recipe = study["run"]["recipe"] if study["run"] else "-"
    state = "WRONG" if found else study["state"].lower()
    return (
        f"{study['folder']:<14} {' '.join(study['modalities']):<20} {recipe:<11} {state:<10} "
        f"{len(study['findings'])} findings, {len(study['files'])} files {study['reason']}"
    ).rstrip()


def _of_study(folder: Path, study: dict[str, Any]) -> Iterator[str]:
    if study["report"] is None:
        if not study["reason"] or study["state"] != "SKIPPED":
            yield f"no report, state {study['state']}, reason `{study['reason']}`"
        return
    if study["state"] != "SUCCEEDED":
        yield f"a report, yet its run is {study['state']}"
    files = [folder / name for name in study["files"]]
    yield from (f"{name} is missing" for name in PROMISED if folder / study["folder"] / name not in files)
    on_disk = {path for path in (folder / study["folder"]).rglob("*") if path.is_file()}
    yield from (f"{path.name} is on disk, but not in summary.json" for path in sorted(on_disk - set(files)))
    for path in files:
        if not path.is_file():
            yield f"{path.name} is told in summary.json, but not there"
        else:
            yield from (f"{path.name}: {text}" for text in _of_file(path))
    for finding in study["findings"]:
        if finding["value"] is not None and not finding["unit"]:
            yield f"a finding without a unit: {finding['concept']}"


def _of_file(path: Path) -> Iterator[str]:
    try:
        yield from _of_content(path)
    except Exception as error:  # noqa: BLE001 - whatever a damaged file brings about is the finding
        yield f"it cannot be read: {type(error).__name__}"


def _of_content(path: Path) -> Iterator[str]:
    content = path.read_bytes()
    if path.suffix == ".pdf":
        if not content.startswith(b"%PDF-") or b"%%EOF" not in content[-64:]:
            yield "it is not a PDF"
        elif not re.search(rb"/Type\s*/Page\b", content):
            yield "it has no page"
    elif path.suffix == ".png":
        if not content.startswith(b"\x89PNG\r\n\x1a\n"):
            yield "it is not a PNG"
    elif path.suffix == ".html":
        text = content.decode()
        if "</html>" not in text or "iagnostic" not in text:
            yield "it is cut off, or does not say that it is not for diagnostic use"
    elif path.suffix == ".json":
        json.loads(content)
    elif path.suffix == ".dcm":
        yield from _of_dicom(path)
    else:
        yield "nobody promised such a file"


def _of_dicom(path: Path) -> Iterator[str]:
    dataset = pydicom.dcmread(path)
    if path.name.endswith(".sr.dcm"):
        if dataset.SOPClassUID != Comprehensive3DSRStorage:
            yield f"it is a {dataset.SOPClassUID.name}, not a structured report"
        elif not dataset.ContentSequence:
            yield "it has no content"
    elif path.name.endswith(".kos.dcm"):
        if dataset.SOPClassUID != KeyObjectSelectionDocumentStorage:
            yield f"it is a {dataset.SOPClassUID.name}, not a selection of key images"
        elif not any(item.ValueType == "IMAGE" for item in dataset.ContentSequence):
            yield "it names no image"
    elif dataset.SOPClassUID != SegmentationStorage:
        yield f"it is a {dataset.SOPClassUID.name}, not a segmentation"
    elif dataset.pixel_array.max() < 1:
        yield "nothing is segmented in it"


def _of_phantom(comparisons: list[dict[str, Any]]) -> Iterator[str]:
    for item in comparisons:
        if item["tolerance"] is None:
            continue
        measured = item["measured"]
        if measured is None or abs(measured - item["truth"]) > item["tolerance"] or item["within"] is not True:
            yield f"phantom: {item['measure']} is {measured}, true is {item['truth']} {item['unit']}"


def main() -> int:
    """The program."""
    if len(sys.argv) != 2:
        sys.stderr.write("usage: python -m tests.demo_output FOLDER\n")
        return 2
    lines, wrong = problems_of(Path(sys.argv[1]))
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    sys.stderr.write("".join(f"wrong: {text}\n" for text in wrong))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
