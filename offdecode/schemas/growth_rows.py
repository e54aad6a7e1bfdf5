"""Rows that tell where the bytes of a log are and what the log cleaner would leave: the tables of their columns."""

from __future__ import annotations

from offdecode.model import Column, Kind

COMPACTION_ROW = "compaction"
GROWTH_ROW = "growth"
GROWTH_ROW_TYPES = (COMPACTION_ROW, GROWTH_ROW)

PARTS = {
    "live": "the latest of their key",
    "superseded": "replaced by a later record of their key",
    "repeated": "commits that were replaced, and said the same offset as the one before them",
    "tombstone": "deletions, the latest of their key: they stay for delete.retention.ms after a first cleaning",
    "expired_tombstone": "deletions whose time is over",
    "aborted": "of aborted transactions",
    "undecided": "of transactions that are open, or whose end is lost",
    "marker": "ends of transactions",
}

_LOG = (
    Column("type", Kind.CATEGORY, "the row type"),
    Column("log", Kind.CATEGORY, "the directory of the log; each copy of a partition has rows of its own"),
    Column("log_partition", Kind.INT32, "partition of the offsets topic"),
)

_GROWTH = (
    *_LOG,
    Column("group", Kind.CATEGORY, "the group; null where it was not asked for, and for records without one"),
    Column("topic", Kind.CATEGORY, "the topic of commits, as the group"),
    Column("row_type", Kind.CATEGORY, "the records' row type; null where it was not asked for"),
    Column("hour", Kind.TIMESTAMP, "where it was asked for, the hour of their log timestamps"),
    Column("records", Kind.INT64, "records"),
    Column("bytes", Kind.INT64, "their bytes in the segments; those of a batch are shared out by the records' sizes"),
    *(
        Column(f"{part}_{what}", Kind.INT64, f"{what}: {doc}")
        for part, doc in PARTS.items()
        for what in ("records", "bytes")
    ),
)

_COMPACTION = (
    *_LOG,
    Column("segments", Kind.INT32, "segments"),
    Column("bytes", Kind.INT64, "their bytes"),
    Column("records", Kind.INT64, "records in them"),
    Column("log_start", Kind.INT64, "where the log starts, by its checkpoint or its first segment"),
    Column("log_end", Kind.INT64, "the offset behind the last record"),
    Column("active_segment", Kind.INT64, "where the last segment starts, which is never cleaned"),
    Column("cleaner_checkpoint", Kind.INT64, "how far the log cleaner came, by its checkpoint; null = not known"),
    Column("first_dirty", Kind.INT64, "where it would go on: the checkpoint, else the log's start"),
    Column("first_uncleanable", Kind.INT64, "how far it could come: where a segment starts"),
    Column("blocked_by", Kind.CATEGORY, "what it could not pass: active_segment, open_transaction, high_watermark"),
    Column("open_offset", Kind.INT64, "the first record of an open transaction; null = none is open"),
    Column("open_since", Kind.TIMESTAMP, "when that was written"),
    Column("open_producer_id", Kind.INT64, "whose transaction it is"),
    Column("clean_bytes", Kind.INT64, "segments before first_dirty"),
    Column("cleanable_bytes", Kind.INT64, "segments from there to first_uncleanable"),
    Column("uncleanable_bytes", Kind.INT64, "segments behind it"),
    Column("dirty_ratio", Kind.DOUBLE, "cleanable_bytes by clean_bytes and cleanable_bytes, as the broker weighs logs; "
           "it cleans from min.cleanable.dirty.ratio on, usually 0.5"),
    Column("kept_records", Kind.INT64, "records before first_uncleanable that cleaning would leave"),
    Column("kept_bytes", Kind.INT64, "their bytes; in compressed batches this is a guess"),
    Column("left_bytes", Kind.INT64, "what the log would hold after it: kept_bytes and uncleanable_bytes"),
    Column("least_records", Kind.INT64, "records that would be left if all of the log could be cleaned"),
    Column("least_bytes", Kind.INT64, "their bytes"),
    Column("complete", Kind.BOOL, "whether every record that was written to the log partition is here"),
    Column("why", Kind.TEXT, "what keeps the log from being smaller, in words"),
)

GROWTH_ROWS: tuple[tuple[str, str, tuple[Column, ...]], ...] = (
    (COMPACTION_ROW, """How far one log has been cleaned and could be, and what would be left. Printed by
`offdecode growth`. It says what the rules of the log cleaner give for these segments, at the time of their last
record; empty batches that it keeps for producers are not counted.""", _COMPACTION),
    (GROWTH_ROW, """Records and bytes of one log, by what was asked for. Printed by `offdecode growth`. Each record is
counted in one of the parts.""", _GROWTH),
)
