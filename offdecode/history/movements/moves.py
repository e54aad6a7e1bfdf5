"""Chunks to movements: how the offset of each (group, topic, partition) moved, with owner and generation then."""

from __future__ import annotations

import numpy as np

from offdecode.growing import make_room
from offdecode.history.movements.commit_columns import CommitColumns, CommitKeys, commit_columns
from offdecode.history.movements.effects import Effects, Events
from offdecode.history.movements.movement import (
    MOVEMENT,
    Confidence,
    Held,
    Movement,
    MovementKind,
    Movements,
    Signal,
    Steps,
)
from offdecode.history.movements.owners import Owners
from offdecode.history.movements.tombstones import Tombstones
from offdecode.history.offsets.rules import Coordinator
from offdecode.history.topic_names import TopicNames
from offdecode.model import ABSENT, DecodedChunk, Gaps, Mask, Vector


class Moves:
    """Makes movements of the chunks of one log, in their order.

    retention_ms: for how long the broker kept offsets, None = not known. on_generation of `owners` is told of each
    generation of a group. log_partition: of the chunks so far, None = not known.
    """

    def __init__(
        self, retention_ms: int | None, topic_names: TopicNames, coordinator: Coordinator = Coordinator.NEW
    ) -> None:
        self.keys = CommitKeys()
        self.owners = Owners(self.keys, topic_names)
        self.commits: CommitColumns | None = None  # of the latest chunk
        self.log_partition: int | None = None
        self._effects = Effects(self.keys, coordinator)
        self._movement = Movement(coordinator)
        self._gaps = Gaps()
        self._losses = np.empty(0, np.int64)  # by key, how many places of lost records its latest commit lies behind
        self._tombstones = Tombstones(self.keys, self.owners.members, retention_ms)

    def take(self, chunk: DecodedChunk, gaps: Gaps) -> Movements:
        """The movements that came to an end in the chunk. gaps: what the log lacks."""
        return self._merged(self.take_steps(chunk, gaps))

    def take_steps(self, chunk: DecodedChunk, gaps: Gaps) -> Steps | None:
        """The same, each commit as a movement of its own, which never merge then; None where there is none."""
        for batch in chunk.coded.values():
            if len(batch):
                self.log_partition = batch.column("log_partition")[0].as_py()
        self.commits = commits = commit_columns(chunk, self.keys)
        self.owners.replay.records_missing = gaps.first is not None
        joined = self.owners.join(chunk, commits)
        self._gaps = gaps
        return self._steps(self._effects.take(chunk, commits, joined, cleaned=gaps.first is not None))

    def finish(self) -> Movements:
        """The movements still going on where the log ends."""
        last = self._merged(self.finish_steps())
        return np.concatenate((last, self._movement.finish()))

    def finish_steps(self) -> Steps | None:
        """The same where steps were taken."""
        self.owners.finish()
        return self._steps(self._effects.finish())

    def held(self) -> Held:
        """What every key that ever had an offset was left at."""
        return self._movement.held()

    @property
    def topic_ids(self) -> list[str]:
        """The ids of topics that commits name, by number."""
        return self._effects.topic_ids

    def groups_of(self, key: Vector) -> Vector:
        """The numbers of the groups of these keys."""
        return self.keys.pairs.groups_of(self.keys.pairs_of(key))

    def _steps(self, events: Events) -> Steps | None:
        if not len(events["key"]):
            return None
        steps = self._movement.steps(events, len(self.keys))
        latest = int(steps.movement["log_timestamp"].max())
        self._tombstones.name(
            steps, events, self.owners.ended, self.owners.turned, lambda: self._oldest_idle(latest)
        )  # fmt: skip
        steps.movement["owner"] = self.owners.first_numbers(steps.movement["owner"])
        self._doubt(steps)
        return steps

    def _doubt(self, steps: Steps) -> None:
        """The offset before a commit may not be the one that was in force where records between are missing."""
        if self._gaps.first is None:
            return
        movement = steps.movement
        written = movement["log_offset"] != ABSENT
        none = written & (movement["before"] == ABSENT) & (movement["log_offset"] >= self._gaps.first)
        behind = written & self._behind_losses(steps)
        movement["signals"][none | behind] |= int(Signal.EARLIER_RECORDS_MISSING)
        # What deleted an offset does not depend on what it was.
        movement["confidence"][none | behind & (movement["kind"] != MovementKind.TOMBSTONE)] = Confidence.LOW

    def _behind_losses(self, steps: Steps) -> Mask:
        """Which commits are the first of their keys behind a place where records are lost."""
        key = steps.movement["key"]
        if not len(self._gaps.lost):
            return np.zeros(len(key), np.bool_)
        self._losses = make_room(self._losses, len(self.keys))
        count = np.searchsorted(self._gaps.lost, steps.movement["log_offset"])
        known = np.where(steps.previous < steps.start, self._losses[key], count[steps.previous])
        self._losses[key[steps.effective]] = count[steps.effective]  # of several of a key the last one
        return np.asarray(count > known)

    def _merged(self, steps: Steps | None) -> Movements:
        return np.empty(0, MOVEMENT) if steps is None else self._movement.merged(steps)

    def _oldest_idle(self, now: int) -> int:
        """For how long at most the broker has kept an offset of a group without members."""
        held = self._movement.held()
        mine = held.live & (held.expires < 0)
        since = np.maximum(held.committed[mine], self.owners.idle_since(self.groups_of(held.key[mine])))
        return now - int(since.min(initial=now))
