"""What was carved to lines for a person."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from offdecode.sinks.text.lines import printable
from offdecode.sinks.text.words import count_words, digest_words

_COUNTED = {
    "batches": ("batch", "batches"), "bytes": ("byte",), "segments": ("segment",), "copies": ("copy", "copies"),
}  # fmt: skip


def summary_lines(summary: dict[str, Any], directory: str) -> Iterator[str]:
    """The report on a carving. summary: the manifest's first line."""
    for image in summary["images"]:
        yield f"{printable(image['image'])}: {digest_words(image)}"
    known = {"given": "as given", "inferred": "as the groups found tell", "assumed": "assumed: nothing found tells"}
    partitions = summary["topic_partitions"]
    yield f"the offsets topic has {count_words(partitions, 'partition')} ({known[summary['topic_partitions_known']]})"
    for one in summary["partitions"]:
        counts = ", ".join(count_words(one[name], *words) for name, words in _COUNTED.items())
        yield f"partition {one['log_partition']}: {counts}"
    counts = ", ".join(count_words(summary[name], *_COUNTED[name]) for name in ("batches", "bytes"))
    yield f"{counts}, in {printable(directory)}"
    yield (
        f"{summary['put_together']:,} put together out of two places, {summary['equal']:,} equal to one of these, "
        f"{summary['foreign']:,} of other topics left out"
    )
    if summary["gave_up"]:
        yield "not all batches that are cut were tried: there are too many places where one may begin or go on"
    if summary["left"]:
        yield f"{summary['left']:,} of no known place in a log: the manifest lists them"
    if summary["elsewhere"]:
        yield f"{summary['elsewhere']:,} of groups that belong in another partition than what lies beside them"
