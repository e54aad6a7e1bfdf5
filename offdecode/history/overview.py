"""A log's records, generations and movements to a row a group: what there is of it, and what is worth a look."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from offdecode.history.groups.images import Generation, is_rebalance
from offdecode.history.movements.movement import Held, MovementKind, Steps
from offdecode.history.movements.moves import Moves
from offdecode.history.movements.retention import DEFAULT_RETENTION_MS
from offdecode.history.movements.tombstones import Cause
from offdecode.history.spans import difference
from offdecode.history.vectors import Vectors
from offdecode.model import (
    ABSENT,
    LARGEST_INT64,
    Coverage,
    DecodedChunk,
    Vector,
    arrow,
    category,
    constant_category,
    lists,
    repeated,
    scattered,
    typed,
)
from offdecode.schemas import offset_commit
from offdecode.schemas.history_rows import DEAD, GROUP_OVERVIEW_ROW
from offdecode.schemas.rows import RECORD_BYTES, row_type

MOST_ROWS = 1 << 14  # that are made at once
_HOUR_MS = 3_600_000
_MOST_NAMED = 10  # clients and hosts of a group that its row names
_MOST_KEPT = 10_000  # of these that are told from each other
_STORM = 10  # generations within an hour that are worth a word

_EVER = -LARGEST_INT64 - 1  # before any time
_INITIAL = {  # of what is counted by name, or by cause of a tombstone
    "last_record": _EVER, "last_commit": _EVER, "expires": _EVER, "first_commit": LARGEST_INT64,
}  # fmt: skip
_KIND_COLUMNS = {
    MovementKind.REWIND: "rewinds", MovementKind.RESET_LIKE: "reset_likes", MovementKind.JUMP: "jumps",
    MovementKind.ABORTED: "aborted", MovementKind.PENDING: "pending", MovementKind.OVERTAKEN: "overtaken",
}  # fmt: skip
_LIFE_COUNTS = ("members", "most_members", "client_count", "host_count", "generations", "most_generations_an_hour")

_NOTABLE = (
    ("reset_likes", "move like a reset", "moves like resets"),
    ("rewinds", "rewind", "rewinds"),
    ("jumps", "jump", "jumps"),
    ("pending", "commit undecided", "commits undecided"),
    ("aborted", "commit aborted", "commits aborted"),
)


@dataclass(slots=True)
class _Life:
    """A group's own history: times in milliseconds."""

    group_type: str = "simple"
    state: str | None = None
    members: int = 0
    most_members: int = 0
    generations: int = 0
    latest: int | None = None  # the number of the latest generation
    first_timestamp: int | None = None
    last_timestamp: int | None = None
    empty_since: int | None = None
    densest: int = 0
    within: deque[int] = field(default_factory=deque)  # times of generations within an hour of the latest
    clients: set[str] = field(default_factory=set)
    hosts: set[str] = field(default_factory=set)

    def take(self, event: Generation) -> None:
        image, time = event.image, event.log_timestamp
        self.group_type, self.state, self.members = image.group_type, image.state, len(image.members)
        self.most_members = max(self.most_members, self.members)
        for member in image.members:
            if len(self.clients) < _MOST_KEPT and member.client_id is not None:
                self.clients.add(member.client_id)
            if len(self.hosts) < _MOST_KEPT and member.client_host is not None:
                self.hosts.add(member.client_host)
        if self.members:
            self.empty_since = None
        elif self.empty_since is None:
            self.empty_since = time
        counted = is_rebalance(image.generation, self.latest)
        if image.generation is not None:
            self.latest = image.generation
        if not counted:
            return
        self.generations += 1
        if time is None:
            return
        self.first_timestamp = time if self.first_timestamp is None else self.first_timestamp
        self.last_timestamp = time
        self.within.append(time)
        while time - self.within[0] > _HOUR_MS:
            self.within.popleft()
        self.densest = max(self.densest, len(self.within))

    def counts(self) -> dict[str, int]:
        """By the names of their columns."""
        return {
            "members": self.members, "most_members": self.most_members, "client_count": len(self.clients),
            "host_count": len(self.hosts), "generations": self.generations, "most_generations_an_hour": self.densest,
        }  # fmt: skip


