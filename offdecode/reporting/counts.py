"""How often things happened, by time."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import numpy as np

from offdecode.model import ABSENT, Vector, distinct

# Widths of bars in milliseconds; each divides the next.
WIDTHS_MS = (
    1, 10, 100, 500, 1000, 5000, 10_000, 30_000, 60_000, 300_000, 600_000, 1_800_000, 3_600_000, 21_600_000,
    86_400_000, 604_800_000, 4 * 604_800_000, 52 * 604_800_000, 520 * 604_800_000, 52_000 * 604_800_000,
)  # fmt: skip
_MOST_HELD = 1 << 17


@dataclass(frozen=True, slots=True)
class Bars:
    """Counts by name. starts: of the bars that count anything, in milliseconds; counts: of each of them."""

    width_ms: int
    starts: Vector
    counts: dict[str, Vector]


class Counts:
    """Counts by name and time. Times become coarser when there are too many different ones."""

    def __init__(self, most_held: int = _MOST_HELD) -> None:
        self._most_held = most_held
        self._width = 0  # place among the widths
        self._held: dict[str, list[tuple[Vector, Vector]]] = defaultdict(list)
        self._added = 0

    def add(self, name: str, times: Vector) -> None:
        """Things of this name happened at these times; ABSENT = not known when, which is not counted."""
        timed = times[times != ABSENT]
        if len(timed):
            starts, counts = _counted(timed // self._ms * self._ms, np.ones(len(timed), np.int64))
            self._held[name].append((starts, counts))
            self._added += len(starts)
        if self._added > self._most_held:
            self._merge()
            while self._added > self._most_held // 2 and self._width + 1 < len(WIDTHS_MS):
                self._width += 1
                self._merge()

    @property
    def _ms(self) -> int:
        return WIDTHS_MS[self._width]

    def _merge(self) -> None:
        """Each name's counts together, at the width of now."""
        self._added = 0
        for name, held in self._held.items():
            starts, counts = (np.concatenate(parts) for parts in zip(*held, strict=True))
            self._held[name] = [_counted(starts // self._ms * self._ms, counts)]
            self._added += len(self._held[name][0][0])

    def bars(self, most: int) -> Bars:
        """All counts, in at most so many bars between the first time and the last one."""
        self._merge()
        held = {name: parts[0] for name, parts in self._held.items()}
        starts = distinct(np.concatenate([np.empty(0, np.int64), *(starts for starts, _ in held.values())]))
        if len(starts):
            reach = int(starts[-1]) - int(starts[0])
            while reach // self._ms >= most and self._width + 1 < len(WIDTHS_MS):
                self._width += 1
            starts = distinct(starts // self._ms * self._ms)
        found = {}
        for name, (own, counts) in held.items():
            found[name] = np.zeros(len(starts), np.int64)
            np.add.at(found[name], np.searchsorted(starts, own // self._ms * self._ms), counts)
        return Bars(self._ms, starts, found)


def _counted(starts: Vector, counts: Vector) -> tuple[Vector, Vector]:
    """Each start once, with the sum of its counts."""
    order = np.argsort(starts, kind="stable")
    starts, counts = starts[order], counts[order]
    first = np.flatnonzero(np.concatenate(([True], starts[1:] != starts[:-1])))
    return starts[first], np.add.reduceat(counts, first)
