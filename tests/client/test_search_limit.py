"""A search with a limit asks for no more pages than that needs."""

from __future__ import annotations

import pytest

from imaging.client.storage import _pages


@pytest.mark.parametrize(
    ("limit", "expected", "asked"), [(None, 10, 4), (1, 1, 1), (3, 3, 1), (4, 4, 2), (6, 6, 2), (99, 10, 4), (0, 0, 0)]
)
async def test_pages_after_the_limit_are_not_asked_for(limit: int | None, expected: int, asked: int) -> None:
    tokens: list[str] = []

    async def page(token: str) -> tuple[list[int], str]:
        """Ten results, three a page."""
        tokens.append(token)
        first = int(token or 0)
        return list(range(first, min(first + 3, 10))), str(first + 3) if first + 3 < 10 else ""

    assert [item async for item in _pages(page, limit)] == list(range(expected))
    assert len(tokens) == asked
