"""offdecode report: a page to look at."""

from __future__ import annotations

import sys

import click

from offdecode.cli.options import Taken, paths_argument, takes
from offdecode.errors import UsageError
from offdecode.options import (
    GROUPS,
    TIMES,
    ExplainOptions,
    Filter,
    Output,
    Reading,
    ReportOptions,
    Source,
    TopicIds,
)

_OUTPUT = ("path", "problems_file", "strict", "show_stats")


@click.command("report")
@paths_argument
@takes(
    Source, Taken(Filter, (*GROUPS, *TIMES)), ReportOptions, ExplainOptions, TopicIds, Reading, Taken(Output, _OUTPUT)
)
def command(  # noqa: PLR0913 - a value for each group of options
    source: Source, rows: Filter, asked: ReportOptions, known: ExplainOptions, names: TopicIds, reading: Reading,
    output: Output,
) -> int:  # fmt: skip
    """Write a page to look at: one HTML file with the history of the groups, and the evidence for it.

    PATH as for decode. The file needs no network: any browser opens it, now and in years. It shows what happened when,
    each group's members, generations and offsets over time, and what the evidence does not tell.
    """
    from offdecode.cli.run import run_writing
    from offdecode.reporting.page import chunks
    from offdecode.reporting.walk import readings, report
    from offdecode.request import Request
    from offdecode.run import Run
    from offdecode.writing import line_stream

    if output.path is None and sys.stdout is not None and sys.stdout.isatty():
        raise UsageError("a page is nothing for a terminal to show: give -o FILE.html")

    def write(run: Run) -> None:
        with line_stream(output) as stream:
            for chunk in chunks(report(run, asked, known, names)):
                stream.write(chunk)

    return run_writing(Request(source, rows, reading=reading), output, write, readings)
