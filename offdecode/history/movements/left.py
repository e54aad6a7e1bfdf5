"""What each key was left at: a vector for each thing that is kept of keys."""

from __future__ import annotations

import numpy as np

from offdecode.model import ABSENT, Vector, make_room

_INITIAL = {
    "offset": ABSENT, "topic_id": -1, "commit_timestamp": ABSENT, "expire_timestamp": ABSENT, "leftover": 0,
    "place": -1, "seen": 0, "steps": 0, "distance": 0,
}  # fmt: skip


class Left:
    """What keys were left at, by name. What is the same for all keys takes no memory: few logs have topic ids, say.

    offset, commit_timestamp, expire_timestamp: ABSENT = none; topic_id: its number; -1 = none; leftover: 1 = the offset
    may have outlived its deletion; place: where the record in force stands; seen: 1 = it had an offset; steps,
    distance: how often the offset advanced, and how far in all.
    """

    def __init__(self) -> None:
        self._room = 0
        self._vectors: dict[str, Vector] = {}

    def __len__(self) -> int:
        return self._room

    def grow(self, keys: int) -> None:
        """Make room for so many keys."""
        if keys <= self._room:
            return
        self._room = max(keys, self._room + self._room // 4)
        for name, values in self._vectors.items():
            make_room(values, self._room, np.array(_INITIAL[name]))

    def of(self, name: str, key: Vector) -> Vector:
        """What these keys were left at."""
        values = self._vectors.get(name)
        return np.full(len(key), _INITIAL[name]) if values is None else values.take(key)

    def put(self, name: str, key: Vector, values: Vector | int) -> None:
        """Leave these keys at something else."""
        known = self._vectors.get(name)
        if known is None:
            if (np.asarray(values) == _INITIAL[name]).all():
                return
            known = self._vectors[name] = np.full(self._room, _INITIAL[name])
        known[key] = values
