"""Times as a calendar can say them, and as clocks here showed them: as TZ or the system's own zone says."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from offdecode.model import Vector, arrow

# Milliseconds of the years 1 to 9999: what RFC 3339 and most calendars can say.
FIRST_CALENDAR_MS = -62_135_596_800_000
LAST_CALENDAR_MS = 253_402_300_799_999
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
UTC_ZONE = "Z"

_STEP_MS = 900_000  # zones turn on these only


@lru_cache(1 << 12)
def _zone_at(step: int) -> tuple[int, str]:
    """How many milliseconds local time is ahead of UTC, and its zone as RFC 3339 has it behind a time.

    UTC where that cannot be told: beyond what the system knows or the calendar has, and where it is not in minutes, as
    in local mean time, of before there were zones.
    """
    first = step * _STEP_MS
    try:
        offset = (EPOCH + timedelta(milliseconds=first)).astimezone().utcoffset() or timedelta()
    except (OverflowError, ValueError, OSError):
        return 0, UTC_ZONE
    minutes, rest = divmod(offset, timedelta(minutes=1))
    ahead = minutes * 60_000
    if rest or first + ahead < FIRST_CALENDAR_MS or first + ahead + _STEP_MS > LAST_CALENDAR_MS + 1:
        return 0, UTC_ZONE
    hours, over = divmod(abs(minutes), 60)
    return ahead, f"{'-' if minutes < 0 else '+'}{hours:02}:{over:02}"


def local_time(milliseconds: int) -> tuple[int, str]:
    """A time of the calendar as a clock here showed it, and the zone."""
    ahead, zone = _zone_at(milliseconds // _STEP_MS)
    return milliseconds + ahead, zone


def time_texts(milliseconds: pa.Array, *, local: bool) -> pa.Array:
    """Times as RFC 3339 text, in UTC or as a clock here showed them; null where they are null or in no calendar."""
    sayable = pc.and_(pc.greater_equal(milliseconds, FIRST_CALENDAR_MS), pc.less_equal(milliseconds, LAST_CALENDAR_MS))
    times = pc.if_else(sayable, milliseconds, None)
    zones: str | pa.Array = UTC_ZONE
    if local:
        times, zones = _in_local_time(times)
    told = pc.strftime(times.cast(pa.timestamp("ms")), format="%Y-%m-%dT%H:%M:%S")
    return pc.binary_join_element_wise(told, zones, "")


def _in_local_time(times: pa.Array) -> tuple[pa.Array, pa.Array]:
    """Milliseconds as shown here, and the zone of each."""
    milliseconds = times.fill_null(0).to_numpy()
    steps, inverse = np.unique(milliseconds // _STEP_MS, return_inverse=True)
    index: Vector = inverse
    zones = [_zone_at(step) for step in steps.tolist()]
    shown = milliseconds + np.array([ahead for ahead, _ in zones], np.int64)[index]
    return pc.if_else(times.is_valid(), arrow(shown), None), pa.array([zone for _, zone in zones]).take(arrow(index))