class Overview:
    """Takes the chunks of one log in order, and what Moves makes of each; gives a row a group.

    retention_ms: as of Moves, which must be new.
    """

    def __init__(self, moves: Moves, retention_ms: int | None = None) -> None:
        self._moves = moves
        moves.owners.on_generation.append(self._watch)
        self._retention_ms = DEFAULT_RETENTION_MS if retention_ms is None else retention_ms
        self._tally = Vectors(_INITIAL)
        self._complete = True
        self._lives: dict[int, _Life] = defaultdict(_Life)  # by number of the group

    @property
    def latest(self) -> int | None:
        """The time of the latest record of a group, in milliseconds."""
        found = int(self._tally["last_record"].max(initial=_EVER))
        return None if found == _EVER else found

    def take(self, chunk: DecodedChunk, steps: Steps | None) -> None:
        """Count the rows, which have sizes, and the steps of Moves in the chunk."""
        self._count(steps)
        for name, batch in chunk.coded.items():
            if "group" in batch.schema.names and len(batch):
                self._count_records(batch, self._groups_of(name, batch))

    def _watch(self, event: Generation) -> None:
        image = event.image
        self._lives[self._moves.keys.groups.number(image.group)].take(event)

    def _groups_of(self, name: str, batch: pa.RecordBatch) -> Vector:
        """The number of each row's group."""
        commits = self._moves.commits
        if name == offset_commit.ROW_TYPE and commits is not None:
            group = np.empty(len(batch), np.int64)
            group[commits.row] = commits.group
            return group
        column = batch.column("group")
        return np.asarray(self._moves.keys.groups.numbers(column.dictionary)[column.indices.to_numpy()])

    def _count_records(self, batch: pa.RecordBatch, group: Vector) -> None:
        self._tally.grow(len(self._moves.keys.groups))
        self._tally.add("records", group, 1)
        self._tally.add("bytes", group, np.asarray(batch.column(RECORD_BYTES.name)))
        time = batch.column("log_timestamp").cast(pa.int64()).fill_null(_EVER)
        np.maximum.at(self._tally["last_record"], group, np.asarray(time))

    def _count(self, steps: Steps | None) -> None:
        if steps is None:
            return
        tally = self._tally
        tally.grow(len(self._moves.keys.groups))
        group, movement = steps.group, steps.movement
        kind, cause, time = movement["kind"], movement["cause"], movement["log_timestamp"]
        for counted, name in _KIND_COLUMNS.items():
            tally.add(name, group[kind == counted], 1)
        for why in Cause:
            tally.add(why, group[cause == why], 1)
        moves = kind != MovementKind.TOMBSTONE
        tally.add("commits", group[moves], 1)
        tally.add("repeats", group[moves & (movement["before"] == movement["after"])], 1)
        timed = moves & (time != ABSENT)
        np.minimum.at(tally["first_commit"], group[timed], time[timed])
        np.maximum.at(tally["last_commit"], group[timed], time[timed])

    def finish(self, steps: Steps | None, coverage: Coverage) -> None:
        """The log is through. steps: those that were still waiting."""
        self._count(steps)
        self._complete = not coverage.exported and not coverage.gaps
        keys = self._moves.keys
        held = self._moves.held()
        group = self._moves.groups_of(held.key)
        tally = self._tally
        tally.add("partitions", group, 1)
        tally.add("offsets", group[held.live], 1)
        pairs = np.zeros(len(keys.pairs), np.bool_)
        pairs[keys.pairs_of(held.key)] = True
        tally.add("topics", keys.pairs.groups_of(np.flatnonzero(pairs)), 1)
        np.maximum.at(tally["expires"], group[held.live], self._expiry(group, held)[held.live])

    def numbers(self, most: int = MOST_ROWS) -> Iterator[Vector]:
        """The numbers of the groups that have rows, so many at a time."""
        numbers = np.flatnonzero(self._tally["records"])
        for start in range(0, len(numbers), most):
            yield numbers[start : start + most]

    def names(self, numbers: Vector) -> dict[str, pa.Array]:
        """What tells these groups from others."""
        log_partition = repeated(self._moves.log_partition, pa.int32(), len(numbers))
        return {"group": self._moves.keys.groups.of(numbers), "log_partition": log_partition}

    def rows(self, numbers: Vector) -> pa.RecordBatch:
        """The rows of these groups, when the log is through."""
        shown = self._tally.some(numbers)
        columns = {**_own_columns(shown), **_lived(self._lives_of(numbers), shown), **self.names(numbers)}
        columns |= {
            "type": constant_category(GROUP_OVERVIEW_ROW, len(numbers)),
            "complete": pa.repeat(self._complete, len(numbers)),
        }
        columns["why"] = _reasons(columns)
        each = arrow(np.arange(len(numbers), dtype=np.int32))
        columns["group"] = pa.DictionaryArray.from_arrays(each, columns["group"])
        schema = row_type(GROUP_OVERVIEW_ROW).arrow_schema
        return pa.RecordBatch.from_arrays([typed(columns[item.name], item.type) for item in schema], schema=schema)

    def _lives_of(self, numbers: Vector) -> dict[int, _Life]:
        """By place among the numbers. Most groups of a log may have no records of their own."""
        rows = np.flatnonzero(np.isin(numbers, np.fromiter(self._lives, np.int64, len(self._lives))))
        return {row: self._lives[number] for row, number in zip(rows.tolist(), numbers[rows].tolist(), strict=True)}

    def _expiry(self, group: Vector, held: Held) -> Vector:
        """When the broker would delete each offset, if nothing came in between and the group had no members."""
        since = np.full(len(self._moves.keys.groups), _EVER)
        for number, life in self._lives.items():
            if life.empty_since is not None:
                since[number] = life.empty_since
        idle = np.maximum(held.committed, since[group])
        by_retention = np.minimum(idle, LARGEST_INT64 - self._retention_ms) + self._retention_ms
        return np.where(held.expires >= 0, held.expires, np.where(idle == _EVER, _EVER, by_retention))


