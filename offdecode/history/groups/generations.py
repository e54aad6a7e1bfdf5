"""Generations as they happen to rows: who was in each, who came and went, which partitions moved; and a summary."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from offdecode.history.groups.images import (
    Assigned,
    Assignment,
    Generation,
    GroupEvent,
    GroupImage,
    Member,
    is_rebalance,
)
from offdecode.history.groups.member_columns import Standings, member_column
from offdecode.history.spans import difference
from offdecode.model import DecodedChunk, rows_of
from offdecode.schemas.history_rows import DEAD, GENERATION_ROW, GENERATION_SUMMARY_ROW
from offdecode.schemas.rows import row_type

Row = dict[str, Any]
TopicNames = Mapping[str, str]

_Topic = tuple[str | None, str | None]  # topic (by name, where known), subtopology
_NOTHING: frozenset[int] = frozenset()
_MEMBERS = ("members", "left")


class GenerationRows:
    """Makes the row of each generation. topic_names: {topic id: name}, which may grow meanwhile."""

    def __init__(self, topic_names: TopicNames) -> None:
        self._names = topic_names
        self._last: dict[tuple[int | None, str], int | None] = {}  # when the group's last generation was opened
        self._known: dict[int, tuple[Assignment, dict[_Topic, frozenset[int]]]] = {}  # by identity

    def chunk(self, events: Iterable[GroupEvent]) -> Iterator[DecodedChunk]:
        """The rows of the generations among these events as a chunk; none where there are none."""
        rows: list[Row] = []
        members: dict[str, list[Standings]] = {name: [] for name in _MEMBERS}
        for event in events:
            if isinstance(event, Generation):
                row = self.row(event)
                for name, standings in members.items():
                    standings.append(row.pop(name))
                rows.append(row)
        self.end_chunk()
        if rows:
            schema = row_type(GENERATION_ROW).arrow_schema
            batch = pa.RecordBatch.from_pylist(rows, schema=schema)
            for name, standings in members.items():
                at = schema.get_field_index(name)
                batch = batch.set_column(at, schema.field(at), member_column(standings, schema.field(at).type))
            yield DecodedChunk({GENERATION_ROW: batch}, np.arange(len(rows)))

    def end_chunk(self) -> None:
        """Assignments of the chunk's generations need not be remembered any longer."""
        self._known.clear()

    def row(self, event: Generation, *, assignments: bool = True) -> Row:
        """The row of a generation, members in it as Standings. assignments: else there are only those that left."""
        image, previous = event.image, event.previous
        key = (image.log_partition, image.group)
        before = self._last.pop(key, None)
        if image.state != DEAD:
            self._last[key] = event.log_timestamp
        missing, reason = _missing(image, previous)
        settled = image.state != DEAD and all(member.reconciled is not False for member in image.members)
        return {
            "type": GENERATION_ROW,
            "group": image.group,
            "group_type": image.group_type,
            "generation": image.generation,
            "log_partition": image.log_partition,
            "log_offset": event.log_offset,
            "log_timestamp": event.log_timestamp,
            "state": image.state,
            "settled_log_offset": image.log_offset if settled else None,
            "settled_timestamp": image.log_timestamp if settled else None,
            "protocol_type": image.protocol_type,
            "protocol": image.protocol,
            "leader": image.leader,
            **self._changes(image, previous, assignments),
            "turned_from": previous.group_type if previous and previous.group_type != image.group_type else None,
            "since_previous_ms": difference(event.log_timestamp, before),
            "missing_before": missing,
            "missing_reason": reason,
        }

    def _changes(self, image: GroupImage, previous: GroupImage | None, assignments: bool) -> Row:
        then = _by_id(previous.members if previous else ())
        now = _by_id(image.members)
        gone = {name: then[name] for name in then if name not in now}
        fresh = [name for name in now if name not in then]
        predecessor = _predecessors(image.members, then, gone) if gone and fresh else {}
        replaced = {member.member_id for member in predecessor.values()}
        left = [member for name, member in gone.items() if name not in replaced]
        return {
            "members": self._standings(image.members if assignments else (), then | predecessor),
            "joined": [name for name in fresh if name not in predecessor],
            "left": Standings(left, [None] * len(left), [member.assignment for member in left]),
            "replaced": [
                {"instance_id": old.instance_id, "old_member_id": old.member_id, "member_id": name}
                for name, old in predecessor.items()
            ],
            "changed": [
                name for name, member in now.items()
                if name in then and then[name] is not member and _wishes(member) != _wishes(then[name])
            ],
        }  # fmt: skip

    def _standings(self, members: Sequence[Member], then: dict[str, Member]) -> Standings:
        """What has become of members. then: who each was before, by its id now."""
        before = list(map(then.get, map(_member_id, members)))
        gained: list[Assignment | None] = [None if member.assignment is None else () for member in members]
        lost = gained.copy()
        for at, (member, other) in enumerate(zip(members, before, strict=True)):
            if member is not other and gained[at] is not None:
                gained[at], lost[at] = self._moved(member.assignment or (), other.assignment if other else ())
        return Standings(members, gained, lost)

    def _moved(self, has: Assignment, had: Assignment | None) -> tuple[Assignment | None, Assignment | None]:
        """What is gained and lost; None where it is not known."""
        if had is None:
            return None, None
        return ((), ()) if has is had else (self._beyond(has, had), self._beyond(had, has))

    def _beyond(self, assignment: Assignment, other: Assignment) -> Assignment:
        """The part of an assignment that the other has not."""
        if not assignment or not other:
            return assignment if all(item.partitions for item in assignment) else _held(assignment)
        known = self._partitions(other)
        rest = []
        for item in assignment:
            own = known.get(self._key(item), _NOTHING)
            if own.isdisjoint(item.partitions):
                rest.append(item)
            elif not own.issuperset(item.partitions):
                left = tuple(partition for partition in item.partitions if partition not in own)
                rest.append(Assigned(item.topic, item.topic_id, item.subtopology, left))
        return _held(rest)

    def _partitions(self, assignment: Assignment) -> dict[_Topic, frozenset[int]]:
        known = self._known.get(id(assignment))
        if known is not None:
            return known[1]
        found: dict[_Topic, frozenset[int]] = {}
        for item in assignment:
            key = self._key(item)
            found[key] = found.get(key, _NOTHING).union(item.partitions)
        if all(item.topic_id is None for item in assignment):  # else names may come that make it another
            self._known[id(assignment)] = assignment, found
        return found

    def _key(self, item: Assigned) -> _Topic:
        topic = item.topic if item.topic_id is None else self._names.get(item.topic_id, item.topic_id)
        return topic, item.subtopology


