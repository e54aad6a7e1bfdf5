"""Records of merged copies: what several batches hold comes once."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import replace

import numpy as np

from offdecode.log.batches import Frames, Origin
from offdecode.log.records import BY_RECORD, Records, iter_records
from offdecode.model import Mask


def iter_records_once(frames: Frames, wanted: Mask, holding: Collection[bytes] | None = None) -> Iterator[Records]:
    """As iter_records; what several batches hold comes once and in order. A component's records stay together."""
    origin, parts = frames.origin, iter_records(frames, wanted, holding)
    if origin is None or not origin.mixed:
        yield from parts
        return
    held: Records | None = None
    for part in parts:
        joined = part if held is None else _joined(held, part)
        owner = origin.component[joined.frame]
        settled = int(np.searchsorted(owner, owner[-1])) if len(owner) else 0
        if settled or joined.problems:
            yield _once(joined.slice(0, settled), origin)
        held = joined.slice(settled, len(joined)) if settled else replace(joined, problems=())
    if held is not None:
        yield _once(held, origin)


def _joined(held: Records, part: Records) -> Records:
    """Two parts as one, on one buffer."""
    shift = len(held.buffer)
    columns = {name: np.concatenate((getattr(held, name), getattr(part, name))) for name in BY_RECORD}
    buffer, moved = held.buffer, 0
    if part.buffer is not held.buffer:
        buffer, moved = np.concatenate((held.buffer, part.buffer)), shift
    for name in ("key_position", "value_position"):
        columns[name] = np.concatenate((getattr(held, name), getattr(part, name) + moved))
    headers = {**held.headers, **{len(held) + index: found for index, found in part.headers.items()}}
    return Records(part.frames, buffer, headers=headers, problems=(*held.problems, *part.problems), **columns)


def _once(records: Records, origin: Origin) -> Records:
    owner, copies = origin.component[records.frame], origin.copies[records.frame]
    if not len(owner):
        return replace(records, copies=copies)
    order = np.lexsort((np.arange(len(owner)), records.log_offset, owner))
    owner, offset = owner[order], records.log_offset[order]
    first = np.concatenate(([True], (owner[1:] != owner[:-1]) | (offset[1:] != offset[:-1])))
    firsts = np.flatnonzero(first)
    kept = order[firsts]
    columns = {name: getattr(records, name)[kept] for name in BY_RECORD}
    headers = records.headers and {
        at: records.headers[index] for at, index in enumerate(kept.tolist()) if index in records.headers
    }
    masks = np.bitwise_or.reduceat(copies[order], firsts)
    return replace(records, headers=headers, copies=masks, **columns)
