"""Decoded chunks to bytes that carry their rows to the process that writes Parquet, and back in order."""

from __future__ import annotations

from collections.abc import Callable, Container
from dataclasses import dataclass

import pyarrow as pa

from offdecode.model import DecodedChunk
from offdecode.sinks.parquet import ParquetSink, Report, storable

_HELD_BYTES = 32 << 20  # more than this is not held back until a step ends


def packed(batch: pa.RecordBatch) -> pa.Buffer:
    """A batch as an Arrow stream."""
    stream = pa.BufferOutputStream()
    with pa.ipc.new_stream(stream, batch.schema) as writer:
        writer.write_batch(batch)
    return stream.getvalue()


def unpacked(stream: pa.Buffer) -> pa.RecordBatch:
    """The batch that was packed."""
    (batch,) = pa.ipc.open_stream(stream)
    return batch


@dataclass(frozen=True, slots=True)
class Carried:
    """Rows of a step: for each row type an Arrow stream. last: nothing of the step follows."""

    step: int
    streams: list[tuple[str, pa.Buffer]]
    last: bool

    def write_to(self, sink: ParquetSink) -> None:
        for name, stream in self.streams:
            sink.add(name, unpacked(stream))


class CarryingSink:
    """Stands for the Parquet files in a process that does the steps first, first + every, ... of a sequence.

    send: takes what was packed so far.
    """

    def __init__(
        self, wanted: Container[str], report: Report, send: Callable[[Carried], None], first: int, every: int
    ) -> None:
        self._wanted = wanted
        self._report = report
        self._send = send
        self._step = first
        self._every = every
        self._streams: list[tuple[str, pa.Buffer]] = []
        self._size = 0

    def write(self, chunk: DecodedChunk) -> None:
        for name, batch in storable(chunk, self._wanted, self._report):
            stream = packed(batch)
            self._streams.append((name, stream))
            self._size += stream.size
        if self._size > _HELD_BYTES:
            self._flush(last=False)

    def end_step(self) -> None:
        self._flush(last=True)
        self._step += self._every

    def _flush(self, *, last: bool) -> None:
        self._send(Carried(self._step, self._streams, last))
        self._streams, self._size = [], 0


class InOrder:
    """Takes carried rows as they arrive and writes them in the order of their steps."""

    def __init__(self, sink: ParquetSink) -> None:
        self._sink = sink
        self._step = 0
        self._early: dict[int, list[Carried]] = {}

    def take(self, carried: Carried) -> None:
        self._early.setdefault(carried.step, []).append(carried)
        while pieces := self._early.pop(self._step, None):
            for piece in pieces:
                piece.write_to(self._sink)
            if not pieces[-1].last:
                return
            self._step += 1
