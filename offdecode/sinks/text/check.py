"""A check's findings to lines for a person."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

from offdecode.model import SpanState
from offdecode.schemas.releases import Loading
from offdecode.sinks.text.lines import Line, Style, Styled
from offdecode.sinks.text.words import count_words, digest_words, offsets_words, range_words, time_words

Row = dict[str, Any]

_EXPECTED = (SpanState.COMPLETE, SpanState.COMPACTED)
_MARKS = {
    "high_watermark": "high watermark", "log_start": "log start", "cleaner": "cleaned up to",
    "recovery_point": "flushed up to",
}  # fmt: skip
_NOT_HERE = "not in the evidence"
_EMPTY = "without records"
_WOULD = {
    Loading.REFUSED: "refuse", Loading.MISREAD: "misread", Loading.SKIPPED: "skip", Loading.IN_PART: "read in part",
}  # fmt: skip
_REFUSING = (Loading.REFUSED, Loading.MISREAD)
_LISTED = 20  # problems a partition; --json has them all


def report_lines(found: Row) -> Iterator[Line]:
    """The report on a partition, a file that is left over, an archive, or a path that was not used.

    found: its `as_dict`.
    """
    yield from _LINES[found["type"]](found)


class Verdict:
    """What all that was found comes to, when it is through. broker: the release that was asked about."""

    def __init__(self, broker: str | None = None) -> None:
        self.problems = 0
        self._broker = broker
        self._loading: Counter[str] = Counter()  # records, by what the release makes of them
        self._partitions: dict[str, list[int | None]] = {}  # by the state of some of their offsets
        self._count = 0

    def note(self, found: Row, problems: int) -> None:
        """What a partition, or another thing that was found, adds. found: its `as_dict`."""
        self.problems += problems
        states: set[str] = set()
        if found["type"] == "partition":
            self._count += 1
            states = {span["state"] for span in found["completeness"]}
            states = (states - {SpanState.COMPLETE} or states) or {_EMPTY}
            for finding in found.get("loading", ()):
                self._loading[finding["loading"]] += finding["records"]
        elif found["type"] == "missing_partition":
            states = {_NOT_HERE}
        for state in states:
            self._partitions.setdefault(state, []).append(found["log_partition"])

    @property
    def good(self) -> bool:
        """Whether nothing is wrong, and the release would refuse or misread nothing."""
        return not self.problems and not any(self._loading[one] for one in _REFUSING)

    def lines(self) -> Iterator[Line]:
        """How many partitions there are, and which of them have offsets in which state."""
        counts = (count_words(self._count, "partition"), count_words(self.problems, "problem"))
        yield Styled(", ".join(counts), Style.WARNING if self.problems else Style.TITLE)
        for state in (*SpanState, _EMPTY, _NOT_HERE):
            if numbers := self._partitions.get(state):
                known = range_words(number for number in numbers if number is not None)
                names = ", ".join([known] * bool(known) + ["of no known number"] * (None in numbers))
                style = Style.PLAIN if state in _EXPECTED else Style.WARNING
                yield Styled(f"  {state.replace('_', ' ')}: {names}", style)
        if self._broker is not None:
            found = ((words, self._loading[loading]) for loading, words in _WOULD.items())
            told = ", ".join(f"{words} {count_words(records, 'record')}" for words, records in found if records)
            style = Style.WARNING if told else Style.PLAIN
            yield Styled(f"  Kafka {self._broker} would {told or 'read every record that is here'}", style)


def _unused_lines(found: Row) -> Iterator[Line]:
    prefix = "not used: " if found["type"] == "unused" else ""
    yield Styled(f"{prefix}{found['source']}: {found['message']}", Style.NOTABLE)


def _container_lines(found: Row) -> Iterator[str]:
    yield f"read from {found['path']}"
    yield f"    {digest_words(found)}"


def _partition_lines(found: Row) -> Iterator[Line]:
    name = "of no known number" if found["log_partition"] is None else str(found["log_partition"])
    yield Styled(f"partition {name}", Style.TITLE)
    marks = found["checkpoints"]
    known = [f"{words} {marks[name]}" for name, words in _MARKS.items() if marks[name] is not None]
    yield f"  {', '.join(known) or 'no checkpoint files tell of it: whether its end is here cannot be told'}"
    for copy in found.get("copies", ()):
        broker = "" if copy["broker"] is None else f" of broker {copy['broker']}"
        counts = f"{count_words(copy['records'], 'record')}, {copy['alone']:,} of them in no other copy"
        lost = f"{copy['lost_branch']:,} of a branch that did not stand"
        yield f"  copy{broker} {copy['directory']}: {counts}, {lost}"
    for file in found["files"]:
        yield from _file_lines(file)
    yield "  completeness" if found["completeness"] else "  completeness: there are no records"
    for span in found["completeness"]:
        yield Styled(f"    {_span(span)}", Style.PLAIN if span["state"] in _EXPECTED else Style.WARNING)
    for finding in found.get("loading") or ():
        yield Styled(f"  {_finding(finding)}", Style.WARNING)
    if found.get("loading") == []:
        yield "  that release would read every record"
    yield f"  problems: {found['problem_count']:,}"
    for problem in found["problems"][:_LISTED]:
        at = "" if problem["position"] is None else f" at byte {problem['position']:,}"
        yield Styled(f"    {problem['kind']}{at} of {problem['source']}: {problem['message']}", Style.WARNING)
    if found["problem_count"] > _LISTED:
        yield f"    and {found['problem_count'] - _LISTED:,} more (--json lists them)"


def _leftover_lines(found: Row) -> Iterator[str]:
    file = found["file"]
    yield f"left over, and read only with --leftovers: {file['path']} ({found['why']})"
    yield f"    {digest_words(file)}"
    yield (
        f"    offsets {offsets_words(file['first_offset'], file['last_offset'])}, {_batches(file)}, "
        f"of which {found['beyond_log']:,} begin where the log of the partition lacks offsets"
    )


def _file_lines(file: Row) -> Iterator[str]:
    yield f"  {file['path']}"
    yield f"    {digest_words(file)}"
    times = _times(file["first_timestamp"], file["last_timestamp"])
    yield f"    offsets {offsets_words(file['first_offset'], file['last_offset'])}, {times}"
    magics = _counts(file["batches_by_magic"], "magic ")
    codecs = _counts(file["batches_by_codec"])
    bad = count_words(file["crc_failures"], "bad checksum")
    yield f"    {_batches(file)} ({magics}; {codecs}), {bad}"
    yield f"    records: {_counts(file['records_by_type'])}"
    tail = "clean" if file["tail"] == "clean" else f"{file['tail'].replace('_', ' ')}, {file['tail_bytes']:,} bytes"
    yield f"    gaps {file['gaps']:,} ({file['gap_bytes']:,} bytes), end: {tail}"


def _batches(file: Row) -> str:
    return count_words(file["batches"], "batch", "batches")


def _finding(finding: Row) -> str:
    count = count_words(finding["records"], "record")
    place = f"{count} {finding['row_type']}, the first at offset {finding['first_offset']}"
    return f"{finding['loading'].replace('_', ' ')}: {place}: {finding['reason']}"


def _span(span: Row) -> str:
    text = f"{span['state'].replace('_', ' ')}: offsets {offsets_words(span['first_offset'], span['last_offset'])}"
    text += f", {_times(span['first_timestamp'], span['last_timestamp'])}"
    return f"{text} ({span['reason']})" if span["reason"] else text


def _counts(counts: dict[str, int], before: str = "") -> str:
    return ", ".join(f"{before}{name}: {count:,}" for name, count in counts.items()) or "none"


def _times(first: int | None, last: int | None) -> str:
    return "no times" if first is None and last is None else f"{_time(first)} to {_time(last)}"


def _time(milliseconds: int | None) -> str:
    return "not known" if milliseconds is None else time_words(milliseconds)


_LINES: dict[str, Callable[[Row], Iterator[Line]]] = {
    "partition": _partition_lines,
    "leftover": _leftover_lines,
    "container": _container_lines,
    "unused": _unused_lines,
    "copies": _unused_lines,
    "missing_partition": _unused_lines,
}