_member_id = attrgetter("member_id")


def _predecessors(members: Iterable[Member], then: dict[str, Member], gone: dict[str, Member]) -> dict[str, Member]:
    """Whose place, that of a static member, each new member has taken, by its id."""
    places = {member.instance_id: member for member in then.values() if member.instance_id is not None}
    return {
        member.member_id: places[member.instance_id]
        for member in members
        if member.member_id not in then and member.instance_id in places
        and places[member.instance_id].member_id in gone
    }  # fmt: skip


def _by_id(members: Sequence[Member]) -> dict[str, Member]:
    return dict(zip(map(_member_id, members), members, strict=True))


def _held(assignment: Iterable[Assigned]) -> Assignment:
    """Without topics of which there is no partition."""
    return tuple(item for item in assignment if item.partitions)


def _wishes(member: Member) -> tuple[Any, ...]:
    topics = None if member.subscribed_topics is None else frozenset(member.subscribed_topics)
    timeouts = member.rebalance_timeout_ms, member.session_timeout_ms
    return member.client_id, member.client_host, topics, member.subscribed_regex, timeouts


def assignment_rows(assignment: Iterable[Assigned] | None) -> list[Row] | None:
    """An assignment as rows show it."""
    if assignment is None:
        return None
    return [
        {
            "topic": item.topic,
            "topic_id": item.topic_id,
            "subtopology": item.subtopology,
            "partitions": item.partitions,
        }
        for item in assignment
    ]


# Numbers that the first record of a group can have. Classic: 0 from the new coordinator, 1 from the old one.
# Epochs: 1 up to Kafka 4.0, 2 in later ones.
_FIRST = {"classic": 1, "consumer": 2, "share": 2, "streams": 2}


