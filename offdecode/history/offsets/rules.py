"""The coordinator's rules for one committed offset: a key's records and markers to what each coordinator holds.

There are three ways in which a coordinator can have come to its state. They differ on deletions while a
transaction is open:

- `new`: the new group coordinator. A tombstone removes the committed offset and whatever is pending for its key.
- `old-live`: the old coordinator that ran all the time. As `new`; and a deleted group loses whatever is pending,
  also where no tombstone of the offset was written.
- `old-load`: the old coordinator that loaded the log. A tombstone removes the committed offset only, so a COMMIT
  behind it brings the pending one back.

References: OffsetMetadataManager.replay and replayEndTransactionMarker (new), GroupMetadataManager
.doLoadGroupsAndOffsets (old-load), GroupMetadata.removeOffsets and completePendingTxnOffsetCommit (old-live).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum


class Coordinator(Enum):
    """How the state that is asked for came about."""

    NEW = "new"
    OLD_LIVE = "old-live"
    OLD_LOAD = "old-load"


class Event(Enum):
    """What can happen to a key."""

    OFFSET = "offset"  # pending where its producer is transactional
    TOMBSTONE = "tombstone"
    GROUP_TOMBSTONE = "group_tombstone"
    COMMIT = "commit"  # the producer's markers
    ABORT = "abort"


@dataclass(slots=True)
class KeyState:
    """What one coordinator holds for one key. Numbers are places in the log, of the records that set it.

    pending: by producer id. undecided: offsets whose transaction has ended, in lost evidence: committed they would
    count, unless a later record has overtaken them.
    """

    committed: int | None = None
    pending: dict[int, int] = field(default_factory=dict)
    undecided: frozenset[int] = frozenset()

    def copy(self) -> KeyState:
        return KeyState(self.committed, dict(self.pending), self.undecided)

    def waiting(self) -> set[int]:
        """Offsets that are not decided."""
        return {*self.pending.values(), *self.undecided}

    def places(self) -> set[int]:
        """The records that the state refers to."""
        return self.waiting() if self.committed is None else self.waiting() | {self.committed}

    def commit(self, place: int) -> None:
        self.committed = place
        self.undecided = frozenset(other for other in self.undecided if other > place)

    def remove(self, coordinator: Coordinator, producer: int | None) -> None:
        """Take a tombstone. No broker writes transactional ones; this is what coordinators would make of them."""
        if coordinator is Coordinator.OLD_LOAD and producer is not None:
            self.pending.pop(producer, None)
            return
        self.committed, self.undecided = None, frozenset()
        if coordinator is not Coordinator.OLD_LOAD:
            self.pending.clear()

    def drop_pending(self) -> None:
        self.pending.clear()
        self.undecided = frozenset()

    def end(self, producer: int, *, committed: bool, lost: set[int]) -> None:
        """Take a producer's marker. lost: offsets whose own transaction's end is lost, so this may be another's."""
        place = self.pending.pop(producer, None)
        if place is None or (self.committed is not None and self.committed > place):
            return
        if place in lost:
            self.undecided |= {place}
        elif committed:
            self.commit(place)


class KeyReplay:
    """One key under all three rules."""

    def __init__(self, group: str, start: KeyState) -> None:
        self.group = group
        self.states = {coordinator: start.copy() for coordinator in Coordinator}
        self.lost: set[int] = set()
        self.last_tombstone: int | None = None

    @property
    def agreed(self) -> bool:
        """Whether the coordinators hold the same."""
        first, *others = self.states.values()
        return all(other == first for other in others)

    def producers(self) -> set[int]:
        """Those with anything pending."""
        return {producer for state in self.states.values() for producer in state.pending}

    def places(self) -> set[int]:
        """The records that any of the states refers to."""
        return set().union(*(state.places() for state in self.states.values()))

    def apply(self, event: Event, place: int, producer: int | None) -> None:
        """Take the next event. producer: of a transactional record or of a marker, else None."""
        if event is Event.TOMBSTONE:
            self.last_tombstone = place
        for coordinator, state in self.states.items():
            match event:
                case Event.OFFSET if producer is not None:
                    state.pending[producer] = place
                case Event.OFFSET:
                    state.commit(place)
                case Event.TOMBSTONE:
                    state.remove(coordinator, producer)
                case Event.GROUP_TOMBSTONE if coordinator is Coordinator.OLD_LIVE:
                    state.drop_pending()
                case Event.COMMIT | Event.ABORT if producer is not None:
                    state.end(producer, committed=event is Event.COMMIT, lost=self.lost)
