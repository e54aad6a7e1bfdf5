"""Message sets of every format, written by hand for tests: nothing here uses offdecode's own parsers."""

from __future__ import annotations

import gzip
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field

import cramjam
import numpy as np

from offdecode.log.batches import Frames, ReadChunk, iter_frames
from offdecode.log.records import iter_records
from offdecode.model import PADDING, Chunk, Problem
from tests import segment_builder
from tests.segment_builder import Header, batch_around

GZIP, SNAPPY, LZ4, ZSTD = 1, 2, 3, 4
LOG_APPEND_TIME = 0x08

Row = tuple[int, int | None, bytes | None, bytes | None]  # offset, timestamp, key, value


def sized(data: bytes | None) -> bytes:
    return struct.pack(">i", -1) if data is None else struct.pack(">i", len(data)) + data


def entry(offset: int, body: bytes, crc: int | None = None) -> bytes:
    """Offset, size and checksum before the bytes from the magic on."""
    checksum = zlib.crc32(body) if crc is None else crc
    return struct.pack(">qiI", offset, len(body) + 4, checksum) + body


def message(
    magic: int, offset: int, key: bytes | None, value: bytes | None, timestamp: int = 0, attributes: int = 0
) -> bytes:
    """A message of format 0 or 1."""
    time = struct.pack(">q", timestamp) if magic else b""
    return entry(offset, struct.pack(">bb", magic, attributes) + time + sized(key) + sized(value))


def wrapper(magic: int, offset: int, inner: bytes, codec: int = GZIP, timestamp: int = 0, attributes: int = 0) -> bytes:
    """A message whose value is the compressed `inner`."""
    return message(magic, offset, None, compressed(codec, inner), timestamp, attributes | codec)


def compressed(codec: int, data: bytes) -> bytes:
    if codec == GZIP:
        return gzip.compress(data, mtime=0)
    if codec == SNAPPY:  # as xerial's SnappyOutputStream frames it
        block = bytes(cramjam.snappy.compress_raw(data))
        return b"\x82SNAPPY\x00" + struct.pack(">iii", 1, 1, len(block)) + block
    return bytes((cramjam.lz4 if codec == LZ4 else cramjam.zstd).compress(data))


def record(offset_delta: int, key: bytes | None, value: bytes | None, timestamp_delta: int = 0) -> bytes:
    """A record of format 2."""
    return segment_builder.record(offset_delta, key, value, timestamp_delta)


def batch(offset: int, records: Sequence[bytes], timestamp: int = 0, codec: int = 0, count: int | None = None) -> bytes:
    """A batch of format 2."""
    body = b"".join(records)
    head = Header(offset, codec, timestamp=timestamp)
    told, last = len(records) if count is None else count, max(len(records) - 1, 0)
    return batch_around(compressed(codec, body) if codec else body, head, told, last, timestamp)


@dataclass
class Read:
    """What the log layer makes of some bytes."""

    frames: list[Frames] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    row_positions: list[int] = field(default_factory=list)  # of each row's batch, in the segment
    problems: list[Problem] = field(default_factory=list)

    @property
    def kinds(self) -> list[str]:
        return [problem.kind for problem in self.problems]

    def rows_at(self, position: int) -> list[Row]:
        return [row for row, at in zip(self.rows, self.row_positions, strict=True) if at == position]


def reader_of(data: bytes) -> ReadChunk:
    def read_chunk(position: int, size: int) -> Chunk:
        part = data[position : position + size]
        buffer = np.frombuffer(part + bytes(PADDING), np.uint8)
        return Chunk("segment", 0, position, buffer, len(part), len(data))

    return read_chunk


def read(data: bytes, chunk_bytes: int = 1 << 20) -> Read:
    """Everything in a segment of these bytes."""
    found = Read()
    for frames in iter_frames(reader_of(data), chunk_bytes):
        found.frames.append(frames)
        found.problems += frames.problems
        for records in iter_records(frames, frames.crc_valid):
            found.problems += records.problems
            at = (frames.chunk.position + frames.position[records.frame]).tolist()
            for index, position in enumerate(at):
                timestamp = int(records.log_timestamp[index]) if records.has_timestamp[index] else None
                row = (int(records.log_offset[index]), timestamp, records.key(index), records.value(index))
                found.rows.append(row)
                found.row_positions.append(position)
    return found
