"""What is missing of a log to the ranges of it where something could have hidden."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from offdecode.model import Coverage
from offdecode.schemas.history_rows import HIDDEN_RANGE_ROW


def hidden_ranges(coverage: Coverage) -> Iterator[dict[str, Any]]:
    """A row for each range of offsets in which records may have been that are not here."""
    if coverage.exported:
        yield _row(coverage, None, None, "exported records do not tell what is missing")
    for span in coverage.gaps:
        yield _row(coverage, span.first_offset, span.last_offset, f"{span.state}: {span.reason}")


def _row(coverage: Coverage, first: int | None, last: int | None, reason: str) -> dict[str, Any]:
    return {
        "type": HIDDEN_RANGE_ROW,
        "log_partition": coverage.log_partition,
        "first_log_offset": first,
        "last_log_offset": last,
        "reason": reason,
    }
