"""All record types that offdecode knows: one line for each family's tables."""

from __future__ import annotations

from functools import cache

from offdecode.schemas import consumer_group, group_metadata, offset_commit, share_group, streams_group
from offdecode.schemas.layout import RecordType

RECORD_TYPES: tuple[RecordType, ...] = tuple(sorted((
    *offset_commit.RECORD_TYPES,
    *group_metadata.RECORD_TYPES,
    *consumer_group.RECORD_TYPES,
    *share_group.RECORD_TYPES,
    *streams_group.RECORD_TYPES,
), key=lambda record: record.key_type))

KEY_VERSION = 0  # of all keys' layouts

# The row type of a single Parquet file when none is named.
DEFAULT_ROW_TYPE = offset_commit.ROW_TYPE


@cache
def by_key_type() -> dict[int, RecordType]:
    """{key type: the record type of these keys}."""
    return {record.key_type: record for record in RECORD_TYPES}
