"""offdecode check: what evidence is there, is it whole, and where not."""

from __future__ import annotations

import sys
from functools import partial

import click

from offdecode.cli.options import Taken, paths_argument, report_format, takes
from offdecode.errors import UsageError
from offdecode.options import CheckOptions, Output, Source


@click.command("check")
@paths_argument
@report_format("jsonl is an object for each partition, leftover file, archive and unused path.")
@takes(Source, CheckOptions, Taken(Output, ("jobs",)))
def command(source: Source, asked: CheckOptions, output: Output, as_json: bool) -> int:
    """Check segment files: an inventory with checksums, damage, and which offsets and times are complete.

    PATH is as for decode. Every file is read once and decoded, an archive once more for its checksum; nothing is
    written. Exit status as decode's; 1, too, where the release that is asked about would refuse or misread a record.
    """
    import orjson

    from offdecode.cli import DAMAGED
    from offdecode.cli.run import copying, progress
    from offdecode.per_log import of_each_log
    from offdecode.questions.check import check
    from offdecode.request import Request
    from offdecode.run import Run
    from offdecode.sinks.text.check import Verdict, report_lines
    from offdecode.sinks.text.lines import encoded, fitted_to

    if sys.stdout is None:
        raise UsageError("standard output is closed")
    verdict = Verdict(asked.for_broker)
    with copying() as opening:
        run = Run(Request(source), lambda problem: None, opening=opening)
    with progress(run.evidence.size) as run.meter, fitted_to(sys.stdout):
        for found in check(run, asked, partial(of_each_log, jobs=output.jobs)):
            row = found.as_dict()
            verdict.note(row, found.problem_count)
            if as_json:
                click.echo(orjson.dumps(row))
            else:
                click.echo(encoded(report_lines(row)), nl=False)
        if not as_json:
            click.echo(encoded(verdict.lines()), nl=False)
    return 0 if verdict.good else DAMAGED
