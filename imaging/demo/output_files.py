"""The documents and segmentations of one study, written to its folder."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Final

from imaging.client.async_client import AsyncClient
from imaging.client.run_results import Document, Report, Run

_SEGMENTATION: Final = "1.2.840.10008.5.1.4.1.1.66.4"

_NAMES: Final = {
    "PDF": "report.pdf",
    "HTML": "report.html",
    "SR": "report.sr.dcm",
    "JSON": "report.json",
    "FHIR": "report.fhir.json",
    "KOS": "key-images.kos.dcm",
}


async def write_report(client: AsyncClient, report: Report, folder: Path) -> list[Path]:
    """Every document of a report: `report.pdf`, `report.html`, `report.sr.dcm`, `key-image-1.png` …; the files."""
    files = []
    for document in report.documents:
        content = await client.reports.read(report, document)
        files.append(await _write(folder / _document_name(document), content))
    return files


async def write_segmentations(client: AsyncClient, run: Run, folder: Path) -> list[Path]:
    """The DICOM SEG objects that the stages of a run stored, as `<model>.seg.dcm`; the files."""
    files: list[Path] = []
    for stage in run.stages:
        count = 0
        for output in stage.outputs:
            if "/instances/" not in output:
                continue
            if (await client.storage.get_instance(output)).sop_class_uid != _SEGMENTATION:
                continue
            count += 1
            number = f"-{count}" if count > 1 else ""
            model = "".join(c for c in stage.uses if c.isalnum() or c in "-_") or "segmentation"
            async for _, content in client.retrieve(output):
                files.append(await _write(_free(folder / f"{model}{number}.seg.dcm", files), content))
    return files


def _document_name(document: Document) -> str:
    if document.format == "KEY_IMAGE":
        return f"key-image-{document.number}.png"
    return _NAMES.get(document.format, f"document-{document.number}.bin")


def _free(path: Path, taken: list[Path]) -> Path:
    """The path, with a number where the same model ran on several series."""
    stem, number = path.name.removesuffix(".seg.dcm"), 2
    while path in taken:
        path = path.with_name(f"{stem}-{number}.seg.dcm")
        number += 1
    return path


async def _write(path: Path, content: bytes) -> Path:
    def write() -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return path

    return await asyncio.to_thread(write)
