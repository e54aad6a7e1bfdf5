"""How long the broker keeps offsets: as it is told, or as sweeps in the log show it.

Since Kafka 2.1 an offset of a group without members expires offsets.retention.minutes after its commit, or after the
last member left, and goes with the next sweep. So groups that went idle at different times lose their offsets at much
the same age, and none gets older. Whoever deletes groups at one time, or one time after another, leaves no such ages.
"""

from __future__ import annotations

from collections.abc import Callable

MINUTE_MS = 60_000
DEFAULT_RETENTION_MS = 7 * 24 * 60 * MINUTE_MS  # offsets.retention.minutes since Kafka 2.0
LEAST_RETENTION_MS = MINUTE_MS  # the broker's least
_LEAST_GONE = 4  # groups that tell of a retention
_AGES_MAY_VARY = 1.25  # by this factor, with the time between two sweeps
_IDLE_MUST_VARY = 4  # times as much as the ages
_MOST_KEPT = 1000  # a broker's setting may change


class Retention:
    """ms: the retention. told: it is known; assumed: it is the default, perhaps wrongly; inferred: sweeps show it."""

    def __init__(self, told_ms: int | None) -> None:
        self.ms = DEFAULT_RETENTION_MS if told_ms is None else told_ms
        self.told = told_ms is not None
        self.inferred = False
        self._gone: list[tuple[int, int]] = []

    @property
    def assumed(self) -> bool:
        return not (self.told or self.inferred)

    @property
    def least_ms(self) -> int:
        """An offset that is younger cannot have expired."""
        return self.ms if self.told else LEAST_RETENTION_MS

    def learn(self, gone: list[tuple[int, int]], oldest: Callable[[], int]) -> None:
        """Take in what idle groups have lost.

        gone: (time, age of the youngest offset) of each append of tombstones that expiry may have written; oldest:
        the age of the oldest offset that is left in a group without members.
        """
        self._gone = sorted({*self._gone, *(one for one in gone if one[1] >= LEAST_RETENTION_MS)})[-_MOST_KEPT:]
        self.inferred = self._shown(oldest)
        least = min((age for _, age in self._gone), default=0)
        self.ms = least // MINUTE_MS * MINUTE_MS if self.inferred else DEFAULT_RETENTION_MS

    def _shown(self, oldest: Callable[[], int]) -> bool:
        if len(self._gone) < _LEAST_GONE:
            return False
        ages = [age for _, age in self._gone]
        idle = [time - age for time, age in self._gone]
        if (max(ages) - min(ages)) * _IDLE_MUST_VARY > max(idle) - min(idle):
            return False
        return max(*ages, oldest()) <= min(ages) * _AGES_MAY_VARY
