"""offdecode lag: how far behind the committed offsets are."""

from __future__ import annotations

from functools import partial

import click

from offdecode.cli.options import Taken, output_of, paths_argument, takes
from offdecode.options import COMMITS, GROUPS, TIMES, Filter, LagOptions, Output, Reading, Source


@click.command("lag")
@paths_argument
@takes(Source, LagOptions, Taken(Filter, (*GROUPS, *COMMITS, *TIMES)), Reading, output_of(jobs=True))
def command(source: Source, asked: LagOptions, rows: Filter, reading: Reading, output: Output) -> int:
    """Tell how far each committed offset is behind the end of its partition, at the end or at earlier moments.

    PATH is a data directory, or what holds one: the logs of the users' topics lie beside the offsets log. Of these
    only headers, indexes and checkpoints are read.
    """
    from offdecode.cli.run import run_answer
    from offdecode.questions.lag import lag, lag_by_log, lag_request
    from offdecode.schemas.state_rows import LAG_ROW
    from offdecode.sinks.text.lag import lag_lines
    from offdecode.sinks.text.lines import TableSink
    from offdecode.writing import Answer

    answer = Answer(
        (LAG_ROW,), partial(lag, asked=asked), {"table": partial(TableSink, lines=lag_lines)},
        None if asked.every is not None else partial(lag_by_log, asked=asked),
    )  # fmt: skip
    return run_answer(answer, lag_request(source, asked, rows, reading), output, asked.as_of)
