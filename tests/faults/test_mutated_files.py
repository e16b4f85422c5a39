"""Mutated files are stored or refused with a type, whatever they are; `make fuzz` tries more of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.fuzz import Fuzz, subjects
from tests.installation.storage_process import storage_process

pytestmark = pytest.mark.integration

EXAMPLES = 250


def test_mutated_files_are_stored_and_read_or_refused_with_a_type(tmp_path: Path) -> None:
    with storage_process(tmp_path / "data", settings={"quiet_time_seconds": 3600}) as storage:
        fuzz = Fuzz(storage, subjects())
        fuzz.run(EXAMPLES)
        assert fuzz.outcomes.total() >= EXAMPLES
        assert len(fuzz.outcomes) > 3
        assert "unforeseen" not in storage.log
