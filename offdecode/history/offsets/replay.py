"""Offset commits and markers to committed and pending offsets, by the coordinator's rules.

Of plain commits the last of each key wins; a committed transactional one takes part with its own place in the
log, not its marker's. So a column of commits is decided at once: the last place of each key. What remains is a
tombstone while a transaction is open on its key, where the coordinators differ (see `rules`): such keys are
replayed one by one until all coordinators agree on them again.

Memory grows with the live keys: superseded rows are dropped when they outnumber the others.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from offdecode.history.offsets.commits import Commits, commits_of, joined
from offdecode.history.offsets.disputed import Difference, DisputedKeys
from offdecode.history.offsets.ends import Ends, ends_of, places_by_type
from offdecode.history.offsets.keys import KeyCodes
from offdecode.history.offsets.rules import Coordinator
from offdecode.model import DecodedChunk, Vector
from offdecode.schemas import offset_commit

_SMALL_PART_ROWS = 4096  # smaller parts become one with others of their size: a table takes kilobytes by itself
_SUPERSEDED = 1 << 18


class OffsetReplay:
    """The offsets of one partition of the offsets topic.

    superseded: how many rows may be held beyond twice the live ones, and texts beyond one for each row and twice the
    live ones.
    """

    def __init__(self, superseded: int = _SUPERSEDED) -> None:
        self._superseded = superseded
        self.codes = KeyCodes()
        none = commits_of(None, np.empty(0, np.int64), self.codes)
        self._settled = [none]  # of several rows of a key the last one counts
        self._settled_rows = self._live_rows = self._live_texts = 0
        self._waiting = none
        self._waiting_rows = 0
        self._disputed = DisputedKeys(none)
        self._places = 0

    def add(self, chunk: DecodedChunk) -> None:
        """Take the next chunk of the log. Rows that are no offsets, markers or groups are passed over."""
        if not chunk.row_count:
            return
        first = self._places
        self._places += chunk.row_count
        places = places_by_type(chunk, first)
        none = np.empty(0, np.int64)
        commits = commits_of(
            chunk.batches.get(offset_commit.ROW_TYPE), places.get(offset_commit.ROW_TYPE, none), self.codes
        )
        if commits.transactional.any() or len(self._waiting) or self._disputed:
            self._add_with_transactions(commits, ends_of(chunk, places, first))
        else:
            self._settle(commits)
        if self._settled_rows > 2 * self._live_rows + self._superseded:
            self._drop_superseded()
        texts = 2 * self._live_texts + self._settled_rows + len(self._waiting)
        if self.codes.texts_held > texts + self._superseded:
            self._renumber()

    def committed(self, coordinator: Coordinator) -> Commits:
        """The rows that set the committed offsets, one for each key that has one; texts as numbers of `codes`."""
        self._drop_superseded()
        settled = self._settled[0]
        agreed = settled.where(~np.isin(settled.key, self._disputed.keys))
        return joined([agreed, self._disputed.committed(coordinator)])

    def waiting(self, coordinator: Coordinator) -> Commits:
        """The rows that wait for the end of their transaction, or whose transaction's end is lost."""
        self._drop_superseded()
        waiting, settled = self._waiting, self._settled[0]
        order = np.argsort(settled.key)
        overtaken = np.zeros(len(waiting), np.bool_)
        if len(settled):
            at = order[np.minimum(np.searchsorted(settled.key, waiting.key, sorter=order), len(order) - 1)]
            overtaken = (settled.key[at] == waiting.key) & (settled.place[at] > waiting.place)
        return joined([waiting.where(~(waiting.closed & overtaken)), self._disputed.waiting(coordinator)])

    def differences(self) -> Iterator[Difference]:
        """The keys for which the coordinators hold different committed offsets."""
        return self._disputed.differences(self.codes)

    def _add_with_transactions(self, commits: Commits, ends: Ends) -> None:
        plain = ~commits.transactional
        waiting = joined([self._waiting, commits.where(~plain & ~commits.tombstone)])
        marker = ends.following(waiting.producer, waiting.place)
        marker[waiting.closed] = -1
        ended = marker >= 0
        committed = ended.copy()
        committed[ended] = ends.commit[marker[ended]]
        until = np.full(len(waiting), ends.beyond)
        decided = ended & ~waiting.unknown
        until[decided] = ends.place[marker[decided]]
        keys = self._keys_apart(commits, waiting, until, ends)
        apart, own = np.isin(waiting.key, keys), np.isin(commits.key, keys)
        if len(keys):
            self._replay_apart(keys, waiting.where(apart & (waiting.place < ends.first)), commits.where(own), ends)
        self._settle(waiting.where(committed & decided & ~apart))
        self._settle(commits.where(plain & ~own))
        left = replace(waiting, closed=waiting.closed | ended).where(~decided & ~apart)
        if self._disputed:
            settled, still = self._disputed.take_agreed()
            self._settle(settled)
            left = joined([left, still])
        self._waiting = left
        if len(left) > 2 * self._waiting_rows + self._superseded:
            self._waiting = left.last_waiting()
            self._waiting_rows = len(self._waiting)

    def _keys_apart(self, commits: Commits, waiting: Commits, until: Vector, ends: Ends) -> Vector:
        """Keys to replay one by one: those already apart, and those deleted while an offset waited."""
        tombstones = commits.where(commits.tombstone)
        touched = np.isin(waiting.key, tombstones.key)
        key = np.concatenate((waiting.key[touched], waiting.key[touched], tombstones.key))
        place = np.concatenate((waiting.place[touched], until[touched], tombstones.place))
        count = int(touched.sum())
        waits = np.repeat((1, -1, 0), (count, count, len(tombstones)))
        order = np.lexsort((place, key))
        inside = order[(waits[order] == 0) & (np.cumsum(waits[order]) > 0)]
        in_groups = waiting.key[ends.is_deleted(waiting.rows.column("group").to_numpy(), self.codes.names)]
        transactional = tombstones.key[tombstones.transactional]
        return np.unique(np.concatenate((self._disputed.keys, key[inside], in_groups, transactional)))

    def _replay_apart(self, keys: Vector, waiting: Commits, own: Commits, ends: Ends) -> None:
        fresh = np.setdiff1d(keys, self._disputed.keys)
        base = joined([part.where(np.isin(part.key, fresh)) for part in self._settled]).last_of_each_key()
        self._disputed.start(fresh.tolist(), base, waiting, own.where(np.isin(own.key, fresh)), self.codes)
        self._disputed.replay(own, ends)

    def _settle(self, commits: Commits) -> None:
        if len(commits):
            self._settled.append(commits.last_of_each_key())
            self._settled_rows += len(self._settled[-1])
            while len(self._settled) > 2 and len(self._settled[-2]) <= len(self._settled[-1]) < _SMALL_PART_ROWS:
                self._settled[-2:] = [joined(self._settled[-2:])]

    def _drop_superseded(self) -> None:
        live = joined(self._settled).last_of_each_key()
        live = live.where(~live.tombstone)
        self._settled = [live]
        self._settled_rows = self._live_rows = len(live)
        self._waiting = self._waiting.last_waiting()
        self._waiting_rows = len(self._waiting)

    def _renumber(self) -> None:
        """Drop the numbers of texts and keys that are gone."""
        self._drop_superseded()
        old, self.codes = self.codes, KeyCodes()
        self._settled = [part.renumbered(old, self.codes) for part in self._settled]
        self._waiting = self._waiting.renumbered(old, self.codes)
        self._disputed.renumber(old, self.codes)
        self._live_texts = self.codes.texts_held
