"""offdecode explain: how each offset moved, and what speaks for why."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import Any

import click

from offdecode.cli.options import answer_options, commit_options, source_options, topic_ids_option

_MINUTE_MS = 60_000


@click.command("explain")
@source_options
@commit_options
@click.option("--offsets-retention-minutes", "retention", metavar="N", type=click.IntRange(0), default=10080,
              show_default=True, help="The broker's offsets.retention.minutes: an offset that was gone earlier "
              "did not expire.")
@topic_ids_option
@answer_options("text")
def command(
    paths: tuple[Path, ...],
    retention: int,
    topic_ids: Path | None,
    output: Path | None,
    output_format: str | None,
    timestamps: Any,
    problems_file: Path | None,
    strict: bool,
    engine: Any,
    show_stats: bool,
    **selected: Any,
) -> int:
    """Tell how each committed offset moved: advances, rewinds, resets, deletions, and who held the partition.

    PATH as for decode. A row is printed when its movement ends; --format text sorts them into timelines.
    Why is inferred: each row names the signals and how sure they make it.
    """
    from offdecode.answers import explanation
    from offdecode.cli.run import Answer, Output, run_answer
    from offdecode.pipeline import Request
    from offdecode.schemas.history_rows import HIDDEN_RANGE_ROW, MOVEMENT_ROW
    from offdecode.sinks.text.lines import TextSink
    from offdecode.sinks.text.movements import Timeline

    by_key = output_format == "text"
    chunks = partial(explanation, retention_ms=retention * _MINUTE_MS, topic_ids=topic_ids, by_key=by_key)
    one_file = output is not None and output.suffix == ".parquet" and not output.is_dir()
    row_types = (MOVEMENT_ROW,) if one_file else (MOVEMENT_ROW, HIDDEN_RANGE_ROW)
    answer = Answer(row_types, chunks, {"text": partial(TextSink, lines=Timeline())})
    request = Request(paths=paths, engine=engine, **selected)
    target = Output(output, output_format, timestamps, problems_file, strict, show_stats, jobs=1)
    return run_answer(answer, request, target, terminal=sys.stderr.isatty())
