"""offdecode explain: how each offset moved, and what speaks for why."""

from __future__ import annotations

from functools import partial

import click

from offdecode.cli.options import Taken, output_of, paths_argument, takes
from offdecode.options import (
    COMMITS,
    GROUPS,
    TIMES,
    ExplainOptions,
    Filter,
    MovementOptions,
    Output,
    Reading,
    Source,
    TopicIds,
)


@click.command("explain")
@paths_argument
@takes(
    Source, Taken(Filter, (*GROUPS, *COMMITS, *TIMES)), MovementOptions, ExplainOptions, TopicIds, Reading,
    output_of(("text", "timesketch"), jobs=True),
)  # fmt: skip
def command(  # noqa: PLR0913 - a value for each group of options
    source: Source, rows: Filter, chosen: MovementOptions, asked: ExplainOptions, names: TopicIds, reading: Reading,
    output: Output,
) -> int:  # fmt: skip
    """Tell how each committed offset moved: advances, rewinds, resets, deletions, and who held the partition.

    PATH as for decode. A row is printed when its movement ends; --format text sorts them into timelines, --format
    timesketch makes events of them, as CSV.
    Why is inferred: each row names the signals and how sure they make it.
    """
    from offdecode.by_log import Together, put_together
    from offdecode.cli.run import run_answer
    from offdecode.questions.explain import ByKey, explain, explain_by_log
    from offdecode.request import Request
    from offdecode.schemas.history_rows import HIDDEN_RANGE_ROW, MOVEMENT_ROW
    from offdecode.sinks.text.lines import ListingSink, TextSink
    from offdecode.sinks.text.movements import MOVEMENT_LISTING, Timeline
    from offdecode.sinks.text.timesketch import MOVEMENT_EVENTS, EventSink
    from offdecode.writing import Answer

    row_types = (MOVEMENT_ROW,) if output.one_type else (MOVEMENT_ROW, HIDDEN_RANGE_ROW)
    chunks = partial(explain, asked=asked, names=names, chosen=chosen)
    answer = Answer(
        row_types,
        (lambda run: put_together(chunks(run), ByKey())) if output.format == "text" else chunks,
        {
            "text": partial(TextSink, lines=Timeline()),
            "table": partial(ListingSink, listing=MOVEMENT_LISTING),
            "timesketch": partial(EventSink, events=MOVEMENT_EVENTS),
        },
        partial(explain_by_log, asked=asked, names=names, chosen=chosen),
        ByKey if output.format == "text" else Together,
    )
    return run_answer(answer, Request(source, rows, reading=reading), output)
