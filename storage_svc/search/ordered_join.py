"""A join whose left side is read first: SQLite's planner, which keeps no statistics here, is told where to begin."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Join
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler


class OrderedJoin(Join):
    """As `Join`. SQLite takes the rows of the left side in their order, and looks up the right side for each."""

    inherit_cache = True


@compiles(OrderedJoin)
def _as_any_join(join: OrderedJoin, compiler: SQLCompiler, **options: Any) -> str:
    return str(compiler.visit_join(join, **options))  # type: ignore[no-untyped-call]


@compiles(OrderedJoin, "sqlite")
def _as_cross_join(join: OrderedJoin, compiler: SQLCompiler, **options: Any) -> str:
    assert join.onclause is not None
    left, right, on = (compiler.process(part, **options) for part in (join.left, join.right, join.onclause))
    return f"{left} CROSS JOIN {right} ON {on}"
