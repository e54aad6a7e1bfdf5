"""Offsets as they took effect, reduced for the eye: of each span of time what a line through all would reach."""

from __future__ import annotations

import numpy as np

from offdecode.history.movements.movement import Columns, leaves_offset
from offdecode.model import ABSENT, Mask, Vector, stable_order

POINT = np.dtype([("key", "i8"), ("time", "i8"), ("log_offset", "i8"), ("offset", "i8")])
_MOST_HELD = 1 << 19
_LEAST_OF_A_SPAN, _OF_A_SPAN = 2, 4  # the first and the last; the least and the greatest too


class Points:
    """Takes the commits of logs; keeps of each key and span of time the first, the last, the least and the greatest.

    The span doubles as the log grows, so that each span of before lies within one of now: a millisecond as long as
    `most_held` points suffice. More are held only where there are that many keys. Points without a time are counted.
    """

    def __init__(self, most_held: int = _MOST_HELD) -> None:
        self._most_held = most_held
        self._held: list[np.ndarray] = []
        self._count = 0
        self.span_ms = 1
        self.untimed = 0

    def add(self, steps: Columns, wanted: Mask, first_key: int) -> None:
        """Commits as steps of Moves, those that are wanted. first_key: is added to their keys."""
        effective = wanted & leaves_offset(steps["kind"])
        decided = steps["decided_timestamp"]
        time = np.where(decided != ABSENT, decided, steps["log_timestamp"])
        timed = time != ABSENT
        self.untimed += int(np.count_nonzero(effective & ~timed))
        rows = np.flatnonzero(effective & timed)
        found = np.empty(len(rows), POINT)
        found["key"] = steps["key"][rows] + first_key
        found["time"], found["log_offset"] = time[rows], steps["log_offset"][rows]
        found["offset"] = steps["after"][rows]
        self._held.append(found)
        self._count += len(found)
        if self._count > self._most_held:
            self._reduce(self._all(), self._most_held // 2)
            self._most_held = max(self._most_held, 2 * self._count)  # where there are so many keys

    def _all(self) -> np.ndarray:
        """What is held, by key; of a key as it took effect."""
        points = np.concatenate(self._held) if self._held else np.empty(0, POINT)
        return points[stable_order(points["key"])] if len(points) else points

    def _reduce(self, points: np.ndarray, most: int) -> None:
        """Hold these, reduced by the shortest span that leaves at most so many, or by all the time that there is."""
        reach = int(points["time"].max()) - int(points["time"].min()) if len(points) else 0
        while self.span_ms <= reach and _LEAST_OF_A_SPAN * _spans(points, self.span_ms) > most:
            self.span_ms *= 2
        points = reduced(points, self.span_ms)
        while self.span_ms <= reach and len(points) > most:
            self.span_ms *= 2
            points = reduced(points, self.span_ms)
        self._held, self._count = [points], len(points)

    def of(self, keys: Vector, most: int) -> np.ndarray:
        """The points of these keys, by key and time; not many more than `most`, unless there are that many keys."""
        points = self._all()
        points = points[np.isin(points["key"], keys)]
        if len(points) > most:
            self._reduce(points, most)
            points = self._held[0]
        return points[stable_order(points["time"], points["key"])] if len(points) else points


def _spans(points: np.ndarray, span_ms: int) -> int:
    """In how many spans of time there are points, those of each key counted by themselves."""
    span = points["time"] // span_ms
    return 1 + int(np.count_nonzero((span[1:] != span[:-1]) | (points["key"][1:] != points["key"][:-1])))


def reduced(points: np.ndarray, span_ms: int) -> np.ndarray:
    """Of each key and span of time the first, last, least and greatest point, by key and span."""
    if not len(points):
        return points
    span = points["time"] // span_ms
    order = stable_order(span, points["key"])
    points, span = points[order], span[order]
    starts = np.flatnonzero(
        np.concatenate(([True], (points["key"][1:] != points["key"][:-1]) | (span[1:] != span[:-1])))
    )
    lengths = np.diff(np.append(starts, len(points)))
    keep = np.zeros(len(points), np.bool_)
    keep[starts] = keep[starts + lengths - 1] = True
    many = lengths > _OF_A_SPAN
    inner = np.repeat(many, lengths)
    keep |= ~inner
    offsets = points["offset"]
    for extreme in (np.minimum, np.maximum):
        reached = offsets == np.repeat(extreme.reduceat(offsets, starts), lengths)
        at = np.flatnonzero(reached)
        owner = np.repeat(np.arange(len(starts)), lengths)[at]
        keep[at[np.concatenate(([True], owner[1:] != owner[:-1]))]] = True
    return points[keep]
