"""The replay of offsets, against a plain reading of each coordinator's code over random logs."""

from __future__ import annotations

import random
from collections import defaultdict

import pytest

from offdecode.history.offsets.replay import OffsetReplay
from offdecode.history.offsets.rules import Coordinator
from offdecode.history.offsets.state import LogState, Question
from offdecode.history.topic_names import TopicNames
from offdecode.model import Coverage
from tests.chunks import chunk_of
from tests.truth import Row

Key = tuple[str, str, int]


class PlainCoordinator:
    """One coordinator as its code reads, one record at a time. Offsets stand for their rows."""

    def __init__(self, coordinator: Coordinator) -> None:
        self.coordinator = coordinator
        self.committed: dict[Key, int] = {}
        self.pending: dict[int, dict[Key, Row]] = defaultdict(dict)
        self.lost: dict[Key, set[int]] = defaultdict(set)

    def take(self, row: Row) -> None:
        if row["type"] == "transaction_marker":
            for key, pending in self.pending.pop(row["producer_id"], {}).items():
                if pending["transaction"] == "unknown":
                    if self.committed.get(key, -1) < pending["log_offset"]:
                        self.lost[key].add(pending["log_offset"])
                elif row["marker"] == "commit" and self.committed.get(key, -1) < pending["log_offset"]:
                    self.commit(key, pending["log_offset"])
        elif row["type"] == "group_metadata":
            if self.coordinator is Coordinator.OLD_LIVE:
                self.forget(lambda key: key[0] == row["group"])
        else:
            self.take_offset(row, (row["group"], row["topic"], row["partition"]))

    def take_offset(self, row: Row, key: Key) -> None:
        if row["tombstone"]:
            self.committed.pop(key, None)
            self.lost.pop(key, None)  # ended before the tombstone, whichever way
            if self.coordinator is not Coordinator.OLD_LOAD:
                self.forget(lambda other: other == key)
        elif row["transaction"] is None:
            self.commit(key, row["log_offset"])
        else:
            self.pending[row["producer_id"]][key] = row

    def commit(self, key: Key, log_offset: int) -> None:
        self.committed[key] = log_offset
        self.lost[key] = {offset for offset in self.lost[key] if offset > log_offset}

    def forget(self, matches: object) -> None:
        assert callable(matches)
        for pending in self.pending.values():
            for key in [key for key in pending if matches(key)]:
                del pending[key]
        for key in [key for key in self.lost if matches(key)]:
            del self.lost[key]

    def waiting(self) -> set[int]:
        found = {row["log_offset"] for pending in self.pending.values() for row in pending.values()}
        return found.union(*self.lost.values())


def random_log(seed: int, length: int = 120) -> list[Row]:
    """Commits, tombstones, transactions of three producers, deleted groups; few keys, so that all of them meet."""
    chance = random.Random(seed)
    lost = chance.random() < 0.3
    rows: list[Row] = []
    for log_offset in range(length):
        kind = chance.choices(("commit", "transactional", "tombstone", "marker", "group"), (4, 5, 2, 3, 1))[0]
        row: Row = {"log_offset": log_offset, "log_partition": 0, "producer_id": -1, "transaction": None,
                    "tombstone": kind in ("tombstone", "group"), "group": f"g{chance.randrange(2)}"}  # fmt: skip
        if kind in ("marker", "transactional"):
            row["producer_id"] = chance.randrange(3)
        if kind == "marker":
            row |= {"type": "transaction_marker", "marker": chance.choice(("commit", "commit", "abort")), "group": None}
        elif kind == "group":
            row |= {"type": "group_metadata", "key_type": 2}
        else:
            row |= {"type": "offset_commit", "key_type": 1, "topic": "t", "partition": chance.choice((0, 1, -1))}
            if kind == "transactional":
                row["transaction"] = "unknown" if lost and chance.random() < 0.2 else "committed"
        rows.append(row)
    return rows


def pieces(rows: list[Row], seed: int) -> list[list[Row]]:
    chance = random.Random(seed)
    cuts = sorted(chance.sample(range(1, len(rows)), chance.randrange(6)))
    return [rows[a:b] for a, b in zip([0, *cuts], [*cuts, len(rows)], strict=True)]


@pytest.mark.parametrize("superseded", [-1 << 18, 1 << 18], ids=["compact_always", "compact_late"])
def test_replay_follows_each_coordinators_code(superseded: int) -> None:
    differing = 0
    for seed in range(60):
        rows = random_log(seed)
        replay = OffsetReplay(superseded)
        for piece in pieces(rows, seed):
            replay.add(chunk_of(piece))
        plain = {coordinator: PlainCoordinator(coordinator) for coordinator in Coordinator}
        for coordinator, told in plain.items():
            for row in rows:
                told.take(row)
            committed = replay.committed(coordinator).rows.column("log_offset").to_pylist()
            waiting = replay.waiting(coordinator).rows.column("log_offset").to_pylist()
            assert sorted(committed) == sorted(told.committed.values()), (seed, coordinator)
            assert sorted(waiting) == sorted(told.waiting()), (seed, coordinator)
        expected = {
            key for told in plain.values() for key in told.committed
            if len({other.committed.get(key) for other in plain.values()}) > 1
        }  # fmt: skip
        found = list(replay.differences())
        assert {(item.group, item.topic, item.partition) for item in found} == expected, seed
        for item in found:
            for coordinator, held in item.committed.items():
                key = item.group, item.topic, item.partition
                assert (held and held["log_offset"]) == plain[coordinator].committed.get(key), seed
        differing += bool(found)
    assert differing > 10


def test_differences_are_in_the_order_of_topics_and_partitions() -> None:
    several = 0
    for seed in range(60):
        chance = random.Random(seed)
        rows = [
            row if row["type"] != "offset_commit" else row | {"topic": chance.choice("tu"), "group": "g0"}
            for row in random_log(seed)
        ]
        state = LogState(Question(), TopicNames({}))
        for piece in pieces(rows, seed):
            state.add(chunk_of(piece))
        for chunk in state.chunks(Coverage(0), None):
            groups = chunk.batches.get("group")
            for told in [] if groups is None else groups.column("differences").to_pylist():
                keys = [(one["topic"], one["partition"]) for one in told or ()]
                assert keys == sorted(keys), seed
                several += len(keys) > 1
    assert several > 3
