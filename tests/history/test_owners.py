"""Who held a commit's partition, against a plain reading of the same rows one after the other."""

from __future__ import annotations

import random
from typing import Any

import pytest

from offdecode.history.groups.classic_members import ClassicMembers
from offdecode.history.movements.with_generation import WithGeneration
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
        self._held: dict[Key, tuple[str, int]] = {}
        self._number: dict[str, int] = {}  # the generation or epoch of each group that there is
        self._turned: set[str] = set()  # groups that are consumer groups
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


@pytest.mark.parametrize("kept", [1, 3, 1 << 16])
@pytest.mark.parametrize("rows_a_chunk", [1, 7, 60, 400])
@pytest.mark.parametrize("seed", range(6))
def test_owners_are_those_of_a_plain_reading(
    seed: int, rows_a_chunk: int, kept: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """kept: so many members are known, then it begins anew."""
    monkeypatch.setattr("offdecode.history.movements.rosters._MOST_KNOWN", kept)
    monkeypatch.setattr(ClassicMembers.__init__, "__defaults__", (kept,))
    log, adder = Log(seed), WithGeneration({})
    found = []
    for start in range(0, len(log.rows), rows_a_chunk):
        chunk = adder.add(chunk_of(log.rows[start : start + rows_a_chunk]))
        if "offset_commit" in chunk.batches:
            found += chunk.batches["offset_commit"].to_pylist()
    told = [(row["owner"] and row["owner"]["member_id"], row["generation"]) for row in found]
    assert list(enumerate(told)) == list(enumerate(log.expected))
