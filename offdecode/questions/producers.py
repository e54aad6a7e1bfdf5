"""Rows with producer ids to rows that name who is behind them."""

from __future__ import annotations

from dataclasses import replace

import pyarrow as pa

from offdecode.cluster import Cluster
from offdecode.model import DecodedChunk
from offdecode.schemas.rows import TRANSACTIONAL_ID

_ID = TRANSACTIONAL_ID.name


class Producers:
    """Names producers by the transaction coordinator's log, if that lies beside the offsets log."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    def named(self, chunk: DecodedChunk) -> DecodedChunk:
        """The chunk, in which rows that have a producer say which transactional id it has, where that is known."""
        batches = dict(chunk)
        for name, batch in chunk:
            if _ID in batch.schema.names:
                batches[name] = self._named(batch)
        return replace(chunk, batches=batches)

    def _named(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        column = batch.column("producer_id")
        if column.null_count == len(column):
            return batch
        ids = column.dictionary_encode()
        if all(one is None or one < 0 for one in ids.dictionary.to_pylist()):
            return batch
        known = self._cluster.producers
        found = [known.get(one) for one in ids.dictionary.to_pylist()]
        texts = pa.array([None if one is None else one.transactional_id for one in found], pa.string())
        at = batch.schema.get_field_index(_ID)
        named = texts.take(ids.indices).cast(batch.schema.field(at).type)
        return batch.set_column(at, batch.schema.field(at), named)
