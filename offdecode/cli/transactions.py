"""offdecode transactions: each transaction in the log, and what an open one holds back."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import Any

import click

from offdecode.cli.options import answer_options, group_options, source_options


@click.command("transactions")
@source_options
@group_options
@click.option("--open", "undecided", is_flag=True, help="Only transactions that are open, or whose end is lost.")
@answer_options("text")
def command(
    paths: tuple[Path, ...],
    undecided: bool,
    output: Path | None,
    output_format: str | None,
    timestamps: Any,
    problems_file: Path | None,
    strict: bool,
    engine: Any,
    show_stats: bool,
    **selected: Any,
) -> int:
    """List the transactions of each partition of the offsets topic: decided when and how, or open since when.

    PATH as for decode. --since and --until choose by the time of the first record, or of the marker without any.
    """
    from offdecode.cli.run import Answer, Output, run_answer
    from offdecode.pipeline import Request
    from offdecode.replays import transactions
    from offdecode.schemas.state_rows import TRANSACTION_ROW
    from offdecode.sinks.text.lines import TextSink
    from offdecode.sinks.text.state import transaction_lines

    answer = Answer(
        (TRANSACTION_ROW,),
        partial(transactions, undecided=undecided),
        {"text": partial(TextSink, lines=transaction_lines)},
    )
    request = Request(paths=paths, engine=engine, **selected)
    target = Output(output, output_format, timestamps, problems_file, strict, show_stats, jobs=1)
    return run_answer(answer, request, target, terminal=sys.stderr.isatty())
