"""Who held a commit's partition, against a plain reading of the same rows one after the other."""

from __future__ import annotations

import random
from typing import Any

import pytest

from offdecode.history.groups.classic_members import ClassicMembers
from offdecode.history.movements.with_generation import WithGeneration
from offdecode.history.topic_names import TopicNames
from tests.chunks import chunk_of

Row = dict[str, Any]
Key = tuple[str, str, int]
_GROUPS, _TOPICS, _PARTITIONS = ("a", "b", "c"), ("x", "y"), range(4)
_IDS = {"x": "x" * 22, "y": "y" * 22}


class Log:
    """Rows of records, each with what held its partition as it came."""

    def __init__(self, seed: int) -> None:
        self._chosen = random.Random(seed)
        self.rows: list[Row] = []
        self.expected: list[tuple[str | None, int | None]] = []
        self._held: dict[Key, tuple[str, int | None]] = {}
        self._number: dict[str, int] = {}  # the generation or epoch of each group that there is
        self._turned: set[str] = set()  # groups that are consumer groups
        self._fill()

    def _fill(self) -> None:
        while len(self.rows) < 400:
            self._chosen.choices((self._commit, self._generation, self._end, self._turn), (12, 4, 1, 1))[0]()

    def _add(self, row_type: str, group: str, **values: Any) -> None:
        at = len(self.rows)
        self.rows.append({
            "type": row_type, "log_partition": 0, "log_offset": at, "log_timestamp": 1000 * at, "tombstone": False,
            "group": group, **values,
        })  # fmt: skip

    def _commit(self) -> None:
        chosen = self._chosen
        group, topic, partition = chosen.choice(_GROUPS), chosen.choice(_TOPICS), chosen.choice(_PARTITIONS)
        self._add("offset_commit", group, topic=topic, partition=partition, offset=len(self.rows), metadata="")
        self.expected.append(self._held.get((group, topic, partition), (None, self._number.get(group))))

    def _generation(self) -> None:
        """A classic one. Members may list the same partition: then the last one holds it."""
        group, chosen = self._chosen.choice(_GROUPS), self._chosen
        self._free(group)
        generation = len(self.rows)
        self._number[group] = generation
        self._turned.discard(group)
        members = []
        for name in chosen.sample("mnop", chosen.randrange(5)):
            parts: list[dict[str, Any]] = [
                {"topic": topic, "partitions": chosen.sample(_PARTITIONS, chosen.randrange(4))}
                for topic in chosen.sample(_TOPICS, chosen.randrange(3))
            ]
            listed = [(part["topic"], partition) for part in parts for partition in part["partitions"]]
            self._held |= {(group, topic, partition): (name, generation) for topic, partition in listed}
            members.append({
                "member_id": name, "client_id": "c", "client_host": "/h", "rebalance_timeout": 1, "session_timeout": 1,
                "subscription": {"version": 0, "topics": list(_TOPICS)},
                "assignment": {"version": 0, "assigned_partitions": parts},
            })  # fmt: skip
        self._add("group_metadata", group, generation=generation, protocol_type="consumer", members=members)

    def _end(self) -> None:
        """Only a group without members is deleted."""
        group = self._chosen.choice(_GROUPS)
        if group in self._number.keys() - self._turned:
            self._free(group)
            self._add("group_metadata", group, generation=self._number[group] + 1, protocol_type="consumer", members=[])
            del self._number[group]
            self._add("group_metadata", group, tombstone=True)

    def _turn(self) -> None:
        """A classic group turns into a consumer group, which is told member by member, and back."""
        group = self._chosen.choice(_GROUPS)
        if group not in self._number.keys() - self._turned:
            return
        self._turned.add(group)
        self._free(group)
        epoch = len(self.rows)
        self._add("group_metadata", group, tombstone=True)
        # One append: the same time, the next offset.
        self._add("consumer_group_metadata", group, epoch=epoch, log_timestamp=1000 * epoch)
        assigned = [{"topic_id": _IDS["x"], "partitions": [0, 1]}]
        self._add("consumer_group_partition_metadata", group, topics=[
            {"topic_id": one, "topic_name": topic, "num_partitions": 4} for topic, one in _IDS.items()
        ])  # fmt: skip
        self._add("consumer_group_member_metadata", group, member_id="q", client_id="c", client_host="/h")
        self._add("consumer_group_target_assignment_metadata", group, assignment_epoch=epoch)
        self._add("consumer_group_target_assignment_member", group, member_id="q", topic_partitions=assigned)
        self._add("consumer_group_current_member_assignment", group, member_id="q", member_epoch=epoch, state=0,
                  assigned_partitions=assigned, partitions_pending_revocation=[])  # fmt: skip
        for partition in (0, 1):
            self._held[group, "x", partition] = "q", epoch
        self._number[group] = epoch
        for _ in range(3):
            self._commit()

    def _free(self, group: str) -> None:
        self._held = {key: holder for key, holder in self._held.items() if key[0] != group}


