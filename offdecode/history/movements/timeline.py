"""States of numbered things, as they change along the log."""

from __future__ import annotations

from typing import Any

import numpy as np

from offdecode.growing import make_room
from offdecode.model import Vector, stable_order, take_structs

_PLACE = (1 << 32) - 1


class Timeline:
    """A state for each number, as it changes within a chunk and at its end.

    Most logs have many keys and groups of which nothing is ever noted: no memory is taken before something is.
    """

    def __init__(self, initial: Any) -> None:
        self._initial = initial
        self._now = np.empty(0, initial.dtype)
        self._notes: list[tuple[Vector, Any]] = []  # number and place in one, and the states
        self._when: list[int] = []  # the latest ones, not yet vectors
        self._state: list[Any] = []

    def note(self, number: int, place: int, *state: Any) -> None:
        self._when.append(number << 32 | place)
        self._state.append(state)

    def note_all(self, number: Vector, place: int | Vector, *state: Any) -> None:
        """Several at once. place, state: a value, or a vector of one for each number."""
        if not len(number):
            return
        self._take_single()
        states = np.empty(len(number), self._now.dtype)
        for name, values in zip(self._now.dtype.names or (), state, strict=True):
            states[name] = values
        self._notes.append((number << 32 | place, states))

    def _take_single(self) -> None:
        if self._when:
            self._notes.append((np.array(self._when, np.int64), np.array(self._state, self._now.dtype)))
            self._when, self._state = [], []

    def take(self, number: Vector, place: Vector, count: int) -> Any:
        """The state of each number at each place of the chunk; the chunk's notes then are the past. count: numbers."""
        self._take_single()
        if self._notes or len(self._now):
            self._now = make_room(self._now, count, self._initial)
        found = self.now(number)
        if self._notes:
            when = np.concatenate([when for when, _ in self._notes])
            states = np.concatenate([states for _, states in self._notes])
            order = stable_order(when & _PLACE, when >> 32)
            when, states = when[order], states[order]
            at = np.searchsorted(when, number << 32 | place, side="right") - 1
            since = (at >= 0) & (when[at] >> 32 == number)
            found[since] = states[at[since]]
            last = np.append(when[1:] >> 32 != when[:-1] >> 32, True)
            self._now[when[last] >> 32] = states[last]
            self._notes = []
        return found

    def now(self, number: Vector) -> Any:
        """The state of each number at the end of the latest chunk."""
        if not len(self._now):
            return np.broadcast_to(self._initial, len(number))
        return take_structs(self._now, number)

    def end_chunk(self, count: int) -> None:
        """The chunk's notes are the past, though no row asks for them."""
        self.take(np.empty(0, np.int64), np.empty(0, np.int64), count)
