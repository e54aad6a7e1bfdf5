"""offdecode check: what evidence is there, is it whole, and where not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from offdecode.cli.options import source_options


@click.command("check")
@source_options
@click.option("--json", "as_json", is_flag=True, help="One JSON object a partition, and one a path that was not used.")
def command(paths: tuple[Path, ...], input_format: str, as_json: bool, **selected: Any) -> int:
    """Check segment files: an inventory with checksums, damage, and which offsets and times are complete.

    PATH is as for decode. Every file is read once and decoded; nothing is written. Exit status as decode's.
    """
    import orjson

    from offdecode.check import check
    from offdecode.cli import DAMAGED
    from offdecode.errors import UsageError
    from offdecode.pipeline import Request
    from offdecode.sinks.text.check import report_lines

    if input_format != "segments":
        raise UsageError("check reads segments: exported records do not tell what is missing")
    problems = 0
    for found in check(Request(paths=paths, **selected)):
        problems += getattr(found, "problem_count", 1)
        if as_json:
            click.echo(orjson.dumps(found.as_dict()))
        else:
            click.echo("\n".join(report_lines(found.as_dict())))
    return DAMAGED if problems else 0

