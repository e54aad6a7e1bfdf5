"""Journals of the sets to what each key's committed offset was when: the workload's own account, in its own clock."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Any, NamedTuple

from tests.truth import LogSet, Row

Key = tuple[str, str, int]
Value = tuple[int, str]  # offset, metadata
_COMMITS = ("commit-sync", "commit-async", "commit-auto", "rewind-commit", "assign-commit", "raw-commit")
_RESETS = ("admin-alter", "admin-reset")


class Write(NamedTuple):
    """What became of a key at a time: an offset and its metadata, or None for a deletion."""

    time: int
    value: Value | None
    transactional: bool = False


class JournalReplay:
    """What was written to each key, and what it then was, by the order in which the broker took the requests."""

    def __init__(self) -> None:
        self.writes: dict[Key, list[Write]] = defaultdict(list)  # everything that left a record
        self.states: dict[Key, list[Write]] = defaultdict(list)  # everything that changed what a consumer would get
        self._number = 0
        self._latest: dict[Key, int] = {}  # number of the request that set the committed offset
        self._open: dict[str, dict[Key, tuple[int, Value]]] = defaultdict(dict)

    def commit(self, time: int, key: Key, value: Value) -> None:
        self._number += 1
        self.writes[key].append(Write(time, value))
        self._set(time, key, value, self._number)

    def transactional(self, transaction: str, key: Key, value: Value) -> None:
        self._number += 1
        self._open[transaction][key] = self._number, value

    def end(self, time: int, transaction: str, *, committed: bool) -> None:
        for key, (number, value) in self._open.pop(transaction, {}).items():
            if committed:
                self.writes[key].append(Write(time, value, transactional=True))
                if number > self._latest.get(key, -1):
                    self._set(time, key, value, number)

    def delete(self, time: int, key: Key) -> None:
        for pending in self._open.values():
            lost = pending.pop(key, None)
            if lost is not None:  # its record stands in the log, and will look committed
                self.writes[key].append(Write(time, lost[1], transactional=True))
        if key in self._latest:
            self.writes[key].append(Write(time, None))
            self._set(time, key, None, -1)
            del self._latest[key]

    def delete_group(self, time: int, group: str) -> None:
        for key in {*self._latest, *(key for pending in self._open.values() for key in pending)}:
            if key[0] == group:
                self.delete(time, key)

    def _set(self, time: int, key: Key, value: Value | None, number: int) -> None:
        self._latest[key] = number
        self.states[key].append(Write(time, value))


def replayed_journal(log_set: LogSet) -> JournalReplay:
    """The journal of a set, as far as the broker said that it had taken what was asked."""
    replay = JournalReplay()
    for entry in log_set.journal:
        if "t" in entry:
            _take_old(replay, entry)
        elif entry.get("result") in ("ok", "NONE"):
            _take(replay, entry)
    return replay


def _take(replay: JournalReplay, entry: Row) -> None:
    action, time = entry["action"], entry["ts"]
    if action in ("txn-commit", "txn-abort", "txn-init"):  # a new producer's start aborts what the id has open
        replay.end(time, entry["transactional_id"], committed=action == "txn-commit")
    elif action == "delete-group":
        replay.delete_group(time, entry["group"])
    elif action in (*_COMMITS, "txn-offset", "delete-offsets") or action.startswith(_RESETS):
        key = entry["group"], entry["topic"], entry["partition"]
        if action == "delete-offsets":
            replay.delete(time, key)
        elif action == "txn-offset":
            replay.transactional(entry["transactional_id"], key, (entry["offset"], entry["metadata"] or ""))
        else:
            replay.commit(time, key, (entry["offset"], entry["metadata"] or ""))


def _take_old(replay: JournalReplay, entry: Row) -> None:
    """The older journals list a transaction once, when it is over: what came in between is not told."""
    action, time = entry["action"], entry["t"]
    if action == "commit":
        for key, value in _items(entry["group"], entry["items"], entry.get("result", [0])):
            replay.commit(time, key, value)
    elif action == "txn" and entry["end"] == "commit" and entry.get("result", 0) == 0:
        for group, items, *results in entry.get("commits") or [(entry["group"], entry["items"])]:
            for key, value in _items(group, items, results[0] if results else [0]):
                replay.transactional(entry["txn"], key, value)
                replay.end(time, entry["txn"], committed=True)
    elif action == "offset_delete":
        for topic, results in entry["result"][1]:
            for partition, error in results:
                if error == 0:
                    replay.delete(time, (entry["group"], topic, partition))


def _items(group: str, items: list[Any], results: list[int]) -> Iterator[tuple[Key, Value]]:
    for number, (topic, partition, offset, metadata, *_) in enumerate(items):
        if results[number if len(results) > 1 else 0] == 0:
            yield (group, topic, partition), (offset, metadata or "")
