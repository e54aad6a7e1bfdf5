"""Positions in a buffer to the numbers that start there, a vector at a time."""

from __future__ import annotations

import sys

import numpy as np
import numpy.typing as npt

from offdecode.model import Vector

Buffer = npt.NDArray[np.uint8]


def unaligned(buffer: Buffer, dtype: npt.DTypeLike) -> np.ndarray:
    """A view of `buffer` whose element i is the `dtype` that starts at byte i."""
    count = max(len(buffer) - np.dtype(dtype).itemsize + 1, 0)
    return np.ndarray(shape=(count,), dtype=dtype, buffer=buffer, strides=(1,))


def big_endian(buffer: Buffer, dtype: npt.DTypeLike, position: Vector) -> npt.NDArray[np.signedinteger]:
    """The integers that start at each position, in the machine's byte order."""
    found: npt.NDArray[np.signedinteger] = unaligned(buffer, dtype)[position]
    # Swapped in place: a conversion from a big-endian type takes four times as long.
    return found.byteswap(inplace=True) if sys.byteorder == "little" else found
