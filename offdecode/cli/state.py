"""offdecode state: what was committed, and which groups there were, at a moment."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import Any

import click

from offdecode.cli.options import LogPlace, Time, answer_options, key_options, source_options, topic_ids_option


@click.command("state")
@source_options
@click.option("--as-of", metavar="TIME", type=Time(),
              help="The state at this time, end included: RFC 3339, or milliseconds since 1970 UTC. "
              "Default: where the log ends.")
@click.option("--as-of-offset", metavar="PARTITION:OFFSET", type=LogPlace(),
              help="The state of one partition of the offsets topic behind the record at this offset.")
@click.option("--coordinator", type=click.Choice(["new", "old-live", "old-load"]), default="new", show_default=True,
              help="Whose rules hold for offsets deleted while a transaction was open: the new coordinator's, the old "
              "one's while it ran, or the old one's that loaded the log.")
@key_options
@click.option("--type", "row_types", metavar="TYPE", multiple=True,
              help="Only rows of this type: group, committed_offset or pending_offset; repeatable.")
@topic_ids_option
@answer_options("table", "csv")
def command(
    paths: tuple[Path, ...],
    as_of: int | None,
    as_of_offset: tuple[int, int] | None,
    coordinator: str,
    row_types: tuple[str, ...],
    topic_ids: Path | None,
    topics: tuple[str, ...],
    partitions: tuple[int, ...],
    output: Path | None,
    output_format: str | None,
    timestamps: Any,
    problems_file: Path | None,
    strict: bool,
    engine: Any,
    show_stats: bool,
    **selected: Any,
) -> int:
    """Tell the committed and pending offsets and the groups, as of a moment.

    PATH as for decode. --format csv is what kafka-consumer-groups --reset-offsets --from-file reads.
    """
    from offdecode.api import checked_row_type
    from offdecode.cli.run import Answer, Output, run_answer
    from offdecode.errors import UsageError
    from offdecode.history.offsets.moment import AsOf
    from offdecode.history.offsets.rules import Coordinator
    from offdecode.history.offsets.state import Question
    from offdecode.pipeline import Request
    from offdecode.replays import state
    from offdecode.schemas.state_rows import STATE_ROW_TYPES
    from offdecode.sinks.csv import CsvSink
    from offdecode.sinks.text.lines import TableSink
    from offdecode.sinks.text.state import RESET_COLUMNS, RESET_ROW, state_lines

    if as_of is not None and as_of_offset is not None:
        raise UsageError("--as-of and --as-of-offset both name the moment: give one")
    moment = AsOf(as_of)
    if as_of_offset is not None:
        selected["log_partitions"], moment = (as_of_offset[0],), AsOf(log_offset=as_of_offset[1])
    wanted = tuple(checked_row_type(name, STATE_ROW_TYPES) for name in row_types) or STATE_ROW_TYPES
    question = Question(moment, Coordinator(coordinator), topics, partitions)
    answer = Answer(wanted, partial(state, question=question, topic_ids=topic_ids, row_types=wanted), {
        "table": partial(TableSink, lines=state_lines),
        "csv": partial(CsvSink, row_type=RESET_ROW, columns=RESET_COLUMNS),
    })  # fmt: skip
    request = Request(paths=paths, engine=engine, **selected)
    target = Output(output, output_format, timestamps, problems_file, strict, show_stats, jobs=1)
    return run_answer(answer, request, target, terminal=sys.stderr.isatty())
