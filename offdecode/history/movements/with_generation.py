"""Chunks to the same chunks whose offset commits say who held the partition then, and in which generation."""

from __future__ import annotations

import numpy as np

from offdecode.history.movements.answer_columns import generation_columns
from offdecode.history.movements.commit_columns import CommitKeys, commit_columns
from offdecode.history.movements.owners import Owners
from offdecode.history.topic_names import TopicNames
from offdecode.model import ABSENT, CodedBatches, DecodedChunk
from offdecode.schemas.history_rows import WITH_GENERATION
from offdecode.schemas.offset_commit import ROW_TYPE


class WithGeneration:
    """Adds the columns of WITH_GENERATION to the offset commits of chunks in the order of the log."""

    def __init__(self, topic_names: TopicNames) -> None:
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
            batch = batch.append_column(column.name, columns[column.name])
        return DecodedChunk(CodedBatches({**chunk.coded, ROW_TYPE: batch}), chunk.order, chunk.problems)
