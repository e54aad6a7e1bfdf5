"""offdecode groups: every group at a glance."""

from __future__ import annotations

from functools import partial

import click

from offdecode.cli.options import Taken, output_of, paths_argument, takes
from offdecode.options import GROUPS, ExplainOptions, Filter, Output, OverviewOptions, Reading, Source, TopicIds


@click.command("groups")
@paths_argument
@takes(
    Source, Taken(Filter, (*GROUPS, "until")), OverviewOptions, ExplainOptions, TopicIds, Reading, output_of(jobs=True)
)
def command(  # noqa: PLR0913 - a value for each group of options
    source: Source, rows: Filter, asked: OverviewOptions, known: ExplainOptions, names: TopicIds, reading: Reading,
    output: Output,
) -> int:  # fmt: skip
    """List the groups: members, commits, generations, and what is worth a look.

    PATH as for decode. The whole log is read; --format table prints a line a group.
    """
    from offdecode.cli.run import run_answer
    from offdecode.questions.groups import GroupsTogether, groups, groups_by_log
    from offdecode.request import Request
    from offdecode.schemas.history_rows import GROUP_OVERVIEW_ROW
    from offdecode.sinks.text.groups import overview_lines
    from offdecode.sinks.text.lines import TableSink
    from offdecode.writing import Answer

    chunks = partial(groups, asked=asked, known=known, names=names)
    answer = Answer(
        (GROUP_OVERVIEW_ROW,), chunks, {"table": partial(TableSink, lines=overview_lines)},
        partial(groups_by_log, asked=asked, known=known, names=names), partial(GroupsTogether, asked),
    )  # fmt: skip
    return run_answer(answer, Request(source, rows, reading=reading), output)
