"""All record types that offdecode knows: one line for each family's tables."""

from __future__ import annotations

from offdecode.schemas import group_metadata, offset_commit
from offdecode.schemas.layout import RecordType

RECORD_TYPES: tuple[RecordType, ...] = (
    *offset_commit.RECORD_TYPES,
    *group_metadata.RECORD_TYPES,
)

# The row type of a single Parquet file when none is named.
DEFAULT_ROW_TYPE = offset_commit.ROW_TYPE
