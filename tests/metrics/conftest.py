"""One installation that has worked, for all tests of what it tells of itself."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.metrics.watched import Watched, watched_installation


@pytest.fixture(scope="session")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """The installation."""
    with watched_installation(tmp_path_factory.mktemp("watched")) as running:
        yield running
