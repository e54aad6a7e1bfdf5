"""Two times or offsets to what lies between them."""

from __future__ import annotations

from offdecode.model import LARGEST_INT64


def difference(later: int | None, earlier: int | None) -> int | None:
    """The difference later - earlier.

    Null where one of them is not known, and where 64 bits do not hold what damaged ones give.
    """
    if later is None or earlier is None:
        return None
    found = later - earlier
    return found if abs(found) <= LARGEST_INT64 else None
