"""How far a state can be trusted: what is missing before the moment asked for, as reasons in words."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc

from offdecode.history.offsets.commits import UNKNOWN
from offdecode.history.offsets.moment import AsOf, Cut
from offdecode.model import LARGEST_INT64, Coverage, Span, SpanState

_LISTED = 3  # ranges of offsets; check lists them all


def log_reasons(coverage: Coverage, as_of: AsOf, cut: Cut) -> Iterator[str]:
    """Why the state of every group of a log may be incomplete."""
    if coverage.exported:
        yield "exported records do not tell what is missing, nor which commits were transactional"
    until = cut.last_offset if cut.left_out else LARGEST_INT64
    if until is None:
        return
    lost = [span for span in coverage.gaps if span.state is not SpanState.COMPACTED and span.first_offset <= until]
    yield from map(_range, lost[:_LISTED])
    if len(lost) > _LISTED:
        yield f"{len(lost) - _LISTED} more ranges of offsets are not here"
    if coverage.undecoded is not None and coverage.undecoded <= until:
        yield f"a record at offset {coverage.undecoded} cannot be decoded"
    compacted = [span for span in coverage.gaps if span.state is SpanState.COMPACTED and span.first_offset <= until]
    if cut.left_out and compacted:
        yield (
            "a lower bound: compaction has since removed records from before the moment, "
            f"from offset {compacted[0].first_offset} on"
        )
    if as_of.log_offset is not None and (coverage.last_offset or -1) < as_of.log_offset:
        yield f"the log in the evidence ends at offset {coverage.last_offset}"
    if as_of.time is not None and cut.untimed:
        yield f"{cut.untimed} records have no time; they were placed by the time before them"


def _range(span: Span) -> str:
    end = "the end" if span.last_offset is None else span.last_offset
    return f"offsets {span.first_offset} to {end} are {span.state}: {span.reason}"


def group_reasons(coverage: Coverage, committed: pa.Table, pending: pa.Table) -> dict[str, list[str]]:
    """Why the state of single groups may be incomplete, by group."""
    found: dict[str, list[str]] = defaultdict(list)
    producers: dict[tuple[str, str], set[int]] = defaultdict(set)
    for row in pending.select(["group", "transaction", "producer_id"]).to_pylist():
        producers[row["group"], row["transaction"]].add(row["producer_id"])
    for (group, transaction), ids in producers.items():
        named = ", ".join(map(str, sorted(ids)))
        end = "its end is lost" if transaction == UNKNOWN else "not decided then"
        found[group].append(f"pending offsets of a transaction ({end}) of producer {named}")
    if any(span.state is SpanState.COMPACTED for span in coverage.gaps):
        outlived = pc.equal(committed.column("key_type"), 0)
        for group in committed.column("group").filter(outlived).unique().to_pylist():
            found[group].append("offsets set by a record of key type 0, which may have outlived its deletion")
    return found
