"""What a check has found to what the page shows of the evidence: files, completeness, problems, facts on top."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from offdecode.model import SpanState
from offdecode.options import Filter
from offdecode.reporting.seen import Row, Seen
from offdecode.sinks.text.lines import printable
from offdecode.sinks.text.words import offsets_words, time_words

STATES = {
    SpanState.COMPLETE: "complete",
    SpanState.COMPACTED: "cleaned by the log cleaner",
    SpanState.UNDECIDED: "not decided",
    SpanState.ABOVE_HIGH_WATERMARK: "above the high watermark",
    SpanState.MISSING: "missing",
    SpanState.DAMAGED: "damaged",
}
_WORST = list(STATES)  # the worst last
_COLUMNS = 1000  # of a picture of completeness
_MOST_FILES = 2000
_MOST_TEXTS = 6
_MOST_PROBLEMS = 300


def evidence_parts(seen: Seen) -> dict[str, Any]:
    """What the template says of the evidence, by its names there."""
    checks, rows, topic = seen.checks, seen.request.rows, seen.request.source.topic_name
    files = [] if checks is None else list(_files(checks))
    problems = seen.problems
    named = ", ".join(f"{count:,} {kind}" for kind, count in sorted(problems.by_kind.items()))
    more = problems.count - len(problems.first[:_MOST_PROBLEMS])
    hidden = seen.group_count - len(seen.groups)
    left = seen.transaction_count - len(seen.transactions)
    return {
        "topic": topic,
        "chosen": _chosen(rows),
        "since": None if rows.since is None else time_words(rows.since),
        "cards": list(_cards(seen, sum(file["type"] != "container" for file in files))),
        "checks": checks,
        "states": {str(state): words for state, words in STATES.items()},
        "partitions": [] if checks is None else [_partition(one) for one in checks if one["type"] == "partition"],
        "brokers": sorted(seen.brokers.items()),
        "files": files[:_MOST_FILES],
        "files_more": f"and {len(files) - _MOST_FILES:,} more: offdecode check lists all" * (len(files) > _MOST_FILES),
        "problems": problems.first[:_MOST_PROBLEMS],
        "problems_words": named + (f"; {more:,} more than are listed here" if more else ""),
        "hidden_groups": f"{hidden:,} more have less to show: offdecode groups lists all" if hidden else "",
        "transactions": seen.transactions,
        "transactions_more": f" {left:,} more hold back less." if left else "",
        "untimed": [f"{seen.untimed:,} commits have no time, and are in no picture."] if seen.untimed else [],
    }


def _chosen(rows: Filter) -> str:
    """What of the log is shown, in words; empty = all."""
    found = [f"group {name}" for name in rows.groups[:_MOST_TEXTS]]
    if len(rows.groups) > _MOST_TEXTS:
        found.append(f"{len(rows.groups) - _MOST_TEXTS:,} more groups")
    if rows.group_regex is not None:
        found.append(f"groups whose name matches {rows.group_regex}")
    times = [f"from {time_words(rows.since)}"] * (rows.since is not None)
    times += [f"to {time_words(rows.until)}"] * (rows.until is not None)
    return printable(", ".join((" and ".join(found), *times)).strip(", "))


def _cards(seen: Seen, files: int) -> Iterator[Row]:
    """The facts on top of the page."""
    logs = [log for log in seen.logs if log.read]
    whole = sum(log.complete for log in logs)
    yield _card("Groups", f"{seen.group_count:,}", f"{sum(group.row['why'] is not None for group in seen.groups):,} "
                "worth a look")  # fmt: skip
    yield _card("Rows decoded", f"{seen.rows:,}", f"from {seen.bytes:,} bytes in {files:,} files")
    if len(seen.bars.starts):
        (day, first), (last_day, last) = map(_day_and_time, (int(seen.bars.starts[0]), int(seen.bars.starts[-1])))
        yield _card("Times, UTC", day, f"{first} to {last}" if day == last_day else f"{first} to {last_day} {last}")
    if all(log.exported for log in logs):
        yield _card("Completeness", "not known", "exported records do not tell", "warn")
    else:
        there_were = len(logs) + sum(one["type"] == "missing_partition" for one in seen.checks or ())
        words = "complete" if whole == there_were else f"{whole:,} of {there_were:,} complete"
        look = "good" if whole == there_were else "warn"
        yield _card("Completeness", words, f"{there_were:,} partitions of {seen.request.source.topic_name}", look)
    yield _card("Problems", f"{seen.problems.count:,}", "", "bad" if seen.problems.count else "good")
    if seen.transaction_count:
        yield _card("Transactions without an end", f"{seen.transaction_count:,}", "", "warn")


def _day_and_time(time: int) -> tuple[str, str]:
    day, _, rest = time_words(time).partition("T")
    return day, rest[:8]


def _card(title: str, value: str, more: str, look: str | None = None) -> Row:
    return {"title": title, "value": value, "more": more, "look": look}


def _files(checks: list[Row]) -> Iterator[Row]:
    for one in checks:
        if one["type"] == "container":
            yield {**one, "why": ""}
            continue
        left_over = one["type"] == "leftover"
        for file in (one["file"],) if left_over else one.get("files", ()):
            yield {
                **file,
                "type": "segment",
                "range": offsets_words(file["first_offset"], file["last_offset"]),
                "records": sum(file["records_by_type"].values()),
                "why": f"left over, and not read: {one['why']}" if left_over else "",
            }


def _partition(one: Row) -> Row:
    spans = [span for span in one["completeness"] if span["first_offset"] is not None]
    unwhole = [span for span in spans if span["state"] != SpanState.COMPLETE]
    texts = [_span_words(span) for span in unwhole[:_MOST_TEXTS]]
    if len(unwhole) > _MOST_TEXTS:
        texts.append(f"and {len(unwhole) - _MOST_TEXTS:,} more")
    number = "of no known number" if one["log_partition"] is None else one["log_partition"]
    ends = [file["last_offset"] for file in one["files"] if file["last_offset"] is not None]
    starts = [file["first_offset"] for file in one["files"] if file["first_offset"] is not None]
    return {
        "name": f"partition {number}",
        "range": offsets_words(min(starts, default=None), max(ends, default=None)),
        "copies": [_copy_words(copy) for copy in one.get("copies", ())],
        "spans": list(_columns(spans, max(ends, default=0))),
        "label": f"partition {number}: " + ("; ".join(texts) or "complete"),
        "texts": texts,
        "problems": one["problem_count"],
    }


def _copy_words(copy: Row) -> str:
    broker = "" if copy["broker"] is None else f" of broker {copy['broker']}"
    return f"copy{broker}: {copy['records']:,} records, {copy['alone']:,} in no other"


def _columns(spans: list[Row], last: int) -> Iterator[Row]:
    """Runs of columns of a picture, each column as the worst of what lies in it."""
    if not spans:
        return
    first = min(span["first_offset"] for span in spans)
    last = max([last, first, *(span["last_offset"] for span in spans if span["last_offset"] is not None)])
    scale = _COLUMNS / (last - first + 1)
    columns: list[Row | None] = [None] * _COLUMNS
    for span in sorted(spans, key=lambda span: _WORST.index(span["state"])):
        end = last if span["last_offset"] is None else span["last_offset"]
        left = min(int((span["first_offset"] - first) * scale), _COLUMNS - 1)
        right = min(max(int((end - first + 1) * scale), left + 1), _COLUMNS)
        columns[left:right] = [span] * (right - left)
    at = 0
    while at < _COLUMNS:
        found, end = columns[at], at + 1
        while end < _COLUMNS and columns[end] is found:
            end += 1
        if found is not None:
            yield {"state": found["state"], "x": at, "width": end - at, "title": _span_words(found)}
        at = end


def _span_words(span: Row) -> str:
    words = f"{STATES[SpanState(span['state'])]}: {offsets_words(span['first_offset'], span['last_offset'])}"
    if span["first_timestamp"] is not None or span["last_timestamp"] is not None:
        words += f", {time_words(span['first_timestamp'])} to {time_words(span['last_timestamp'])}"
    return f"{words} ({span['reason']})" if span["reason"] else words
