"""Chunks to the same chunks whose offset commits say who held the partition then, and in which generation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from offdecode.history.movements.answer_columns import generation_columns
from offdecode.history.movements.commit_columns import ABSENT, CommitKeys, commit_columns
from offdecode.history.movements.owners import Owners
from offdecode.model import DecodedChunk, Mask
from offdecode.schemas.history_rows import WITH_GENERATION
from offdecode.schemas.offset_commit import ROW_TYPE


@dataclass(frozen=True, slots=True)
class Chosen:
    """Which rows stay; empty or None = all. topics, partitions: of commits; since: log timestamp in ms."""

    row_types: tuple[str, ...] | None = None
    topics: tuple[str, ...] = ()
    partitions: tuple[int, ...] = ()
    since: int | None = None
    first_offset: int | None = None

    def of(self, chunk: DecodedChunk) -> DecodedChunk:
        """The rows of a chunk that stay, in their order."""
        masks = [self._mask(name, batch) for name, batch in chunk]
        mask = np.concatenate([np.zeros(0, np.bool_), *masks])
        index = np.cumsum(mask) - 1
        order = chunk.order[mask[chunk.order]]
        batches = {name: batch.filter(pa.array(stays)) for (name, batch), stays in zip(chunk, masks, strict=True)}
        kept = {name: batch for name, batch in batches.items() if len(batch)}
        return DecodedChunk(kept, index[order], chunk.problems)

    def _mask(self, name: str, batch: pa.RecordBatch) -> Mask:
        stays = np.full(len(batch), self.row_types is None or name in self.row_types)
        if self.topics or self.partitions:
            # Rows of groups have no topic; markers, of no key at all, pass every filter of keys.
            if name == ROW_TYPE:
                stays &= _among(batch.column("topic").cast(pa.string()), self.topics)
                stays &= _among(batch.column("partition"), self.partitions)
            else:
                stays &= np.asarray(batch.column("key_type").is_null())
        if self.first_offset is not None:
            offsets = batch.column("log_offset")
            stays &= np.asarray(offsets.fill_null(self.first_offset)) >= self.first_offset
        if self.since is not None:
            times = batch.column("log_timestamp").cast(pa.int64())
            if name == ROW_TYPE:
                times = pc.coalesce(times, batch.column("commit_timestamp").cast(pa.int64()))
            stays &= np.asarray(times.fill_null(self.since)) >= self.since
        return stays


def _among(column: pa.Array, values: tuple[object, ...]) -> Mask:
    if not values:
        return np.ones(len(column), np.bool_)
    return np.asarray(pc.is_in(column, pa.array(values, column.type)))


class WithGeneration:
    """Adds the columns of WITH_GENERATION to the offset commits of chunks in the order of the log."""

    def __init__(self, topic_names: dict[str, str]) -> None:
        self._keys = CommitKeys()
        self._owners = Owners(self._keys, topic_names)

    def add(self, chunk: DecodedChunk) -> DecodedChunk:
        commits = commit_columns(chunk, self._keys)
        joined = self._owners.join(chunk, commits)
        if commits is None or joined is None:
            return chunk
        batch = chunk.batches[ROW_TYPE]
        owner, generation = np.empty(len(batch), np.int64), np.full(len(batch), ABSENT)
        owner[commits.row], generation[commits.row] = joined.owner, joined.generation
        columns = generation_columns(generation, owner, self._owners)
        for column in WITH_GENERATION:
            batch = batch.append_column(pa.field(column.name, column.arrow_type), columns[column.name])
        return DecodedChunk({**chunk.batches, ROW_TYPE: batch}, chunk.order, chunk.problems)
