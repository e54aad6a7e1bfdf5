"""A log's segments to how far the log cleaner came, and could come, as the broker reckons."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from offdecode.cluster import Cluster
from offdecode.model import ABSENT, Coverage
from offdecode.sources.segments import PartitionLog, Segment

Row = dict[str, Any]

_USUAL_RATIO = 0.5


@dataclass(frozen=True, slots=True)
class OpenTransaction:
    """The first record of an open transaction. time: milliseconds since 1970 UTC, ABSENT = none."""

    offset: int
    time: int
    producer_id: int


def start_of(segment: Segment) -> int:
    """The offset at which a segment starts, as the broker counts: by its name."""
    return segment.base_offset if segment.named_offset is None else segment.named_offset


def compaction(log: PartitionLog, coverage: Coverage, held: OpenTransaction | None, limit: Segment | None) -> Row:
    """What the broker's LogCleanerManager and LogToClean make of the segments.

    held: the first open transaction; limit: the segment that the cleaner does not enter.
    """
    starts = [start_of(segment) for segment in log.segments]
    sizes = np.array([segment.size for segment in log.segments])
    marks = log.checkpoints
    end = starts[0] if coverage.last_offset is None else coverage.last_offset + 1
    start = max(starts[0], marks.log_start or 0)
    checkpoint = marks.cleaner
    dirty = checkpoint if checkpoint is not None and start <= checkpoint <= end else start
    border = starts[0] if limit is None else start_of(limit)
    # A segment reaches to where the next one starts; that in which the dirty part begins counts as both.
    reaches = [*(after for _, after in pairwise(starts)), None]
    clean = int(sizes[[one < dirty for one in starts]].sum())
    within = [
        one < border and (after is None or after > min(dirty, border))
        for one, after in zip(starts, reaches, strict=True)
    ]
    cleanable = int(sizes[within].sum())
    behind = int(sizes[[one >= border for one in starts]].sum())
    blocked = "active_segment"
    if border < starts[-1]:
        first = min(held.offset if held else end, end if marks.high_watermark is None else marks.high_watermark)
        blocked = "open_transaction" if held is not None and first == held.offset else "high_watermark"
    return {
        "log": log.directory.text,
        "log_partition": log.log_partition,
        "segments": len(starts),
        "bytes": int(sizes.sum()),
        "log_start": start,
        "log_end": end,
        "active_segment": starts[-1],
        "cleaner_checkpoint": checkpoint,
        "first_dirty": dirty,
        "first_uncleanable": border,
        "blocked_by": blocked,
        "open_offset": held and held.offset,
        "open_since": None if held is None or held.time == ABSENT else held.time,
        "open_producer_id": held and held.producer_id,
        "clean_bytes": clean,
        "cleanable_bytes": cleanable,
        "uncleanable_bytes": behind,
        "dirty_ratio": cleanable / (clean + cleanable) if clean + cleanable else None,
        "complete": not coverage.gaps,
    }


def why(row: Row, topic: str, cluster: Cluster) -> str:
    """What keeps a log from being smaller, in words. topic: the name of the offsets topic."""
    ratio, behind = row["dirty_ratio"] or 0.0, row["uncleanable_bytes"]
    if row["blocked_by"] == "open_transaction":
        producer = cluster.producers.get(row["open_producer_id"])
        name = "" if producer is None else f" ({producer.transactional_id})"
        found = (
            f"the open transaction of producer {row['open_producer_id']}{name} at offset {row['open_offset']} keeps "
            f"{behind:,} bytes from being cleaned"
        )
    elif row["blocked_by"] == "high_watermark":
        found = f"the high watermark keeps {behind:,} bytes from being cleaned: replicas have not followed"
    else:
        found = f"only the active segment, {behind:,} bytes, cannot be cleaned"
    if not row["cleanable_bytes"]:
        return found
    share = f"{row['cleanable_bytes']:,} bytes are not cleaned yet, {ratio:.2f} of what could be"
    least = _least_ratio(topic, cluster)
    limit = f"the usual {_USUAL_RATIO}" if least is None else f"the cluster's {least:g}"
    if ratio < (_USUAL_RATIO if least is None else least):
        return f"{found}; {share}: below {limit} the log cleaner waits"
    return f"{found}; {share}, above {limit}: the log cleaner has not come yet, is off or has stopped"


def _least_ratio(topic: str, cluster: Cluster) -> float | None:
    """The least dirty ratio from which on the broker cleans, where the cluster's metadata set it."""
    found = cluster.setting(topic, "min.cleanable.dirty.ratio", "log.cleaner.min.cleanable.ratio")
    try:
        return None if found is None else float(found)
    except ValueError:
        return None
