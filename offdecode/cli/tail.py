"""offdecode tail: the live topic to rows."""

from __future__ import annotations

import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import click

from offdecode.cli.options import Parsed, Taken, output_of, takes
from offdecode.errors import UsageError
from offdecode.option_values import duration, milliseconds, size_bytes
from offdecode.options import ROWS, Columns, Filter, Output, Reading, Source


def _beginning(text: str) -> str | int:
    """`earliest`, `latest`, or a moment in milliseconds."""
    return text if text in ("earliest", "latest") else milliseconds(text)


def _rotation(text: str) -> tuple[int | None, float | None]:
    """A size in bytes or a time in seconds: (size, None) or (None, time)."""
    with suppress(UsageError):
        return size_bytes(text), None
    with suppress(UsageError):
        return None, duration(text.lower()) / 1000
    raise UsageError(f"{text!r} is neither a size (64MB) nor a time (5m, 30s)")


@click.command("tail")
@click.option("--bootstrap-server", "servers", metavar="HOST:PORT[,...]", required=True,
              help="Brokers to ask first.")  # fmt: skip
@click.option("--command-config", metavar="FILE", type=click.Path(path_type=Path),
              help="Properties of a Kafka client: security.protocol, sasl.*, ssl.* (PEM).")  # fmt: skip
@click.option("--from", "beginning", metavar="earliest|latest|TIME", type=Parsed("beginning", _beginning),
              default="earliest", show_default=True, help="Where to begin.")  # fmt: skip
@click.option("--until-end", is_flag=True, help="Stop at the end that the log had at the start; else go on.")
@click.option("--hold", "hold_seconds", metavar="SECONDS", type=click.FloatRange(0), default=10, show_default=True,
              help="How long rows wait at most for the end of a transaction.")  # fmt: skip
@click.option("--wait-topic", is_flag=True, help="Wait for the topic where it is not there yet.")
@click.option(
    "--checkpoint",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Keep in FILE where to go on: each row is once in -o, whenever the run is stopped or killed.",
)
@click.option("--rotate", metavar="SIZE|TIME", type=Parsed("rotation", _rotation),
              help="With --checkpoint, when Parquet parts are closed. Default: 128MB in memory or 5m.")  # fmt: skip
@takes(
    Taken(Source, ("topic_name", "log_partitions")), Taken(Filter, ROWS),
    Taken(Columns, ("with_batch", "raw", "include_bad_crc")), Reading, output_of(rotate=False),
)  # fmt: skip
def command(
    source: Source, rows: Filter, columns: Columns, reading: Reading, output: Output,
    **following: Any,
) -> int:  # fmt: skip
    """Decode the live topic as `decode` does its segments. Nothing is written to the cluster, no group is joined.

    With --group, only the partition that holds the group is read. Ends at SIGINT or SIGTERM with all rows out.
    """
    from offdecode.cli.follow import Following, run_tail
    from offdecode.request import row_request

    request = row_request(source, rows, columns, reading)
    return run_tail(request, Following(**following), output, terminal=sys.stderr.isatty())
