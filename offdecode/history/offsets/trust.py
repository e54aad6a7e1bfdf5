"""How far a state can be trusted: what is missing before the moment asked for, as reasons in words."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc

from offdecode.history.offsets.commits import UNKNOWN
from offdecode.history.offsets.moment import AsOf, Cut
from offdecode.model import Coverage


def log_reasons(coverage: Coverage, as_of: AsOf, cut: Cut) -> Iterator[str]:
    """Why the state of every group of a log may be incomplete."""
    if coverage.exported:
        yield "exported records do not tell what is missing, nor which commits were transactional"
    if coverage.missing_start is not None:
        yield f"the log starts at offset {coverage.missing_start}: what was written before is not in the evidence"
    until = cut.last_offset if cut.left_out else coverage.last_offset
    if until is None:
        return
    if coverage.first_lost is not None and coverage.first_lost <= until:
        yield f"records are missing from offset {coverage.first_lost} on, and nothing tells that cleaning removed them"
    if coverage.undecoded is not None and coverage.undecoded <= until:
        yield f"a record at offset {coverage.undecoded} cannot be decoded"
    if cut.left_out and coverage.first_cleaned is not None and coverage.first_cleaned <= until:
        yield (
            "a lower bound: compaction has since removed records from before the moment, "
            f"from offset {coverage.first_cleaned} on"
        )
    if as_of.log_offset is not None and (coverage.last_offset or -1) < as_of.log_offset:
        yield f"the log in the evidence ends at offset {coverage.last_offset}"
    if as_of.time is not None and cut.untimed:
        yield f"{cut.untimed} records have no time; they were placed by the time before them"


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
    if coverage.first_cleaned is not None:
        outlived = pc.equal(committed.column("key_type"), 0)
        for group in committed.column("group").filter(outlived).unique().to_pylist():
            found[group].append("offsets set by a record of key type 0, which may have outlived its deletion")
    return found