class MembersLog(Log):
    """Of consumer groups whose members change one by one: some hold the same partitions, some leave or come back."""

    def __init__(self, seed: int) -> None:
        self._of_member: dict[tuple[str, str], tuple[set[Key], int]] = {}  # what each holds since which epoch
        self._subscribed: dict[tuple[str, str], tuple[str, ...]] = {}
        self._held_as: dict[tuple[str, str], tuple[str, ...] | None] = {}
        super().__init__(seed)

    def _fill(self) -> None:
        steps = (self._commit, self._epoch, self._hold, self._leave, self._subscribe)
        for group in _GROUPS:
            self._add("consumer_group_partition_metadata", group, topics=[
                {"topic_id": one, "topic_name": topic, "num_partitions": 4} for topic, one in _IDS.items()
            ])  # fmt: skip
            self._epoch(group)
        while len(self.rows) < 400:
            step = self._chosen.choices(steps, (6, 1, 6, 1, 1))[0]
            step()

    def _epoch(self, group: str | None = None) -> None:
        group = group or self._chosen.choice(_GROUPS)
        self._number[group] = len(self.rows)
        self._add("consumer_group_metadata", group, epoch=len(self.rows))

    def _hold(self) -> None:
        chosen = self._chosen
        group, name = chosen.choice(_GROUPS), chosen.choice("mnop")
        epoch = chosen.choice((self._number[group], self._number[group], 1, -2))
        assigned, revoked = (
            {topic: chosen.sample(_PARTITIONS, chosen.randrange(4)) for topic in chosen.sample(_TOPICS, count)}
            for count in (chosen.randrange(3), chosen.choice((0, 0, 1)))
        )
        self._add("consumer_group_current_member_assignment", group, member_id=name, member_epoch=epoch, state=0,
                  assigned_partitions=_by_id(assigned), partitions_pending_revocation=_by_id(revoked))  # fmt: skip
        keys = {
            (group, topic, partition)
            for parts in (assigned, revoked) for topic, partitions in parts.items() for partition in partitions
        }  # fmt: skip
        self._held_as[group, name] = self._subscribed.get((group, name))
        self._take(group, name, keys, epoch)

    def _take(self, group: str, name: str, keys: set[Key], epoch: int) -> None:
        """What a member holds no longer is free, unless another one has it already."""
        before, _ = self._of_member.pop((group, name), (set(), 0))
        for key in before - keys:
            if key in self._held and self._held[key][0] == name:
                del self._held[key]
        self._of_member[group, name] = keys, epoch
        self._held |= dict.fromkeys(keys, (name, None if epoch == -2 else epoch))

    def _leave(self) -> None:
        group, name = self._chosen.choice(_GROUPS), self._chosen.choice("mnop")
        for kind in ("current_member_assignment", "target_assignment_member", "member_metadata"):
            self._add(f"consumer_group_{kind}", group, member_id=name, tombstone=True)
        self._take(group, name, set(), 0)
        self._of_member.pop((group, name), None)
        self._subscribed.pop((group, name), None)
        self._held_as.pop((group, name), None)

    def _subscribe(self) -> None:
        """A member that subscribes to something else has what it holds again, though another has it."""
        group, name = self._chosen.choice(_GROUPS), self._chosen.choice("mnop")
        topics = tuple(self._chosen.sample(_TOPICS, self._chosen.randrange(3)))
        self._add("consumer_group_member_metadata", group, member_id=name, client_id="c", client_host="/h",
                  subscribed_topic_names=list(topics))  # fmt: skip
        self._subscribed[group, name] = topics
        if (group, name) in self._held_as and self._held_as[group, name] != topics:
            self._held_as[group, name] = topics
            keys, epoch = self._of_member[group, name]
            self._take(group, name, keys, epoch)

    def _commit(self) -> None:
        super()._commit()
        owner, epoch = self.expected[-1]
        if epoch is None:  # a static member that is away has none
            self.expected[-1] = owner, self._number[self.rows[-1]["group"]]


def _by_id(assigned: dict[str, list[int]]) -> list[dict[str, Any]]:
    return [{"topic_id": _IDS[topic], "partitions": partitions} for topic, partitions in assigned.items()]


@pytest.mark.parametrize("kept", [1, 3, 1 << 16])
@pytest.mark.parametrize("rows_a_chunk", [1, 7, 60, 400])
@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("kind", [Log, MembersLog])
def test_owners_are_those_of_a_plain_reading(
    kind: type[Log], seed: int, rows_a_chunk: int, kept: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """kept: so many members are known, then it begins anew."""
    monkeypatch.setattr("offdecode.history.movements.rosters._MOST_KNOWN", kept)
    monkeypatch.setattr("offdecode.history.movements.holders._MOST_KNOWN", kept)
    monkeypatch.setattr("offdecode.history.groups.group_records.MOST_KEPT", kept)
    monkeypatch.setattr(ClassicMembers.__init__, "__defaults__", (kept,))
    log, adder = kind(seed), WithGeneration(TopicNames({}))
    found = []
    for start in range(0, len(log.rows), rows_a_chunk):
        chunk = adder.add(chunk_of(log.rows[start : start + rows_a_chunk]))
        if "offset_commit" in chunk.batches:
            found += chunk.batches["offset_commit"].to_pylist()
    told = [(row["owner"] and row["owner"]["member_id"], row["generation"]) for row in found]
    assert list(enumerate(told)) == list(enumerate(log.expected))
