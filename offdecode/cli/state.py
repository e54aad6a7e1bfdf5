"""offdecode state: what was committed, and which groups there were, at a moment."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import click

from offdecode.cli.options import Taken, output_of, paths_argument, takes
from offdecode.options import COMMITS, GROUPS, Filter, Output, Reading, Source, StateOptions, TopicIds


@click.command("state")
@paths_argument
@takes(Source, StateOptions, Taken(Filter, (*GROUPS, *COMMITS)), TopicIds, Reading, output_of(jobs=True))
def command(
    source: Source, asked: StateOptions, rows: Filter, names: TopicIds, reading: Reading, output: Output
) -> int:
    """Tell the committed and pending offsets and the groups, as of a moment.

    PATH as for decode. --format csv without --type is what kafka-consumer-groups --reset-offsets --from-file reads.
    """
    from offdecode.cli.run import run_answer
    from offdecode.questions.state import state, state_by_log, state_request
    from offdecode.schemas.state_rows import STATE_ROW_TYPES
    from offdecode.sinks.csv import ValuesSink
    from offdecode.sinks.text.lines import TableSink
    from offdecode.sinks.text.state import RESET_COLUMNS, RESET_ROW, state_lines
    from offdecode.writing import Answer

    if output.format == "table" and asked.as_of_offset is None:
        asked = replace(asked, with_lag=True)
    request = state_request(source, asked, rows, reading)
    answer = Answer(
        asked.types or STATE_ROW_TYPES,
        partial(state, asked=asked, names=names),
        {
            "table": partial(TableSink, lines=state_lines),
            **({} if asked.types else {"csv": partial(ValuesSink, name=RESET_ROW, columns=RESET_COLUMNS)}),
        },
        None if asked.as_of_offset is not None else partial(state_by_log, asked=asked, names=names),
    )
    return run_answer(answer, request, output, asked.as_of)
