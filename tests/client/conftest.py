"""A storage service in a process of its own, as a user runs it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.installation.storage_process import storage_process


@pytest.fixture(scope="module")
def storage_address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with storage_process(tmp_path_factory.mktemp("storage") / "data") as storage:
        yield storage.address
