"""offdecode decode: segment files to rows."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from offdecode.cli.options import output_options, row_options, source_options


@click.command("decode")
@source_options
@row_options
@output_options
def command(
    paths: tuple[Path, ...],
    row_types: tuple[str, ...],
    output: Path | None,
    output_format: str | None,
    timestamps: Any,
    with_batch: bool,
    raw: bool,
    with_generation: bool,
    include_bad_crc: bool,
    problems_file: Path | None,
    strict: bool,
    engine: Any,
    jobs: int | None,
    show_stats: bool,
    **selected: Any,
) -> int:
    """Decode segment files into JSON lines or Parquet.

    PATH is a segment file, a partition's directory, or a data directory (at any depth, every
    __consumer_offsets-N in it). Rows go to stdout or -o, problems to stderr or --problems.
    """
    from offdecode.api import checked_row_type
    from offdecode.cli.run import Output, run_decode
    from offdecode.pipeline import Request
    from offdecode.schemas.rows import RowOptions

    request = Request(
        paths=paths,
        row_types=tuple(checked_row_type(name) for name in row_types) or None,
        include_bad_crc=include_bad_crc,
        engine=engine,
        options=RowOptions(with_batch, crc_valid=include_bad_crc, raw=raw, with_generation=with_generation),
        **selected,
    )
    target = Output(output, output_format, timestamps, problems_file, strict, show_stats, jobs)
    if with_generation:
        from offdecode import answers
        from offdecode.cli.run import Answer, run_answer

        return run_answer(Answer(None, answers.with_generation), request, target, terminal=sys.stderr.isatty())
    return run_decode(request, target, terminal=sys.stderr.isatty())