def _lived(lives: Mapping[int, _Life], tally: Vectors) -> dict[str, pa.Array | Vector]:
    """The columns that the groups' own records tell, and those that rest on them. lives: by row."""
    dead = (tally["offsets"] == 0) & (tally["pending"] == 0)
    rows = np.fromiter(lives, np.int64, len(lives))
    numbers = {name: np.zeros(len(dead), np.int64) for name in _LIFE_COUNTS}
    for name, values in numbers.items():
        values[rows] = [life.counts()[name] for life in lives.values()]
    types, states = ["simple"], ["Empty", DEAD]
    group_type, state = np.zeros(len(dead), np.int64), dead.astype(np.int64)
    # Who was deleted and has offsets all the same has committed since, as a simple consumer.
    own = {row: life for row, life in lives.items() if life.state != DEAD or dead[row]}
    group_type[list(own)] = _codes((life.group_type for life in own.values()), types)
    told = {row: life.state for row, life in own.items() if life.state is not None}
    state[list(told)] = _codes(told.values(), states)
    lasted = [difference(life.last_timestamp, life.first_timestamp) for life in lives.values()]
    rates = [_an_hour(life.generations, time) for life, time in zip(lives.values(), lasted, strict=True)]
    gone = (numbers["members"] > 0) | (state == states.index(DEAD))
    return {
        **numbers,
        "group_type": _present(group_type, types),
        "state": _present(state, states),
        "clients": _first_of((life.clients for life in lives.values()), rows, len(dead)),
        "hosts": _first_of((life.hosts for life in lives.values()), rows, len(dead)),
        "generations_per_hour": scattered(pa.array(rates, pa.float64()), rows, len(dead)),
        "expires": arrow(tally["expires"], gone | (tally["expires"] == _EVER)),
    }


