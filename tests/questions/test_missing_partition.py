"""A partition that the broker had and whose log is not in the evidence: that is said, whoever asks."""

from __future__ import annotations

import shutil
import tarfile
from pathlib import Path

import pytest

from tests.command import ROOT, TRANSACTIONS, run


@pytest.fixture
def without_partition_2(tmp_path: Path) -> Path:
    """A broker's data directory that was copied without one of four partitions."""
    copy = tmp_path / "evidence"
    shutil.copytree(TRANSACTIONS / "log", copy)
    shutil.rmtree(copy / "__consumer_offsets-2")
    return copy


def absent(*words: str | Path, cwd: Path = ROOT) -> list[int]:
    done = run("check", "--json", *words, cwd=cwd)
    found = [row["log_partition"] for row in done.rows if row["type"] == "missing_partition"]
    assert done.status == (1 if found else 0)
    assert ("not in the evidence" in run("check", *words, cwd=cwd).stdout.decode()) == bool(found)
    return found


def test_a_partition_that_the_broker_had_is_missed(without_partition_2: Path) -> None:
    copy = without_partition_2
    assert absent(copy) == absent(copy.parent) == absent(".", cwd=copy) == absent(copy.as_uri()) == [2]
    archive = copy.parent / "broker.tgz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(copy, "data")
    assert absent(archive) == [2]
    assert absent(TRANSACTIONS / "log") == []
    assert absent(copy, TRANSACTIONS / "log" / "__consumer_offsets-2") == []
    assert absent(copy, "--log-partition", "1") == []
    assert absent(copy, copy / "__consumer_offsets-0") == absent(copy / "__consumer_offsets-0", copy) == [2]


def test_who_names_a_partition_does_not_miss_the_others(without_partition_2: Path) -> None:
    partition = without_partition_2 / "__consumer_offsets-3"
    for path in (partition, partition / f"{0:020}.log", partition.as_uri()):
        assert absent(path) == []
    assert absent("__consumer_offsets-3", cwd=without_partition_2) == []


def test_an_empty_partition_is_not_missed(without_partition_2: Path) -> None:
    checkpoint = without_partition_2 / "replication-offset-checkpoint"
    checkpoint.write_text(
        checkpoint.read_text("utf-8").replace("__consumer_offsets 2 90\n", "__consumer_offsets 2 0\n")
    )
    assert absent(without_partition_2) == []


def test_other_commands_say_what_they_lack(without_partition_2: Path, tmp_path: Path) -> None:
    group = next(row["group"] for row in run("groups", TRANSACTIONS / "log", "--log-partition", "2").rows)
    for words in (("decode",), ("state", "--group", group), ("groups",)):
        done = run(*words, without_partition_2)
        assert done.status == 0
        assert "names partition 2, high watermark 90: its log is not here" in done.words
        assert ("it may be in partition 2, whose log is not here" in done.words) == ("--group" in words)
    page = tmp_path / "page.html"
    assert run("report", without_partition_2, "-o", page).status == 1
    assert "of 4 complete" in page.read_text("utf-8")
