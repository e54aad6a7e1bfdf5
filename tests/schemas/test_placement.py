"""Groups are placed where Kafka places them."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from offdecode.cli.partition_for import command
from offdecode.schemas.placement import partition_for
from tests.kafka_jars import run_java


@pytest.mark.parametrize(
    ("group", "partitions", "partition"),
    [
        ("my-group", 50, 12),
        ("kafka-txn-0", 50, 30),
        ("polygenelubricants", 50, 0),  # its hash is the smallest integer
        ("", 50, 0),
    ],
)
def test_known_groups(group: str, partitions: int, partition: int) -> None:
    assert partition_for(group, partitions) == partition


@pytest.mark.broker
def test_same_as_java(tmp_path: Path) -> None:
    groups = ["my-group", "polygenelubricants", "größe-日本", "🐘", "a" * 1000, *(f"group-{n}" for n in range(200))]
    program = tmp_path / "Hash.java"
    program.write_text("""
        class Hash {
            public static void main(String[] a) throws Exception {
                for (var line : new String(System.in.readAllBytes(), "UTF-8").split("\\n")) {
                    int hash = line.hashCode();
                    System.out.println((hash == Integer.MIN_VALUE ? 0 : Math.abs(hash)) % 37);
                }
            }
        }""")
    printed = run_java(program, str(tmp_path), stdin="\n".join(groups)).split()
    assert [partition_for(group, 37) for group in groups] == [int(number) for number in printed]


def test_command() -> None:
    assert CliRunner().invoke(command, ["my-group"]).output == "12\n"
    assert CliRunner().invoke(command, ["my-group", "--partitions", "4"]).output == f"{partition_for('my-group', 4)}\n"
