"""offdecode generations: who was in which generation of a group, and what changed with it."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import Any

import click

from offdecode.cli.options import answer_options, group_options, source_options, topic_ids_option


@click.command("generations")
@source_options
@group_options
@click.option("--summary", is_flag=True, help="One row per group: rebalances per hour, churn, longest stable time.")
@topic_ids_option
@answer_options("text")
def command(
    paths: tuple[Path, ...],
    summary: bool,
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
    """List the generations or epochs of groups: members, who came and went, which partitions moved.

    PATH as for decode. Generations before --since are read too, for what changed since.
    """
    from offdecode.answers import generation_summary, generations
    from offdecode.cli.run import Answer, Output, run_answer
    from offdecode.pipeline import Request
    from offdecode.schemas.history_rows import GENERATION_ROW, GENERATION_SUMMARY_ROW
    from offdecode.sinks.text.generations import generation_lines, summary_lines
    from offdecode.sinks.text.lines import TextSink

    row_type = GENERATION_SUMMARY_ROW if summary else GENERATION_ROW
    chunks = partial(generation_summary if summary else generations, topic_ids=topic_ids)
    lines = summary_lines if summary else generation_lines
    answer = Answer((row_type,), chunks, {"text": partial(TextSink, lines=lines)})
    request = Request(paths=paths, engine=engine, **selected)
    target = Output(output, output_format, timestamps, problems_file, strict, show_stats, jobs=1)
    return run_answer(answer, request, target, terminal=sys.stderr.isatty())
