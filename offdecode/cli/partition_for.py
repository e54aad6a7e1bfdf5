"""offdecode partition-for: the partition of the offsets topic that holds a group."""

from __future__ import annotations

import click

from offdecode.schemas.placement import DEFAULT_PARTITIONS, partition_for


@click.command("partition-for")
@click.argument("group")
@click.option("--partitions", metavar="N", type=click.IntRange(1), default=DEFAULT_PARTITIONS, show_default=True,
              help="Partitions of the offsets topic (offsets.topic.num.partitions of the cluster).")  # fmt: skip
def command(group: str, partitions: int) -> None:
    """Print the partition of the offsets topic that holds GROUP."""
    click.echo(partition_for(group, partitions))
