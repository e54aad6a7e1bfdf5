"""The state of broker-written logs, against what the brokers themselves served and what the workloads had written."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest

from offdecode.history.offsets.commits import WithTexts
from offdecode.history.offsets.moment import AsOf, Cut
from offdecode.history.offsets.replay import OffsetReplay
from offdecode.history.offsets.rules import Coordinator
from offdecode.model import DecodedChunk, rows_of
from offdecode.schemas.state_rows import COMMITTED_ROW, GROUP_ROW
from tests.asking import a_request, decode, no_problem, state
from tests.journals import Key, Write, replayed_journal
from tests.truth import LogSet, Row, log_sets, set_id

Value = tuple[int, str | None]

# What the log cannot tell, and why. Old coordinators (up to 3.9): a deletion drops what is pending without leaving a
# record where there is no committed offset: a topic is deleted, or OffsetDelete names a key that has none.
_NO_RECORD = "deleted without a record while only a pending offset was there"
KNOWN: dict[str, dict[tuple[str, str], str]] = {
    "kafka-3.9.1-classic": {("mail_out-v2-50.txn", "txdoomed-f6e6e68b"): _NO_RECORD},
    "kafka-3.9.1-transactions": {
        ("geo-enrich-blue-12.txn", "txdoomed-96eb9bd8"): _NO_RECORD,
        ("mail_out-eu-west-9.txn", "txdoomed-f517d8e"): _NO_RECORD,
        ("mail_out-eu-west-9.txn", "txdoomed-53227a57"): _NO_RECORD,
        ("mail_out-v2-12.txn", "txdoomed-d18becff"): _NO_RECORD,
        ("order-1-195-deleted-without-earlier-commit-commit", "orders"): _NO_RECORD,
        ("order-1-195-topic-deleted", "doomed-order-1-195"): _NO_RECORD,
        ("order-2-756-deleted-without-earlier-commit-commit", "orders"): _NO_RECORD,
        ("order-2-756-topic-deleted", "doomed-order-2-756"): _NO_RECORD,
    },
}
# Captures behind a restart: what was written before it was loaded, the rest was lived through.
_RESTARTED = {("kafka-3.9.1-transactions", name): "state-life1.json" for name in ("state.json", "state-life2.json")}
# Groups that the workload's Java clients used and nobody asked the broker for.
_NOT_ASKED = {"kafka-0.9-magic0": {"java-group-0", "java-group-1", "java-group-2"}}


def captures() -> Iterator[Any]:
    for log_set in log_sets():
        for path in sorted(log_set.truth.glob("state*.json")):
            yield pytest.param(log_set, path.name, id=f"{set_id(log_set)}/{path.name}")


def served(capture: Row) -> dict[Key, Value]:
    """The committed offsets that the broker served."""
    found: dict[Key, Value] = {}
    if isinstance(capture["groups"], dict):  # the older sets
        for group, entry in capture["groups"].items():
            found |= {(group, topic, partition): (offset, text) for topic, partition, offset, text in entry["offsets"]}
    else:
        for entry in capture["groups"]:
            for item in entry.get("offsets") or ():
                key = entry["group"], item["topic"], item["partition"]
                found[key] = item["offset"], item["metadata"]
    return found


def groups_in(log_set: LogSet) -> set[str]:
    """The groups that have records in the set: a fixture may have fewer partitions than its broker had."""
    keys = [record["key"] for record in log_set.records if record.get("key")]
    return {key.get("group", key.get("groupId")) for key in keys} - {None}


def old_coordinator(log_set: LogSet) -> bool:
    return not log_set.folder.name.startswith("kafka-4")


def told(log_set: LogSet, coordinator: Coordinator, ends: dict[str, int] | None) -> Iterator[tuple[str, Row]]:
    """Our rows of the state, in every partition behind the last record before `ends`."""
    moments: list[tuple[tuple[int, ...], dict[str, Any]]] = [((), {})]
    if ends is not None:
        moments = [((int(number),), {"as_of_offset": (int(number), end - 1)}) for number, end in ends.items()]
    for partitions, as_of in moments:
        if partitions and not (log_set.log / f"__consumer_offsets-{partitions[0]}").exists():
            continue  # a fixture with fewer partitions
        request = a_request(log_set.log, log_partitions=partitions)
        for chunk in state(request, coordinator=coordinator.value, **as_of):
            for name, batch in chunk:
                yield from ((name, row) for row in rows_of(batch, batch.schema.names))


def offsets_of(rows: list[tuple[str, Row]]) -> dict[Key, tuple[Value, Row]]:
    return {
        (row["group"], row["topic"], row["partition"]): ((row["offset"], row["metadata"]), row)
        for name, row in rows if name == COMMITTED_ROW
    }  # fmt: skip


@pytest.mark.parametrize(("log_set", "name"), list(captures()))
def test_committed_offsets_are_what_the_broker_served(log_set: LogSet, name: str) -> None:
    set_name = log_set.folder.name
    capture = json.loads((log_set.truth / name).read_text("utf-8"))
    ends = capture.get("log_end_offsets")
    old = old_coordinator(log_set)
    rows = list(told(log_set, Coordinator.OLD_LIVE if old else Coordinator.NEW, ends))
    ours, theirs = offsets_of(rows), served(capture)
    here = groups_in(log_set) - _NOT_ASKED.get(set_name, set())
    before = {}
    if (set_name, name) in _RESTARTED:
        loaded = json.loads((log_set.truth / _RESTARTED[set_name, name]).read_text("utf-8"))["log_end_offsets"]
        before = {
            key: value for key, value in offsets_of(list(told(log_set, Coordinator.OLD_LOAD, ends))).items()
            if value[1]["log_offset"] < loaded[str(value[1]["log_partition"])]
        }  # fmt: skip
    unexplained = {}
    for key in ours.keys() | theirs.keys() | before.keys():
        mine = ours.get(key) or before.get(key)
        their = theirs.get(key)
        if their is not None and their[1] is None and old:
            their = their[0], ""  # 0.8 and 0.9 answer null where the log has ""
        known = key[:2] in KNOWN.get(set_name, {}) and their is None
        if key[0] in here and (mine and mine[0]) != their and not known:
            unexplained[key] = mine, their
    assert unexplained == {}
    assert len(theirs.keys() & ours.keys()) > 10


@pytest.mark.parametrize("log_set", [item for item in log_sets() if (item.truth / "state.json").exists()], ids=set_id)
def test_every_group_that_the_broker_knows_is_told(log_set: LogSet) -> None:
    capture = json.loads((log_set.truth / "state.json").read_text("utf-8"))
    groups = capture["groups"]
    if isinstance(groups, dict):
        entries = {name: entry.get("describe") or {} for name, entry in groups.items()}
        alive = {name for name, entry in entries.items() if entry.get("state") != "Dead" or groups[name]["offsets"]}
    else:
        alive = {entry["group"] for entry in groups}
    rows = {row["group"]: row for name, row in told(log_set, Coordinator.NEW, None) if name == GROUP_ROW}
    assert alive & groups_in(log_set) <= rows.keys()
    surplus = rows.keys() - alive - _NOT_ASKED.get(log_set.folder.name, set())
    assert all((name, item["topic"]) in KNOWN[log_set.folder.name]
               for name in surplus for item in [*_topics(log_set, name)])  # fmt: skip


def _topics(log_set: LogSet, group: str) -> Iterator[Row]:
    rows = told(log_set, Coordinator.NEW, None)
    return (row for name, row in rows if name == COMMITTED_ROW and row["group"] == group)


@cache
def decoded(log_set: LogSet) -> dict[int, list[DecodedChunk]]:
    """The chunks of each log partition."""
    found: dict[int, list[DecodedChunk]] = defaultdict(list)
    for chunk in decode(a_request(log_set.log), no_problem):
        if chunk.row_count:
            batch = next(iter(chunk.batches.values()))
            found[batch.column("log_partition")[0].as_py()].append(chunk)
    return found


_MARGIN_MS = 1000  # a workload's clock tells a little later what the broker wrote a little earlier
_MOMENTS = 20


def journalled_keys(log_set: LogSet) -> dict[Key, list[Write]]:
    """The keys whose every write in the log is journalled, and only those, each with its writes."""
    names = ("group", "topic", "partition", "offset", "metadata", "tombstone", "transaction", "log_timestamp",
             "commit_timestamp")  # fmt: skip
    rows: dict[Key, list[Row]] = defaultdict(list)
    for chunks in decoded(log_set).values():
        for chunk in chunks:
            for row in rows_of(chunk.batches["offset_commit"], names) if "offset_commit" in chunk.batches else ():
                if row["transaction"] in (None, "committed"):
                    rows[row["group"], row["topic"], row["partition"]].append(row)
    found = {}
    journal = replayed_journal(log_set)
    ordered = "ts" in next(log_set.lines("journal.jsonl.gz"))
    for key, writes in journal.writes.items():
        mine = Counter(None if row["tombstone"] else (row["offset"], row["metadata"]) for row in rows[key])
        # Message format 0 has no times, and OffsetCommit v1 lets a client name its own.
        untimed = [row for row in rows[key] if row["log_timestamp"] is None]
        own_clock = any(
            row["tombstone"] or all(abs(row["commit_timestamp"] - write.time) > _MARGIN_MS for write in writes)
            for row in untimed
        )
        # The older journals do not tell the order of a transaction's commits and what was committed meanwhile.
        unordered = not ordered and any(
            one.transactional and one is not other and abs(one.time - other.time) < _MARGIN_MS
            for one in writes for other in writes
        )  # fmt: skip
        known = key[:2] in KNOWN.get(log_set.folder.name, {})
        if mine == Counter(write.value for write in writes) and not own_clock and not unordered and not known:
            found[key] = journal.states[key]
    return found


@pytest.mark.parametrize(
    "log_set", [item for item in log_sets() if item.journal and "compacted" not in item.folder.name], ids=set_id
)
def test_earlier_moments_equal_a_replay_of_the_journal(log_set: LogSet) -> None:
    keys = journalled_keys(log_set)
    if not keys:
        pytest.skip("the journal tells every write of no key")
    times = sorted(write.time for writes in keys.values() for write in writes)
    coordinator = Coordinator.OLD_LIVE if old_coordinator(log_set) else Coordinator.NEW
    compared, wrong = 0, []
    for number in range(1, _MOMENTS):
        moment = times[len(times) * number // _MOMENTS]
        ours: dict[Key, Value] = {}
        for chunks in decoded(log_set).values():
            cut, replay = Cut(AsOf(moment)), OffsetReplay()
            for chunk in chunks:
                replay.add(cut.cut(chunk))
            for row in WithTexts(replay.codes).rows(replay.committed(coordinator).rows).to_pylist():
                ours[row["group"], row["topic"], row["partition"]] = row["offset"], row["metadata"]
        for key, writes in keys.items():
            if all(abs(write.time - moment) >= _MARGIN_MS for write in writes):
                expected = [write.value for write in writes if write.time < moment]
                compared += 1
                if ours.get(key) != (expected[-1] if expected else None):
                    wrong.append((key, moment, ours.get(key), expected[-1:]))
    assert wrong == []
    assert compared > 0 or len(keys) < 5, len(keys)
