"""The checksums of batches: CRC-32C in message format 2, zlib's CRC-32 before."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import numpy as np
from crc32c import crc32c

from offdecode.model import Vector

__all__ = ["crc32", "crc32_each", "crc32c", "crc32c_each"]

crc32 = zlib.crc32


def crc32c_each(view: memoryview, starts: Sequence[int], ends: Sequence[int]) -> Vector:
    """CRC-32C of each range of `view`. One C call a range: vectors over all ranges at once are slower."""
    return np.array([crc32c(view[a:b]) for a, b in zip(starts, ends, strict=True)], np.int64)


def crc32_each(view: memoryview, starts: Sequence[int], ends: Sequence[int]) -> Vector:
    """CRC-32 of zlib of each range of `view`."""
    return np.array([crc32(view[a:b]) for a, b in zip(starts, ends, strict=True)], np.int64)
