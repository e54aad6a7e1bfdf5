"""Positions in a buffer to the numbers that start there, a vector at a time."""

from __future__ import annotations

import sys

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from offdecode.model import LARGEST_INT32, Vector

Buffer = npt.NDArray[np.uint8]

_INLINE_BYTES = 12  # Arrow keeps texts up to this length in the view itself
# Of a view's first word the length and what a text of so many bytes fills; of its second word likewise.
_FIRST_FOUR = np.array([(1 << 32 + 8 * min(size, 4)) - 1 for size in range(_INLINE_BYTES + 1)], np.uint64)
_NEXT_EIGHT = np.array([(1 << 8 * max(size - 4, 0)) - 1 for size in range(_INLINE_BYTES + 1)], np.uint64)


def unaligned(buffer: Buffer, dtype: npt.DTypeLike) -> np.ndarray:
    """A view of `buffer` whose element i is the `dtype` that starts at byte i."""
    count = max(len(buffer) - np.dtype(dtype).itemsize + 1, 0)
    return np.ndarray(shape=(count,), dtype=dtype, buffer=buffer, strides=(1,))


def big_endian(buffer: Buffer, dtype: npt.DTypeLike, position: Vector) -> npt.NDArray[np.signedinteger]:
    """The integers that start at each position, in the machine's byte order."""
    found: npt.NDArray[np.signedinteger] = unaligned(buffer, dtype)[position]
    # Swapped in place: a conversion from a big-endian type takes four times as long.
    return found.byteswap(inplace=True) if sys.byteorder == "little" else found


def byte_views(buffer: Buffer, position: Vector, length: Vector) -> pa.Array:
    """Ranges of a buffer, which ends 12 bytes behind them, as an Arrow array of views; null where the length is -1."""
    count = len(position)
    filled = np.maximum(length, 0)
    at = np.minimum(position, len(buffer) - _INLINE_BYTES)
    views = np.empty((count, 2), np.uint64)
    # Length and the first four bytes; then the next eight, or for a long text (buffer 0) its offset in the buffer.
    views[:, 0] = unaligned(buffer, "<u4")[at]
    views[:, 0] <<= 32
    views[:, 0] |= filled.astype(np.uint64)
    views[:, 1] = position
    views[:, 1] <<= 32
    short = np.flatnonzero(filled <= _INLINE_BYTES)
    if len(short):
        inline = filled[short]
        views[short, 0] &= _FIRST_FOUR[inline]
        views[short, 1] = unaligned(buffer, "<u8")[at[short] + 4] & _NEXT_EIGHT[inline]
    null = length < 0
    validity = pa.py_buffer(np.packbits(~null, bitorder="little")) if null.any() else None
    return pa.Array.from_buffers(pa.binary_view(), count, [validity, pa.py_buffer(views), pa.py_buffer(buffer)])


def equal_ranges(buffer: Buffer, start: Vector, end: Vector) -> Vector:
    """Numbers from 0 on for ranges of a buffer, which ends 12 bytes behind them: the same for the same bytes."""
    count = len(start)
    if len(buffer) > LARGEST_INT32 or (start[1:] < end[:-1]).any():
        texts = byte_views(buffer, start, end - start).cast(pa.binary())
        index: Vector = texts.dictionary_encode().indices.to_numpy().astype(np.int64)
        return index
    # Where they lie, with what is between them as nulls: nothing is copied.
    edges = np.empty(2 * count + 1, np.int32)
    edges[0:-1:2], edges[1::2], edges[-1] = start, end, end[-1]
    valid = np.full(count // 4 + 1, 0b01010101, np.uint8)
    texts = pa.Array.from_buffers(pa.binary(), 2 * count, [pa.py_buffer(part) for part in (valid, edges, buffer)])
    return np.frombuffer(texts.dictionary_encode().indices.buffers()[1], np.int32)[: 2 * count : 2].astype(np.int64)
