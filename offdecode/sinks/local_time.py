"""How far local time is from UTC, as TZ or the system's own zone says."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache

import numpy as np

from offdecode.model import Vector

IN_UTC = -(1 << 15)  # where local time cannot be told: the zone then is Z
_STEP_SECONDS = 900  # zones turn on these only
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@lru_cache(1 << 12)
def _minutes_at(step: int) -> int:
    try:
        offset = (_EPOCH + timedelta(seconds=step * _STEP_SECONDS)).astimezone().utcoffset()
    except (OverflowError, ValueError, OSError):  # what the system's zone does not reach
        return IN_UTC
    minutes, rest = divmod(offset or timedelta(), timedelta(minutes=1))
    return IN_UTC if rest else minutes  # local mean time, of before there were zones


def minutes_east(milliseconds: int) -> int:
    """How many minutes local time is ahead of UTC at a time; IN_UTC where that cannot be told."""
    return _minutes_at(milliseconds // (_STEP_SECONDS * 1000))


def all_minutes_east(milliseconds: Vector) -> Vector:
    """The same of many times."""
    steps, index = np.unique(milliseconds // (_STEP_SECONDS * 1000), return_inverse=True)
    return np.array([_minutes_at(step) for step in steps.tolist()], np.int64)[index]


def zone_text(minutes: int) -> str:
    """As RFC 3339 has it behind a time."""
    if minutes == IN_UTC:
        return "Z"
    hours, rest = divmod(abs(minutes), 60)
    return f"{'-' if minutes < 0 else '+'}{hours:02}:{rest:02}"
