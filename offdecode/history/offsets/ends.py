"""What ends open offsets: the markers of producers, and the tombstones of groups."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from offdecode.history.offsets.rules import Event
from offdecode.model import DecodedChunk, Mask, Vector
from offdecode.schemas import group_metadata
from offdecode.schemas.rows import MARKER_ROW
from offdecode.texts import Texts

_COMMIT = "commit"

Happening: TypeAlias = tuple[Event, int, int | None]  # what, at which place, of which producer


@dataclass(frozen=True, slots=True)
class Ends:
    """The markers of a chunk, in log order, and by group the places of its tombstones.

    first, beyond: the chunk's places.
    """

    first: int
    beyond: int
    place: Vector
    producer: Vector
    commit: Mask
    deleted: dict[str, list[int]]

    def following(self, producer: Vector, place: Vector) -> Vector:
        """For each transactional row the index of its producer's next marker, -1 where the chunk has none."""
        found = np.full(len(producer), -1, np.int64)
        if not len(self.place):
            return found
        producers, code = np.unique(self.producer, return_inverse=True)
        span = self.beyond - self.first + 1
        order = np.lexsort((self.place, code))
        ascending = code[order] * span + (self.place[order] - self.first + 1)
        own = np.searchsorted(producers, producer)
        index = np.searchsorted(ascending, own * span + np.maximum(place - self.first + 1, 0), side="right")
        known = (own < len(producers)) & (index < len(order))
        next_ = order[index[known]]
        found[known] = np.where(self.producer[next_] == producer[known], next_, -1)
        return found

    def is_deleted(self, group: Vector, names: Texts) -> Mask:
        """Which of the groups, numbers of names, have a tombstone in the chunk."""
        if not self.deleted:
            return np.zeros(len(group), np.bool_)
        return np.isin(group, names.numbers(pa.array(list(self.deleted), pa.string())))

    def by_producer(self) -> dict[int, list[Happening]]:
        """Each producer's markers as events."""
        found: dict[int, list[Happening]] = defaultdict(list)
        for place, producer, commit in zip(
            self.place.tolist(), self.producer.tolist(), self.commit.tolist(), strict=True
        ):
            found[producer].append((Event.COMMIT if commit else Event.ABORT, place, producer))
        return found


def ends_of(chunk: DecodedChunk, places: dict[str, Vector], first: int) -> Ends:
    """The ends in a decoded chunk. places: by row type, where in the log its rows stand."""
    none = np.empty(0, np.int64)
    producer, commit = none, np.empty(0, np.bool_)
    markers = chunk.batches.get(MARKER_ROW)
    if markers is not None:
        producer = markers.column("producer_id").to_numpy()
        commit = pc.equal(markers.column("marker").cast(pa.string()), _COMMIT).to_numpy(zero_copy_only=False)
    deleted: dict[str, list[int]] = defaultdict(list)
    groups = chunk.coded.get(group_metadata.ROW_TYPE)
    if groups is not None:
        tombstone = groups.column("tombstone")
        names = groups.column("group").filter(tombstone).to_pylist()
        own = places[group_metadata.ROW_TYPE][tombstone.to_numpy(zero_copy_only=False)]
        for name, place in zip(names, own.tolist(), strict=True):
            deleted[name].append(place)
    return Ends(first, first + chunk.row_count, places.get(MARKER_ROW, none), producer, commit, dict(deleted))


def places_by_type(chunk: DecodedChunk, first: int) -> dict[str, Vector]:
    """Where in the log each row stands, by row type, counted on from `first`."""
    place = np.empty(chunk.row_count, np.int64)
    place[chunk.order] = np.arange(first, first + chunk.row_count)
    bounds = np.cumsum([0, *(len(batch) for batch in chunk.coded.values())])
    return {name: place[start:end] for name, start, end in zip(chunk.batches, bounds, bounds[1:], strict=False)}
