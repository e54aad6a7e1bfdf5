"""A log's offset commits in the order in which they take effect.

A plain commit or tombstone takes effect where it stands, a transactional commit where its producer's marker stands.
Until then it waits. References: as for history/offsets/rules.py, which has the coordinators' rules for one key.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from offdecode.history.movements.commit_columns import COMMITTED, PLAIN, TRANSACTIONS, CommitColumns, CommitKeys
from offdecode.history.movements.owners import Joined
from offdecode.history.offsets.ends import Ends, ends_of, places_by_type
from offdecode.history.offsets.rules import Coordinator
from offdecode.model import ABSENT, DecodedChunk, Mask, Vector, distinct
from offdecode.schemas.rows import MARKER_ROW

Events = dict[str, Vector]  # one entry a commit in each vector

ABORTED = TRANSACTIONS.index("aborted")

_NAMES = (
    "key", "key_type", "leftover", "group", "producer", "place", "effect", "log_offset", "log_timestamp",
    "decided_offset", "decided_timestamp", "offset", "tombstone", "transaction", "topic_id", "commit_timestamp",
    "expire_timestamp", "leader_epoch", "bare", "owner", "generation", "members", "known", "simple", "empty_since",
    "new_coordinator", "may",
)  # fmt: skip


class Effects:
    """Takes the chunks of one log in order and gives their commits as they are decided.

    coordinator: whose rules hold for deletions while a transaction is open.
    """

    def __init__(self, keys: CommitKeys, coordinator: Coordinator = Coordinator.NEW) -> None:
        self._keys = keys
        self._coordinator = coordinator
        self._topic_ids: dict[str, int] = {}
        self._waiting = _none()
        self._places = 0

    @property
    def topic_ids(self) -> list[str]:
        """The ids of topics, by number."""
        return list(self._topic_ids)

    def take(
        self, chunk: DecodedChunk, commits: CommitColumns | None, joined: Joined | None, *, cleaned: bool = False
    ) -> Events:
        """The commits that are decided by the chunk's end, and those that its evidence never decides.

        place: where in the log the commit stands, effect: where it takes effect, both counted over all rows; may:
        whether it takes effect, if no later record of its key has done so before; decided_offset,
        decided_timestamp: of the marker, ABSENT where there is none; bare: its metadata is empty; leftover: the
        log was cleaned, and the record may have outlived its deletion, as those of key type 0 do (their tombstones
        may have another key). The rest is CommitColumns' and Joined's.
        """
        first = self._places
        self._places += chunk.row_count
        own = _none() if commits is None or joined is None else self._columns(commits, joined, first, cleaned)
        delayed = (own["transaction"] > PLAIN) & (own["transaction"] <= ABORTED) & (own["tombstone"] == 0)
        if not delayed.any() and not len(self._waiting["key"]):
            return own
        waiting = _joined(self._waiting, _where(own, delayed))
        ends = ends_of(chunk, places_by_type(chunk, first), first)
        marker = ends.following(waiting["producer"], waiting["place"])
        decided = marker >= 0
        markers = chunk.batches.get(MARKER_ROW)
        if markers is not None and decided.any():
            at = marker[decided]
            waiting["effect"][decided] = ends.place[at]
            waiting["decided_offset"][decided] = markers.column("log_offset").to_numpy()[at]
            times = markers.column("log_timestamp").cast(pa.int64()).fill_null(ABSENT)
            waiting["decided_timestamp"][decided] = times.to_numpy()[at]
        self._forget_deleted(waiting, decided, own, ends)
        self._waiting = _where(waiting, ~decided)
        return _joined(_where(own, ~delayed), _where(waiting, decided))

    def finish(self) -> Events:
        """The commits whose marker is beyond what was read: they have no effect yet."""
        found, self._waiting = self._waiting, _none()
        found["may"][:] = 0
        return found

    def _columns(self, commits: CommitColumns, joined: Joined, first: int, cleaned: bool) -> Events:
        place = commits.place + first
        key_type = commits.numbers("key_type")
        tombstone = commits.tombstone.astype(np.int64)
        may = commits.transaction <= COMMITTED
        if self._coordinator is not Coordinator.OLD_LOAD:
            may |= commits.tombstone  # a transactional one, which no broker writes, ends the offset where it stands
        else:
            may &= ~commits.tombstone | (commits.transaction == PLAIN)
        nothing = np.full(len(place), ABSENT)
        return {
            "key": commits.key,
            "key_type": key_type,
            "leftover": ((key_type == 0) & cleaned).astype(np.int64),
            "group": commits.group,
            "producer": np.where(commits.transaction == PLAIN, -1, commits.numbers("producer_id")),
            "place": place,
            "effect": place,
            "log_offset": commits.log_offset,
            "log_timestamp": commits.log_timestamp,
            "decided_offset": nothing,
            "decided_timestamp": nothing,
            "offset": commits.numbers("offset"),
            "tombstone": tombstone,
            "transaction": commits.transaction,
            "topic_id": commits.codes("topic_id", self._topic_ids),
            "commit_timestamp": commits.numbers("commit_timestamp"),
            "expire_timestamp": commits.numbers("expire_timestamp"),
            "leader_epoch": commits.numbers("leader_epoch"),
            "bare": commits.is_text("metadata", "").astype(np.int64),
            "owner": joined.owner,
            "generation": joined.generation,
            "members": joined.members,
            "known": joined.known.astype(np.int64),
            "simple": joined.simple.astype(np.int64),
            "empty_since": joined.empty_since,
            "new_coordinator": joined.new_coordinator.astype(np.int64),
            "may": may.astype(np.int64),
        }

    def _forget_deleted(self, waiting: Events, decided: Mask, own: Events, ends: Ends) -> None:
        """What waits loses its effect where a coordinator forgets it: see Coordinator."""
        until = np.where(decided, waiting["effect"], self._places)
        if self._coordinator is Coordinator.OLD_LIVE:
            groups = distinct(waiting["group"])
            names = dict(zip(self._keys.groups.of(groups).to_pylist(), groups.tolist(), strict=True))
            for name, places in ends.deleted.items():
                mine = waiting["group"] == names.get(name, -1)
                for place in places:
                    waiting["may"][mine & (waiting["place"] < place) & (until > place)] = 0
        elif self._coordinator is Coordinator.OLD_LOAD:
            odd = np.flatnonzero((own["tombstone"] == 1) & (own["transaction"] > PLAIN))
            for key, producer, place in zip(*(own[name][odd].tolist() for name in ("key", "producer", "place")),
                                            strict=True):  # fmt: skip
                mine = (waiting["key"] == key) & (waiting["producer"] == producer)
                waiting["may"][mine & (waiting["place"] < place) & (until > place)] = 0


def _none() -> Events:
    return {name: np.empty(0, np.int64) for name in _NAMES}


def _where(events: Events, mask: Mask) -> Events:
    return {name: values[mask] for name, values in events.items()}


def _joined(one: Events, other: Events) -> Events:
    if not len(one["key"]):
        return other
    return {name: np.concatenate((values, other[name])) for name, values in one.items()}
