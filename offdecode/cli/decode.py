"""offdecode decode: segment files to rows."""

from __future__ import annotations

import click

from offdecode.cli.options import Taken, output_of, paths_argument, takes
from offdecode.options import ROWS, Columns, Filter, Output, Reading, Source


@click.command("decode")
@paths_argument
@takes(Source, Taken(Filter, ROWS), Columns, Reading, output_of(jobs=True))
def command(source: Source, rows: Filter, columns: Columns, reading: Reading, output: Output) -> int:
    """Decode segment files into JSON lines or Parquet.

    PATH is a segment file, a partition's directory, or a data directory (at any depth, every
    __consumer_offsets-N in it). Rows go to stdout or -o, problems to stderr or --problems.
    """
    from offdecode.cli.run import run_answer, run_decode
    from offdecode.request import row_request

    request = row_request(source, rows, columns, reading)
    if not (columns.with_generation or columns.with_transactional_id):
        return run_decode(request, output)
    from offdecode.questions.decode import decode, decode_by_log
    from offdecode.writing import Answer

    return run_answer(Answer(None, decode, by_log=decode_by_log), request, output)