def _codes(texts: Iterable[str], known: list[str]) -> list[int]:
    """The place of each text among those that are known; new ones are added."""
    places = {text: place for place, text in enumerate(known)}
    found = [places.setdefault(text, len(places)) for text in texts]
    known[:] = places
    return found


def _present(index: Vector, names: list[str]) -> pa.Array:
    """A column of names. Those that no row has are in no file either."""
    if (index == index[0]).all():
        return constant_category(names[index[0]], len(index))
    return category(index, names).cast(pa.string()).dictionary_encode()


def _first_of(names: Iterable[set[str]], rows: Vector, count: int) -> pa.Array:
    """The first of the names of each row; others have none."""
    some = [sorted(found)[:_MOST_NAMED] for found in names]
    lengths = np.zeros(count, np.int64)
    lengths[rows] = list(map(len, some))
    return lists(lengths, pa.array([name for found in some for name in found], pa.string()))


def _own_columns(tally: Vectors) -> dict[str, pa.Array | Vector]:
    """The columns that records and movements alone tell."""
    commits = tally["commits"]
    first, last = tally["first_commit"], tally["last_commit"]
    untimed = first == LARGEST_INT64
    wrote = np.where(untimed, 0, last - np.where(untimed, last, first))
    with np.errstate(divide="ignore", invalid="ignore"):
        rate, share = commits * float(_HOUR_MS) / wrote, tally["repeats"] / commits
    causes = [arrow(tally[cause]) for cause in Cause]
    counts = ("topics", "partitions", "offsets", "commits", "records", "bytes", *_KIND_COLUMNS.values())
    return {
        **{name: tally[name] for name in counts},
        "first_commit": arrow(first, untimed),
        "last_commit": arrow(last, untimed),
        "last_record": arrow(tally["last_record"], tally["last_record"] == _EVER),
        "commits_per_hour": arrow(rate, wrote <= 0),
        "unmoved_share": arrow(share, commits == 0),
        "tombstones": pa.StructArray.from_arrays(causes, [cause.name.lower() for cause in Cause]),
    }


def notability(rows: pa.Table) -> tuple[Vector, Vector]:
    """For each row how many kinds of notable things happened, and how often."""
    every = np.stack([counts for _, _, counts in _notable(dict(zip(rows.column_names, rows.columns, strict=True)))])
    return np.count_nonzero(every, axis=0), every.sum(axis=0)


def _reasons(columns: Mapping[str, pa.Array | Vector]) -> pa.Array:
    """For each row what is worth a look, in words."""
    reasons: dict[int, list[str]] = defaultdict(list)
    for one, many, counts in _notable(columns):
        for row in np.flatnonzero(counts).tolist():
            count = int(counts[row])
            reasons[row].append(f"{count:,} {one if count == 1 else many}")
    rows = np.sort(np.fromiter(reasons, np.int64, len(reasons)))
    words = pa.array(["; ".join(reasons[row]) for row in rows.tolist()], pa.string())
    return scattered(words, rows, len(columns["group"]))


def _notable(columns: Mapping[str, pa.Array | pa.ChunkedArray | Vector]) -> Iterator[tuple[str, str, Vector]]:
    """What is worth a look: words for one and for several, and how often it happened in each row."""
    for name, one, many in _NOTABLE:
        yield one, many, np.asarray(columns[name])
    for cause, counts in zip(Cause, columns["tombstones"].flatten(), strict=True):
        why = ", no telling why" if cause is Cause.UNKNOWN else f": {cause.name.lower().replace('_', ' ')}?"
        yield f"offset gone{why}", f"offsets gone{why}", np.asarray(counts)
    densest = np.asarray(columns["most_generations_an_hour"])
    yield "generation in an hour", "generations in an hour", np.where(densest >= _STORM, densest, 0)


def _an_hour(count: int, lasted: int | None) -> float | None:
    return count * _HOUR_MS / lasted if lasted else None
