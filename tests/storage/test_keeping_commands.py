"""What an operator does with versions and quarantine from the command line."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from imaging.cli.commands import app
from imaging.cli.exit_codes import ExitCode, exit_code_of
from imaging.errors import ImagingError
from tests.storage.kept_objects import INSTANCE, OTHER_PIXELS, quarantined
from tests.storage.storage_under_test import Storage, ct

pytestmark = pytest.mark.parametrize("databases", ["sqlite"], indirect=True)
FIRST, CORRECTED, OTHER = ct(), ct(PatientName="Corrected^Name"), ct(PatientName="Other^Name", pixels=OTHER_PIXELS)


@dataclass(frozen=True, slots=True)
class Ran:
    code: int
    stdout: str
    stderr: str

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.stdout.splitlines()]


async def run(storage: Storage, *arguments: str) -> Ran:
    """`imaging storage …` against the service."""

    def invoke() -> Ran:
        result = CliRunner().invoke(app, ["storage", *arguments, "--endpoint", storage.address])
        error = result.exception
        if isinstance(error, ImagingError):  # the program makes this message and exit code of it
            return Ran(exit_code_of(error), result.stdout, error.text)
        if error is not None and not isinstance(error, SystemExit):
            raise error
        return Ran(result.exit_code, result.stdout, result.stderr)

    return await asyncio.to_thread(invoke)


async def store_all(storage: Storage, contents: Sequence[bytes] = (FIRST, CORRECTED, OTHER)) -> str:
    """Two versions, and one that contradicts: its id in quarantine."""
    for content in contents:
        await storage.store(content, source="SENDER")
    (found,) = await quarantined(storage)
    return found.name.removeprefix("quarantinedInstances/")


async def test_quarantine_and_versions_are_listed_and_shown_without_patient_data(storage: Storage) -> None:
    identity = await store_all(storage)
    (found,) = (await run(storage, "quarantine", "list", "--json")).lines
    assert (found["claimed_instance"], found["reason"]) == (INSTANCE, "other_content")
    for parent in ("1.2.3", "studies/1.2.3", INSTANCE):
        listed = await run(storage, "quarantine", "list", parent)
        assert identity in listed.stdout
        assert "other content" in listed.stdout
    assert identity not in (await run(storage, "quarantine", "list", "studies/1.9")).stdout
    shown = await run(storage, "quarantine", "show", identity)
    assert "SENDER" in shown.stdout
    facts = await run(storage, "quarantine", "show", f"quarantinedInstances/{identity}", "--json")
    assert facts.lines[0]["stored"]["version"] == 2
    kept = await run(storage, "versions", "list", INSTANCE, "--json")
    assert [(line["reason"], line["object"]["served"]) for line in kept.lines] == [
        ("corrected", True),
        ("stored", False),
    ]
    listed = await run(storage, "versions", "list", INSTANCE)
    for word in ("corrected", "served", "SENDER"):
        assert word in listed.stdout
    for ran in (shown, facts, kept, listed):
        assert ran.code == ExitCode.OK
        assert "Name" not in ran.stdout


async def test_the_bytes_of_each_are_fetched_into_a_file(storage: Storage, tmp_path: Path) -> None:
    identity = await store_all(storage)
    out = tmp_path / "out.dcm"
    for command, name, content in (
        ("quarantine", identity, OTHER),
        ("versions", f"{INSTANCE}/versions/1", FIRST),
        ("versions", f"{INSTANCE}/versions/2", CORRECTED),
    ):
        fetched = await run(storage, command, "fetch", name, "--out", str(out), "--json")
        assert fetched.lines == [{"name": name, "path": str(out), "size_bytes": len(content)}]
        assert out.read_bytes() == content
    out.unlink()
    for command, name, place, code in (
        ("versions", f"{INSTANCE}/versions/9", out, ExitCode.NOT_FOUND),
        ("quarantine", "abcdef", out, ExitCode.NOT_FOUND),
        ("quarantine", "not an id", out, ExitCode.USAGE),
        ("quarantine", identity, tmp_path / "nowhere" / "x.dcm", ExitCode.USAGE),
    ):
        assert (await run(storage, command, "fetch", name, "-o", str(place))).code == code
    for path in storage.objects():
        path.write_bytes(path.read_bytes()[:-1] + b"!")
    assert (await run(storage, "quarantine", "fetch", identity, "-o", str(out))).code == ExitCode.DATA_LOSS
    assert os.listdir(tmp_path) == ["data"]  # noqa: PTH208 - nothing half-written


async def test_quarantined_instances_are_accepted_and_discarded_and_an_older_version_restored(storage: Storage) -> None:
    identity = await store_all(storage)
    accepted = await run(storage, "quarantine", "accept", identity, "--reason", "the right pixels")
    assert (accepted.code, accepted.stdout) == (0, f"{identity}: served as version 3 of {INSTANCE}\n")
    again = await run(storage, "quarantine", "accept", identity, "--json")
    assert again.lines == [{"name": identity, "instance": INSTANCE, "version": 3}]
    assert (await run(storage, "quarantine", "discard", identity)).code == ExitCode.REFUSED
    restored = await run(storage, "versions", "restore", f"{INSTANCE}/versions/2", "--json")
    assert restored.lines[0]["version"] == 2
    assert (await run(storage, "versions", "restore", f"{INSTANCE}/versions/9")).code == ExitCode.NOT_FOUND
    await storage.store(ct(pixels=bytes([7]) * len(OTHER_PIXELS)))
    (found,) = await quarantined(storage)
    several = await run(storage, "quarantine", "discard", "abcdef", found.name)
    assert several.code == ExitCode.SOME_FAILED
    assert several.stdout == f"{found.name}: discarded\n"
    assert "no such quarantined instance" in several.stderr
    assert (await run(storage, "quarantine", "list")).stdout == ""
    entries = (await run(storage, "audit", "--json")).lines
    assert [(entry["action"], entry["reason"]) for entry in reversed(entries)] == [
        ("accept", "the right pixels"),
        ("restore_version", ""),
        ("discard", ""),
    ]
    audit = await run(storage, "audit", "--limit", "2")
    assert "restore version" in audit.stdout
    assert "the right pixels" not in audit.stdout


async def test_a_sweep_tells_what_it_found_and_a_dry_one_removes_nothing(storage: Storage) -> None:
    await store_all(storage)
    kept = storage.objects()
    old, young = kept[0].with_name("1.2_a.dcm"), kept[0].with_name("1.2_b.dcm")
    for path, content in ((old, b"123"), (young, b"12345")):
        path.write_bytes(content)
    os.utime(old, (86400, 86400))
    dry = await run(storage, "sweep", "--dry-run", "--json")
    orphan, summary = dry.lines
    assert (orphan["size_bytes"], orphan["removed"]) == (3, False)
    assert summary["summary"] == {
        "object_count": 5,
        "size_bytes": sum(path.stat().st_size for path in kept) + 8,
        "orphan_count": 1,
        "orphan_bytes": 3,
        "oldest_orphan_time": "1970-01-02 00:00:00+00:00",
        "removed_count": 0,
        "removed_bytes": 0,
        "young_count": 1,
        "young_bytes": 5,
        "grace_seconds": 3600.0,
    }
    swept = await run(storage, "sweep")
    assert (swept.code, old.exists(), young.exists()) == (ExitCode.OK, False, True)
    for words in ("named by nothing", "removed", "kept for now", "1970-01-02"):
        assert words in swept.stdout
    assert old.name in swept.stderr
    assert storage.objects() == sorted([*kept, young])
