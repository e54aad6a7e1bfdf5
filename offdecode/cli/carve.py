"""offdecode carve: batches of the offsets topic out of disk images."""

from __future__ import annotations

from pathlib import Path

import click

from offdecode.cli.options import Taken, paths_argument, report_format, takes
from offdecode.options import CarveOptions, Output, Source


@click.command("carve")
@paths_argument
@click.option(
    "-o",
    "--output",
    metavar="DIR",
    type=click.Path(path_type=Path),
    required=True,
    help="Write segments and manifest.jsonl to this new or empty directory.",
)
@report_format("How the summary is printed; jsonl is one object.")
@takes(Taken(Source, ("topic_name",)), CarveOptions)
def command(source: Source, asked: CarveOptions, output: Path, as_json: bool) -> int:
    """Look through any bytes for batches of the offsets topic, and write them as segments that every command reads.

    PATH is a disk or partition image, a block device, or any other file, compressed or not; it is only read.
    """
    import orjson

    from offdecode.cli import DAMAGED
    from offdecode.cli.run import progress
    from offdecode.questions.carve import carve
    from offdecode.request import Stats
    from offdecode.sinks.text.carved import summary_lines
    from offdecode.writing import ProblemLines, problem_stream

    stats = Stats()
    with problem_stream(Output()) as problems, progress(None, "batches") as meter:
        report = ProblemLines(problems, stats, strict=False)
        summary = carve(source.paths, output, asked, source.topic_name, report, meter)
    click.echo(orjson.dumps(summary) if as_json else "\n".join(summary_lines(summary, str(output))))
    return DAMAGED if stats.problems else 0
