"""Keys that are replayed one by one, because the coordinators may differ on them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from offdecode.history.offsets.commits import Commits, WithTexts, joined
from offdecode.history.offsets.ends import Ends, Happening
from offdecode.history.offsets.keys import KeyCodes
from offdecode.history.offsets.rules import Coordinator, Event, KeyReplay, KeyState
from offdecode.model import Mask, Vector


@dataclass(frozen=True, slots=True)
class Difference:
    """A key for which the coordinators hold different committed offsets: each one's row, None = no offset.

    A row has group, topic, partition, offset and log_offset.
    """

    group: str
    topic: str
    partition: int
    committed: dict[Coordinator, dict[str, Any] | None]


class DisputedKeys:
    """The keys on which the coordinators differ, and the rows that their states refer to."""

    def __init__(self, none: Commits) -> None:
        self._replays: dict[int, KeyReplay] = {}
        self._rows = none

    def __bool__(self) -> bool:
        return bool(self._replays)

    @property
    def keys(self) -> Vector:
        return np.fromiter(self._replays, np.int64, len(self._replays))

    def start(self, keys: Collection[int], base: Commits, waiting: Commits, first: Commits, codes: KeyCodes) -> None:
        """Begin with keys: what is committed before the chunk (or deleted), what waits, the chunk's own rows."""
        groups: dict[int, str] = {}
        texts = WithTexts(codes)
        for rows in (base, waiting, first):
            names = texts.rows(rows.rows.select(["group"])).column("group").to_pylist()
            groups.update(zip(rows.key.tolist(), names, strict=True))
        states = {key: KeyState() for key in keys}
        for entry in base.entries():
            states[entry.key].committed = None if entry.tombstone else entry.place
        for entry in sorted(waiting.entries(), key=lambda entry: entry.place):
            state = states[entry.key]
            if entry.closed:
                state.undecided |= {entry.place}
            elif entry.producer is not None:
                state.pending[entry.producer] = entry.place
        self._replays.update((key, KeyReplay(groups[key], state)) for key, state in states.items())
        self._take_rows(base)
        self._take_rows(waiting)

    def _take_rows(self, rows: Commits) -> None:
        self._rows = joined([self._rows, rows])
        for entry in rows.where(rows.unknown).entries():
            self._replays[entry.key].lost.add(entry.place)

    def replay(self, own: Commits, ends: Ends) -> None:
        """Take the events of a chunk. own: the chunk's rows of these keys."""
        self._take_rows(own)
        events: dict[int, list[Happening]] = defaultdict(list)
        for entry in own.entries():
            event = Event.TOMBSTONE if entry.tombstone else Event.OFFSET
            events[entry.key].append((event, entry.place, entry.producer))
        markers = ends.by_producer()
        for key, replay in self._replays.items():
            found = events[key]
            for producer in replay.producers() | {item[2] for item in found if item[2] is not None}:
                found += markers.get(producer, ())
            found += [(Event.GROUP_TOMBSTONE, place, None) for place in ends.deleted.get(replay.group, ())]
            for item in sorted(found, key=lambda item: item[1]):
                replay.apply(*item)

    def take_agreed(self) -> tuple[Commits, Commits]:
        """Give up the keys on which all coordinators agree: the rows that settle them, and those that wait."""
        settled: set[int] = set()
        waiting: set[int] = set()
        undecided: set[int] = set()
        for key, replay in [*self._replays.items()]:
            if replay.agreed:
                del self._replays[key]
                state = replay.states[Coordinator.NEW]
                last = replay.last_tombstone if state.committed is None else state.committed
                settled |= set() if last is None else {last}
                waiting |= state.waiting()
                undecided |= state.undecided
        still = self._at(waiting)
        given = self._at(settled), replace(still, closed=_among(still.place, undecided))
        kept: set[int] = set()
        for replay in self._replays.values():
            kept |= replay.places() | ({replay.last_tombstone} if replay.last_tombstone is not None else set())
        self._rows = self._at(kept)
        return given

    def committed(self, coordinator: Coordinator) -> Commits:
        """The rows that set the committed offsets of these keys."""
        held = (replay.states[coordinator].committed for replay in self._replays.values())
        return self._at({place for place in held if place is not None})

    def waiting(self, coordinator: Coordinator) -> Commits:
        """The rows of these keys that are not decided."""
        return self._at(set().union(*(replay.states[coordinator].waiting() for replay in self._replays.values())))

    def differences(self, codes: KeyCodes) -> Iterator[Difference]:
        """The keys for which the coordinators hold different committed offsets."""
        index = {place: number for number, place in enumerate(self._rows.place.tolist())}
        shown = WithTexts(codes).rows(self._rows.rows.select(["group", "topic", "partition", "offset", "log_offset"]))
        for replay in self._replays.values():
            held = {coordinator: state.committed for coordinator, state in replay.states.items()}
            if len(set(held.values())) > 1:
                rows = {
                    place: shown.slice(index[place], 1).to_pylist()[0]
                    for place in held.values() if place is not None
                }  # fmt: skip
                any_row = next(iter(rows.values()))
                yield Difference(any_row["group"], any_row["topic"], any_row["partition"], {
                    coordinator: None if place is None else rows[place] for coordinator, place in held.items()
                })  # fmt: skip

    def renumber(self, old: KeyCodes, new: KeyCodes) -> None:
        """Take other numbers for the keys. Every key has a row here: else all coordinators would agree on it."""
        rows = self._rows.renumbered(old, new)
        numbers = dict(zip(self._rows.key.tolist(), rows.key.tolist(), strict=True))
        self._replays = {numbers[key]: replay for key, replay in self._replays.items()}
        self._rows = rows

    def _at(self, places: Collection[int]) -> Commits:
        return self._rows.where(_among(self._rows.place, places))


def _among(place: Vector, wanted: Collection[int]) -> Mask:
    return np.isin(place, np.fromiter(wanted, np.int64, len(wanted)))
