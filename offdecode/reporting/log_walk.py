"""One log's chunks to what a report keeps of it: groups, points, counts, generations, and movements as they end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa

from offdecode.filtering import key_tests, pushed
from offdecode.history.groups.generations import GenerationRows
from offdecode.history.groups.images import Generation, is_rebalance
from offdecode.history.movements.movement import Columns, Held, MovementKind, Steps, is_progress
from offdecode.history.movements.moves import Moves
from offdecode.history.overview import Overview
from offdecode.model import ABSENT, Coverage, DecodedChunk, Gaps, Mask, Vector, arrow, stable_order
from offdecode.options import GROUPS, Filter
from offdecode.reporting.counts import Counts
from offdecode.reporting.marks import LOG
from offdecode.reporting.membership import Membership
from offdecode.reporting.points import Points
from offdecode.reporting.seen import NUMBER, Log, Row
from offdecode.reporting.stories import Stories

COMMITS, GENERATIONS = "commit", "generation"
_COUNTED = (
    MovementKind.REWIND, MovementKind.RESET_LIKE, MovementKind.JUMP, MovementKind.TOMBSTONE, MovementKind.ABORTED,
    MovementKind.PENDING, MovementKind.OVERTAKEN,
)  # fmt: skip
_KEYS_OF_A_LOG = 1 << 40  # more than a log can have


@dataclass(frozen=True, slots=True)
class Shared:
    """What all logs of a report fill. rows: which groups and times it is about."""

    rows: Filter
    points: Points
    counts: Counts
    stories: Stories


class LogWalk:
    """Takes the chunks of one log in order. moves: new ones; tell: takes what each commit did."""

    def __init__(
        self, number: int, moves: Moves, retention_ms: int | None, shared: Shared, tell: Callable[[Columns], None]
    ) -> None:
        self.number = number
        self.moves = moves
        self.log = Log()
        self._shared = shared
        self._tell = tell
        self._overview = Overview(moves, retention_ms)
        names = moves.owners.replay.topic_names
        self._generations = GenerationRows(names)
        self.membership = Membership(self._generations, names, shared.rows.since, shared.stories)
        self._test = key_tests(pushed(shared.rows, GROUPS)).get("group")
        self._wanted = np.empty(0, np.bool_)  # by group
        self._begun: list[int] = []  # when the generations began that are not counted yet
        self._latest: dict[str, int] = {}  # by group the number of its latest generation
        moves.owners.on_generation.append(self._note_generation)

    def take(self, chunk: DecodedChunk, gaps: Gaps) -> None:
        """The next rows, which have sizes. gaps: what the log lacks."""
        steps = self.moves.take_steps(chunk, gaps)
        self._note_steps(steps)
        self._count_generations()
        self._generations.end_chunk()
        self._overview.take(chunk, steps)

    def finish(self, coverage: Coverage) -> None:
        """The log is through."""
        steps = self.moves.finish_steps()
        self._note_steps(steps)
        self._count_generations()
        self.membership.finish()
        self._overview.finish(steps, coverage)
        self.log = Log((*coverage.gaps, *coverage.over), coverage.exported, read=True)

    def groups(self) -> Iterator[pa.Table]:
        """The rows of the log's groups, some at a time, with its number and theirs, when it is through.

        What is no offsets log never is.
        """
        for numbers in self._overview.numbers() if self.log.read else ():
            rows = pa.Table.from_batches([self._overview.rows(numbers)])
            yield rows.append_column(LOG, arrow(np.full(len(numbers), self.number))).append_column(
                NUMBER, arrow(numbers)
            )

    def _wants(self, steps: Steps) -> Mask:
        """Which commits are of a group and a time that are wanted."""
        wanted = np.ones(len(steps.group), np.bool_)
        since = self._shared.rows.since
        if since is not None:
            time = steps.movement["log_timestamp"]
            wanted &= (time >= since) | (time == ABSENT)
        if self._test is not None:
            groups = self.moves.keys.groups
            more = map(self._test, groups.of(np.arange(len(self._wanted), len(groups))).to_pylist())
            self._wanted = np.concatenate((self._wanted, np.array(list(more), np.bool_)))
            wanted &= self._wanted[steps.group]
        return wanted

    def _note_steps(self, steps: Steps | None) -> None:
        if steps is None:
            return
        movement = steps.movement
        self._tell(movement)
        wanted = self._wants(steps)
        self._shared.points.add(movement, wanted, self.number * _KEYS_OF_A_LOG)
        kind, time, counts = movement["kind"], movement["log_timestamp"], self._shared.counts
        counts.add(COMMITS, time[wanted & (kind != MovementKind.TOMBSTONE)])
        if not is_progress(kind).all():
            for counted in _COUNTED:
                counts.add(counted.name.lower(), time[wanted & (kind == counted)])

    def _note_generation(self, event: Generation) -> None:
        if self._test is not None and not self._test(event.image.group):
            return
        group, generation = event.image.group, event.image.generation
        counted = is_rebalance(generation, self._latest.get(group))
        if generation is not None:
            self._latest[group] = generation
        row = self.membership.tell(event)
        if row is not None and counted:
            time = row["log_timestamp"]
            self._begun.append(ABSENT if time is None else time)

    def _count_generations(self) -> None:
        self._shared.counts.add(GENERATIONS, np.array(self._begun, np.int64))
        self._begun = []

    @cached_property
    def _by_group(self) -> tuple[Vector, Vector]:
        """All keys by the number of their group, and where those of each group begin."""
        group = self.moves.groups_of(np.arange(len(self.moves.keys)))
        order = stable_order(group) if len(group) else group
        return order, np.searchsorted(group[order], np.arange(len(self.moves.keys.groups) + 1))

    def keys_of(self, number: int) -> Vector:
        """The keys of the group of this number: those of commits, and of partitions that members held."""
        order, starts = self._by_group
        return order[starts[number] : starts[number + 1]]

    @cached_property
    def _held(self) -> Held:
        return self.moves.held()

    @cached_property
    def had_offset(self) -> Mask:
        """Which keys ever had an offset."""
        found = np.zeros(len(self.moves.keys), np.bool_)
        found[self._held.key] = True
        return found

    def names_of(self, keys: Vector) -> list[tuple[str, int]]:
        """The topics and partitions of keys."""
        own = self.moves.keys
        topic = own.pairs.topics_of(own.pairs_of(keys))
        named = [own.pairs.topics[number] for number in topic.tolist()]
        return list(zip(named, own.partitions_of(keys).tolist(), strict=True))

    def among_all(self, keys: Vector) -> Vector:
        """These keys among the points of all logs."""
        return keys + self.number * _KEYS_OF_A_LOG

    def committed(self, keys: Vector) -> list[Row | None]:
        """The offset of each of these keys where the log ends, as Beside asks for it; None where there is none."""
        held, ids = self._held, self.moves.topic_ids
        if not len(held.key):
            return [None] * len(keys)
        at = np.minimum(np.searchsorted(held.key, keys), len(held.key) - 1)
        live = (held.key[at] == keys) & held.live[at]
        columns = live, held.offset[at], held.committed[at], held.topic_id[at]
        rows = zip(self.names_of(keys), *(column.tolist() for column in columns), strict=True)
        return [
            {
                "topic": name[0],
                "partition": name[1],
                "offset": offset,
                "commit_timestamp": None if committed == ABSENT else committed,
                "topic_id": None if topic_id < 0 else ids[topic_id],
            }
            if has
            else None
            for name, has, offset, committed, topic_id in rows
        ]