def _missing(image: GroupImage, previous: GroupImage | None) -> tuple[int, str | None]:
    """How many generations are missing before this one, and what that can mean."""
    number = image.generation
    if number is None:
        return 0, None
    last = None if previous is None else previous.generation
    if last is None and number <= _FIRST[image.group_type]:
        return 0, None
    missing = number - (0 if last is None else last) - 1
    if missing <= 0:
        return 0, None
    if image.group_type == "classic":
        reason = "rebalances that failed, which leave no record, or records that are not in the evidence"
    else:
        reason = "records that are not in the evidence, for every epoch leaves one"
    return missing, f"{reason}: cleaned away, or in segments that are not here"


@dataclass(slots=True)
class _Numbers:
    """The numbers of one group; times in milliseconds."""

    group_type: str
    state: str = ""
    first_timestamp: int | None = None
    last_timestamp: int | None = None
    first_generation: int | None = None
    last_generation: int | None = None
    rebalances: int = 0
    missing: int = 0
    joins: int = 0
    leaves: int = 0
    replacements: int = 0
    most_members: int = 0
    longest_stable_ms: int | None = None


_SUMMED = (
    "group", "group_type", "generation", "log_partition", "log_timestamp", "state", "since_previous_ms",
    "missing_before",
)  # fmt: skip
_COUNTED = ("members", "joined", "left", "replaced")


class GenerationSummary:
    """Counts over the rows of generations, one row per group in the end."""

    def __init__(self) -> None:
        self._groups: dict[tuple[int | None, str], _Numbers] = {}
        self._had_members: set[tuple[int | None, str]] = set()
        self._between: dict[tuple[int | None, str], tuple[int, int]] = {}  # first and last time of rebalances

    def add(self, chunk: DecodedChunk) -> None:
        """Take a chunk of generations."""
        batch = chunk.batches[GENERATION_ROW]
        rows = rows_of(batch, _SUMMED)
        counts = (pc.list_value_length(batch.column(name)).to_pylist() for name in _COUNTED)
        for row, *lengths in zip(rows, *counts, strict=True):
            self._add({**row, **dict(zip(_COUNTED, lengths, strict=True))})

    def _add(self, row: Row) -> None:
        """Take a generation; of its lists, the lengths."""
        key = (row["log_partition"], row["group"])
        numbers = self._groups.setdefault(key, _Numbers(row["group_type"]))
        stable = row["since_previous_ms"] if key in self._had_members else None
        if stable is not None:
            numbers.longest_stable_ms = max(numbers.longest_stable_ms or 0, stable)
        if row["members"]:
            self._had_members.add(key)
        else:
            self._had_members.discard(key)
        numbers.group_type, numbers.state = row["group_type"], row["state"]
        if row["log_timestamp"] is not None:
            if numbers.first_timestamp is None:
                numbers.first_timestamp = row["log_timestamp"]
            numbers.last_timestamp = row["log_timestamp"]
        if row["generation"] is not None:
            if numbers.first_generation is None:
                numbers.first_generation = row["generation"]
            if is_rebalance(row["generation"], numbers.last_generation):
                numbers.rebalances += 1
                if row["log_timestamp"] is not None:
                    first, _ = self._between.get(key, (row["log_timestamp"], 0))
                    self._between[key] = first, row["log_timestamp"]
            numbers.last_generation = row["generation"]
        numbers.missing += row["missing_before"]
        numbers.joins += row["joined"]
        numbers.leaves += row["left"]
        numbers.replacements += row["replaced"]
        numbers.most_members = max(numbers.most_members, row["members"])

    def rows(self) -> list[Row]:
        return [self._row(key, numbers) for key, numbers in sorted(self._groups.items(), key=_by_partition)]

    def _row(self, key: tuple[int | None, str], numbers: _Numbers) -> Row:
        first, last = self._between.get(key, (None, None))
        lasted = difference(last, first)
        changes = numbers.joins + numbers.leaves
        fields = {name: getattr(numbers, name) for name in _Numbers.__slots__}
        return {
            "type": GENERATION_SUMMARY_ROW,
            "log_partition": key[0],
            "group": key[1],
            **fields,
            "rebalances_per_hour": numbers.rebalances * 3_600_000 / lasted if lasted else None,
            "churn": changes / numbers.rebalances if numbers.rebalances else None,
        }


def _by_partition(item: tuple[tuple[int | None, str], _Numbers]) -> tuple[int, str]:
    partition, group = item[0]
    return -1 if partition is None else partition, group
