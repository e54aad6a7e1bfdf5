"""offdecode generations: who was in which generation of a group, and what changed with it."""

from __future__ import annotations

from functools import partial

import click

from offdecode.cli.options import Taken, output_of, paths_argument, takes
from offdecode.errors import UsageError
from offdecode.options import GROUPS, TIMES, Filter, GenerationOptions, Output, Reading, Source, TopicIds


@click.command("generations")
@paths_argument
@takes(
    Source,
    Taken(Filter, (*GROUPS, *TIMES)),
    GenerationOptions,
    TopicIds,
    Reading,
    output_of(("text", "timesketch"), jobs=True),
)
def command(
    source: Source, rows: Filter, asked: GenerationOptions, names: TopicIds, reading: Reading, output: Output
) -> int:
    """List the generations or epochs of groups: members, who came and went, which partitions moved.

    PATH as for decode. --format timesketch makes events of a timeline of them, as CSV. Generations before --since are
    read too, for what changed since.
    """
    from offdecode.by_log import Together
    from offdecode.cli.run import run_answer
    from offdecode.questions.generations import Summary, generations, generations_by_log
    from offdecode.request import Request
    from offdecode.schemas.history_rows import GENERATION_ROW, GENERATION_SUMMARY_ROW
    from offdecode.sinks.text.generations import GENERATION_LISTING, SUMMARY_LISTING, generation_lines, summary_lines
    from offdecode.sinks.text.lines import ListingSink, TextSink
    from offdecode.sinks.text.timesketch import GENERATION_EVENTS, EventSink
    from offdecode.writing import Answer

    if asked.summary and output.format == "timesketch":
        raise UsageError("a summary is no event of a timeline: leave out --summary or --format timesketch")
    row_type = GENERATION_SUMMARY_ROW if asked.summary else GENERATION_ROW
    lines = summary_lines if asked.summary else generation_lines
    listing = SUMMARY_LISTING if asked.summary else GENERATION_LISTING
    answer = Answer(
        (row_type,),
        partial(generations, asked=asked, names=names),
        {
            "text": partial(TextSink, lines=lines),
            "table": partial(ListingSink, listing=listing),
            "timesketch": partial(EventSink, events=GENERATION_EVENTS),
        },
        partial(generations_by_log, names=names),
        Summary if asked.summary else Together,
    )
    return run_answer(answer, Request(source, rows, reading=reading), output)
