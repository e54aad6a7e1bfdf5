"""What is missing of a log to the ranges of it where something could have hidden."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from offdecode.model import Coverage
from offdecode.schemas.history_rows import HIDDEN_RANGE_ROW


def hidden_ranges(coverage: Coverage) -> Iterator[dict[str, Any]]:
    """A row for each reason why records may have been that are not here."""
    if coverage.exported:
        yield _row(coverage, None, None, "exported records do not tell what is missing")
        return
    if coverage.missing_start is not None:
        yield _row(coverage, 0, coverage.missing_start - 1, "the segments that held these offsets are not here")
    for first, reason in (
        (coverage.first_cleaned, "the log cleaner has removed records from here on that later ones replaced"),
        (coverage.first_lost, "records are missing from here on, and nothing tells that cleaning removed them"),
        (coverage.undecoded, "records from here on cannot be decoded"),
    ):
        if first is not None:
            yield _row(coverage, first, coverage.last_offset, reason)


def anything_hidden(coverage: Coverage, log_offset: int) -> bool:
    """Whether records before this offset may have been that are not here."""
    starts = (coverage.first_cleaned, coverage.first_lost, coverage.undecoded)
    return (
        coverage.exported
        or coverage.missing_start is not None
        or any(start is not None and start <= log_offset for start in starts)
    )


def _row(coverage: Coverage, first: int | None, last: int | None, reason: str) -> dict[str, Any]:
    return {
        "type": HIDDEN_RANGE_ROW,
        "log_partition": coverage.log_partition,
        "first_log_offset": first,
        "last_log_offset": last,
        "reason": reason,
    }
