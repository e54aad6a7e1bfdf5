"""offdecode tail: the live topic to rows."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import click

from offdecode.cli.options import Time, live_output_options, log_partition_option, row_options

_UNITS = {"b": 1, "kb": 1 << 10, "mb": 1 << 20, "gb": 1 << 30}
_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


class Beginning(Time):
    """`earliest`, `latest`, or a moment."""

    name = "beginning"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return value if value in ("earliest", "latest") else super().convert(value, param, ctx)


class Rotation(click.ParamType[tuple[int | None, float | None]]):
    """A size in bytes or a time in seconds: (size, None) or (None, time)."""

    name = "rotation"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int | None, float | None]:
        match = re.fullmatch(r"([1-9]\d*)\s*([a-z]+)", str(value).lower())
        if match is None or match[2] not in _UNITS | _SECONDS:
            self.fail(f"{value!r} is neither a size (64MB) nor a time (5m, 30s)", param, ctx)
        if match[2] in _UNITS:
            return int(match[1]) * _UNITS[match[2]], None
        return None, int(match[1]) * _SECONDS[match[2]]


@click.command("tail")
@click.option("--bootstrap-server", "servers", metavar="HOST:PORT[,...]", required=True,
              help="Brokers to ask first.")  # fmt: skip
@click.option("--command-config", metavar="FILE", type=click.Path(path_type=Path),
              help="Properties of a Kafka client: security.protocol, sasl.*, ssl.* (PEM).")  # fmt: skip
@click.option("--topic-name", metavar="TOPIC", default="__consumer_offsets", show_default=True,
              help="Name of the topic, for copies under another name.")  # fmt: skip
@log_partition_option
@click.option("--from", "beginning", metavar="earliest|latest|TIME", type=Beginning(), default="earliest",
              show_default=True, help="Where to begin.")  # fmt: skip
@click.option("--until-end", is_flag=True, help="Stop at the end that the log had at the start; else go on.")
@click.option("--hold", "hold_seconds", metavar="SECONDS", type=click.FloatRange(0), default=10, show_default=True,
              help="How long rows wait at most for the end of a transaction.")  # fmt: skip
@click.option("--wait-topic", is_flag=True, help="Wait for the topic where it is not there yet.")
@click.option("--checkpoint", metavar="FILE", type=click.Path(path_type=Path),
              help="Keep in FILE where to go on: each row is once in -o, whenever the run is stopped or killed.")
@click.option("--rotate", metavar="SIZE|TIME", type=Rotation(),
              help="With --checkpoint, when Parquet parts are closed. Default: 128MB in memory or 5m.")  # fmt: skip
@row_options
@live_output_options
def command(
    servers: str,
    command_config: Path | None,
    beginning: Any,
    until_end: bool,
    hold_seconds: float,
    wait_topic: bool,
    checkpoint: Path | None,
    rotate: tuple[int | None, float | None] | None,
    row_types: tuple[str, ...],
    output: Path | None,
    output_format: str | None,
    timestamps: Any,
    with_batch: bool,
    raw: bool,
    include_bad_crc: bool,
    problems_file: Path | None,
    strict: bool,
    engine: Any,
    show_stats: bool,
    **selected: Any,
) -> int:
    """Decode the live topic as `decode` does its segments. Nothing is written to the cluster, no group is joined.

    With --group, only the partition that holds the group is read. Ends at SIGINT or SIGTERM with all rows out.
    """
    from offdecode.api import checked_row_type
    from offdecode.cli.follow import Following, run_tail
    from offdecode.cli.run import Output
    from offdecode.pipeline import Request
    from offdecode.schemas.rows import RowOptions

    request = Request(
        paths=(),
        row_types=tuple(checked_row_type(name) for name in row_types) or None,
        include_bad_crc=include_bad_crc,
        engine=engine,
        options=RowOptions(with_batch=with_batch, crc_valid=include_bad_crc, raw=raw),
        **selected,
    )
    target = Output(output, output_format, timestamps, problems_file, strict, show_stats, jobs=1)
    following = Following(servers, command_config, beginning, until_end, hold_seconds, wait_topic, checkpoint, rotate)
    return run_tail(request, following, target, terminal=sys.stderr.isatty())
