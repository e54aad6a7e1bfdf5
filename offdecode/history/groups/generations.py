"""Generations as they happen to rows: who was in each, who came and went, which partitions moved; and a summary."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from offdecode.history.groups.images import Assigned, Assignment, Generation, GroupImage, Member
from offdecode.history.spans import difference
from offdecode.schemas.history_rows import DEAD, GENERATION_ROW, GENERATION_SUMMARY_ROW

Row = dict[str, Any]
TopicNames = Mapping[str, str]

_PARTITION = tuple[str | None, str | None, int]  # topic (by name, where known), subtopology, partition


class GenerationRows:
    """Makes the row of each generation. topic_names: {topic id: name}, which may grow meanwhile."""

    def __init__(self, topic_names: TopicNames) -> None:
        self._names = topic_names
        self._last: dict[tuple[int | None, str], int | None] = {}  # when the group's last generation was opened

    def row(self, event: Generation) -> Row:
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
            **self._changes(image, previous),
            "turned_from": previous.group_type if previous and previous.group_type != image.group_type else None,
            "since_previous_ms": difference(event.log_timestamp, before),
            "missing_before": missing,
            "missing_reason": reason,
        }

    def _changes(self, image: GroupImage, previous: GroupImage | None) -> Row:
        then = {member.member_id: member for member in previous.members} if previous else {}
        now = {member.member_id: member for member in image.members}
        places = {member.instance_id: member for member in then.values() if member.instance_id is not None}
        predecessor = {
            member.member_id: places[member.instance_id]
            for member in image.members
            if member.member_id not in then and member.instance_id in places
            and places[member.instance_id].member_id not in now
        }  # fmt: skip
        replaced = {member.member_id for member in predecessor.values()}
        return {
            "members": [
                self._member(member, then.get(member.member_id) or predecessor.get(member.member_id))
                for member in image.members
            ],
            "joined": [name for name in now if name not in then and name not in predecessor],
            "left": [
                {**_identity(member), "lost": assignment_rows(member.assignment)}
                for name, member in then.items()
                if name not in now and name not in replaced
            ],
            "replaced": [
                {"instance_id": old.instance_id, "old_member_id": old.member_id, "member_id": name}
                for name, old in predecessor.items()
            ],
            "changed": [name for name in now if name in then and _wishes(now[name]) != _wishes(then[name])],
        }

    def _member(self, member: Member, before: Member | None) -> Row:
        had = before.assignment if before is not None else ()
        moved = member.assignment is not None and had is not None
        return {
            **_identity(member),
            "member_epoch": member.member_epoch,
            "subscribed_topics": member.subscribed_topics,
            "subscribed_regex": member.subscribed_regex,
            "rebalance_timeout_ms": member.rebalance_timeout_ms,
            "session_timeout_ms": member.session_timeout_ms,
            "assignment": assignment_rows(member.assignment),
            "target": assignment_rows(member.target),
            "gained": assignment_rows(self._beyond(member.assignment, had)) if moved else None,
            "lost": assignment_rows(self._beyond(had, member.assignment)) if moved else None,
        }

    def _beyond(self, assignment: Assignment | None, other: Assignment | None) -> Assignment:
        """The part of an assignment that the other has not."""
        known = {self._key(item, partition) for item in other or () for partition in item.partitions}
        rest = (
            Assigned(item.topic, item.topic_id, item.subtopology, tuple(
                partition for partition in item.partitions if self._key(item, partition) not in known
            ))
            for item in assignment or ()
        )  # fmt: skip
        return tuple(item for item in rest if item.partitions)

    def _key(self, item: Assigned, partition: int) -> _PARTITION:
        topic = item.topic if item.topic_id is None else self._names.get(item.topic_id, item.topic_id)
        return topic, item.subtopology, partition


def _identity(member: Member) -> Row:
    return {
        "member_id": member.member_id,
        "instance_id": member.instance_id,
        "client_id": member.client_id,
        "client_host": member.client_host,
    }


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


class GenerationSummary:
    """Counts over the rows of generations, one row per group in the end."""

    def __init__(self) -> None:
        self._groups: dict[tuple[int | None, str], _Numbers] = {}
        self._had_members: set[tuple[int | None, str]] = set()

    def add(self, row: Row) -> None:
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
            if row["generation"] not in (0, numbers.last_generation):
                numbers.rebalances += 1
            numbers.last_generation = row["generation"]
        numbers.missing += row["missing_before"]
        numbers.joins += len(row["joined"])
        numbers.leaves += len(row["left"])
        numbers.replacements += len(row["replaced"])
        numbers.most_members = max(numbers.most_members, len(row["members"]))

    def rows(self) -> list[Row]:
        return [self._row(key, numbers) for key, numbers in sorted(self._groups.items(), key=_by_partition)]

    def _row(self, key: tuple[int | None, str], numbers: _Numbers) -> Row:
        lasted = difference(numbers.last_timestamp, numbers.first_timestamp)
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
