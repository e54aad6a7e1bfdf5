"""Vectors that grow: room that is not used yet takes no memory."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from offdecode.system import untouched

_SMALL = 1 << 23  # bytes of a vector that is lengthened fourfold, so that it is seldom copied; larger ones double


def make_room(vector: npt.NDArray[Any], count: int, initial: npt.NDArray[Any] | None = None) -> npt.NDArray[Any]:
    """The vector, or a longer one with its entries where it has no room for so many.

    initial: what new entries of int64, or of structs of int64, are; zeros else. They take memory then.
    """
    known = len(vector)
    if count <= known:
        return vector
    if initial is not None:
        size = max(count, known + known // 4)
    else:
        size = max(count, known * (4 if vector.nbytes < _SMALL else 2))
    larger = np.frombuffer(untouched(size * vector.itemsize), vector.dtype)
    larger[:known] = vector
    if initial is not None:
        larger.view(np.int64).reshape(size, -1)[known:] = np.atleast_1d(initial).view(np.int64)
    return larger
