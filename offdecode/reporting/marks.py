"""Movements that are worth a mark: all, unless there are very many; then every second, every fourth of a kind."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from offdecode.model import arrow
from offdecode.schemas.history_rows import MOVEMENT_ROW
from offdecode.schemas.rows import row_type

LOG = "log"  # the column that tells which log a movement is of
_NUMBER = "number"  # of a movement among those of its kind
_MOST_HELD = 24_000


@dataclass(slots=True)
class Sparse:
    """How many movements of a kind there were, of which one in so many is kept."""

    count: int = 0
    one_in: int = 1

    @property
    def kept(self) -> int:
        return -(-self.count // self.one_in)


class Marks:
    """Takes rows of movements, log by log. most: that are kept, about."""

    def __init__(self, most: int = _MOST_HELD) -> None:
        self._most = most
        self.kinds: dict[str, Sparse] = {}
        self._batches: list[pa.RecordBatch] = []

    def add(self, batch: pa.RecordBatch, log: int) -> None:
        """Movements of one log, none of which is plain progress."""
        kinds = batch.column("kind")
        codes = np.asarray(kinds.indices)
        number = np.empty(len(codes), np.int64)
        for code, name in enumerate(kinds.dictionary.to_pylist()):
            own = np.flatnonzero(codes == code)
            if len(own):
                kind = self.kinds.setdefault(name, Sparse())
                number[own] = kind.count + np.arange(len(own))
                kind.count += len(own)
        batch = batch.append_column(LOG, arrow(np.full(len(batch), log))).append_column(_NUMBER, arrow(number))
        self._batches.append(self._thinned(batch))
        if sum(kind.kept for kind in self.kinds.values()) > 2 * self._most:
            self._thin()

    def _thin(self) -> None:
        """Make those kinds sparser of which there are most, until few enough are left."""
        while sum(kind.kept for kind in self.kinds.values()) > self._most:
            max(self.kinds.values(), key=lambda kind: kind.kept).one_in *= 2
        self._batches = [self._thinned(batch) for batch in self._batches]

    def _thinned(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        kinds = batch.column("kind")
        names = kinds.dictionary.to_pylist()
        one_in = np.array([self.kinds[name].one_in if name in self.kinds else 1 for name in names], np.int64)
        return batch.filter(arrow(np.asarray(batch.column(_NUMBER)) % one_in[np.asarray(kinds.indices)] == 0))

    def table(self) -> pa.Table:
        """The marks that were kept, in the order in which they came."""
        self._thin()
        schema = row_type(MOVEMENT_ROW).arrow_schema.append(pa.field(LOG, pa.int64()))
        batches = [batch.drop_columns([_NUMBER]) for batch in self._batches]
        return pa.Table.from_batches(batches, schema).unify_dictionaries()
