"""A published figure: medians of alternating runs of ours and the peer's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.side import Side
from benchmarks.work import Work


@dataclass(frozen=True, slots=True)
class Run:
    """One measurement of one side; `clients` were at work at once."""

    side: str
    value: float
    clients: int = 1


@dataclass(frozen=True, slots=True)
class Figure:
    """What is published. `ratio` is ours by the peer's; `at_most` tells which way the target goes."""

    name: str
    unit: str
    ours: float
    peer: float | None
    runs: list[Run]
    target: float | None = None
    at_most: bool = False

    @property
    def ratio(self) -> float | None:
        """Ours by the peer's; None without a peer."""
        return self.ours / self.peer if self.peer else None

    def as_json(self) -> dict[str, Any]:
        """As `results.json` has it."""
        return {
            "name": self.name,
            "unit": self.unit,
            "ours": self.ours,
            "peer": self.peer,
            "ratio": self.ratio,
            "runs": [asdict(run) for run in self.runs],
        }


def figure(name: str, unit: str, runs: Sequence[Run], *, target: float | None = None, at_most: bool = False) -> Figure:
    """The figure of some runs: each side's best median over the numbers of clients that it was run with."""

    def best(ours: bool) -> float | None:
        by_clients: dict[int, list[float]] = {}
        for run in runs:
            if (run.side == "ours") is ours:
                by_clients.setdefault(run.clients, []).append(run.value)
        medians = [median(values) for values in by_clients.values()]
        return (min(medians) if at_most else max(medians)) if medians else None

    own = best(True)
    if own is None:
        raise ValueError(f"{name}: nothing of ours was measured")
    return Figure(name, unit, own, best(False), list(runs), target, at_most)


@dataclass(slots=True)
class Bench:
    """What a figure measures with."""

    folder: Path
    open_sides: Sequence[Callable[[Path], Side]]
    work: Work
    slices: int
    frames: int
    studies: int
    """Of the larger index that is searched."""

    repeats: int
    closing: ExitStack
    is_quick: bool = False
    kept: dict[str, list[Run]] = field(default_factory=dict)
    """Runs that one figure measured for another one on the way."""

    _sides: list[Side] = field(default_factory=list)
    _opened: int = 0

    def sides(self) -> list[Side]:
        """Both sides, running; the same for all figures."""
        if not self._sides:
            self._sides = self.fresh_sides()
        return self._sides

    def fresh_sides(self) -> list[Side]:
        """Both sides on folders and in processes of their own."""
        self._opened += 1
        sides: list[Side] = []
        for open_side in self.open_sides:
            side = open_side(self.folder / f"{self._opened}-{len(sides)}")
            self.closing.callback(side.close)
            sides.append(side)
        return sides

    def turns(self) -> list[Side]:
        """The sides, `repeats` times; who begins alternates."""
        sides = self.sides()
        return [side for turn in range(self.repeats) for side in (sides if turn % 2 == 0 else sides[::-1])]
