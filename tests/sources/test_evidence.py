"""Evidence that changes or refuses while it is read, as beside a live broker: a problem each, and the rest is read."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from offdecode.model import Problem
from tests.asking import a_request, decode
from tests.segment_builder import Header, batch, commit

_EACH = 40  # batches a segment
_CHUNK_BYTES = 512


def batches(first: int, count: int = _EACH) -> bytes:
    return b"".join(batch([commit("g", offset=number)], Header(number)) for number in range(first, first + count))


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A partition of three segments."""
    found = tmp_path / "__consumer_offsets-0"
    found.mkdir()
    for first in (0, _EACH, 2 * _EACH):
        (found / f"{first:020}.log").write_bytes(batches(first))
    return found


def read(directory: Path, then: Callable[[], object] = lambda: None) -> tuple[list[int], list[Problem]]:
    """The log offsets that were read, and the problems. `then` happens behind the first chunk."""
    problems: list[Problem] = []

    def offsets() -> Iterator[int]:
        chunks = decode(a_request(directory, chunk_bytes=_CHUNK_BYTES), problems.append)
        first = next(chunk for chunk in chunks if chunk.row_count)
        then()
        for chunk in (first, *chunks):
            for _, rows in chunk:
                yield from rows.column("log_offset").to_pylist()

    return list(offsets()), problems


def of(first: int, count: int = _EACH) -> list[int]:
    return list(range(first, first + count))


def test_a_file_that_grows(directory: Path) -> None:
    """What came later is left to the next run, and said."""
    last = directory / f"{2 * _EACH:020}.log"
    offsets, problems = read(directory, lambda: last.write_bytes(batches(2 * _EACH, _EACH + 5)))
    assert offsets == of(0, 3 * _EACH)
    (problem,) = problems
    assert (problem.kind, problem.source) == ("changed_while_read", str(last))
    assert "grew" in problem.message


def test_a_file_that_is_cut(directory: Path) -> None:
    last = directory / f"{2 * _EACH:020}.log"
    whole = last.stat().st_size
    offsets, problems = read(directory, lambda: os.truncate(last, whole // 2))
    assert offsets == of(0, 2 * _EACH + _EACH // 2)
    assert "changed_while_read" in {problem.kind for problem in problems}


def test_a_file_that_vanishes_before_it_is_read(directory: Path) -> None:
    """Retention or cleaning may delete segments at any time."""
    middle = directory / f"{_EACH:020}.log"
    offsets, problems = read(directory, middle.unlink)
    assert offsets == of(0) + of(2 * _EACH)
    assert (problems[0].kind, problems[0].source) == ("unreadable", str(middle))
    assert [problem.log_offset for problem in problems if problem.kind == "missing_offsets"] == [_EACH]


def test_a_file_that_vanishes_while_it_is_read(directory: Path) -> None:
    first = directory / f"{0:020}.log"
    offsets, problems = read(directory, first.unlink)
    assert offsets == of(0, 3 * _EACH)
    assert [(problem.kind, problem.source) for problem in problems] == [("changed_while_read", str(first))]


def test_a_file_that_is_replaced(directory: Path) -> None:
    """As the cleaner does it: the file that was opened is read to its end."""
    first = directory / f"{0:020}.log"

    def replace() -> None:
        cleaned = directory / f"{0:020}.log.cleaned"
        cleaned.write_bytes(batches(_EACH - 1, 1))
        cleaned.replace(first)

    assert read(directory, replace)[0] == of(0, 3 * _EACH)


def test_a_segment_that_rolls(directory: Path) -> None:
    """A segment that came while others were read belongs to the next run."""
    new = directory / f"{3 * _EACH:020}.log"
    assert read(directory, lambda: new.write_bytes(batches(3 * _EACH))) == (of(0, 3 * _EACH), [])


@pytest.mark.parametrize("when", ["found", "opened"])
def test_a_file_that_may_not_be_read(directory: Path, monkeypatch: pytest.MonkeyPatch, when: str) -> None:
    """Root may read all, so the system's refusal is played."""
    forbidden = directory / f"{_EACH:020}.log"
    really_open, really_a_file = os.open, Path.is_file

    def refusing_open(path: object, *arguments: int) -> int:
        if path == forbidden:
            raise PermissionError(13, "Permission denied", str(path))
        return really_open(path, *arguments)  # type: ignore[arg-type]

    def refusing_stat(path: Path) -> bool:
        if path == forbidden:
            raise PermissionError(13, "Permission denied", str(path))
        return really_a_file(path)

    if when == "opened":
        monkeypatch.setattr(os, "open", refusing_open)
    else:
        monkeypatch.setattr(Path, "is_file", refusing_stat)
    offsets, problems = read(directory)
    assert offsets == of(0) + of(2 * _EACH)
    unreadable = [problem for problem in problems if problem.kind == "unreadable"]
    assert [(problem.source, problem.message) for problem in unreadable] == [
        (str(forbidden), "cannot be read: Permission denied")
    ]


@pytest.mark.skipif(not hasattr(os, "O_NOATIME"), reason="the system has no O_NOATIME")
def test_a_file_whose_access_time_may_not_be_kept(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """O_NOATIME is the owner's: others read without it."""
    really_open = os.open
    refused: list[object] = []

    def refusing_open(path: object, flags: int, *arguments: int) -> int:
        if flags & os.O_NOATIME:
            refused.append(path)
            raise PermissionError(1, "Operation not permitted", str(path))
        return really_open(path, flags, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "open", refusing_open)
    assert read(directory) == (of(0, 3 * _EACH), [])
    assert len(set(refused)) == 3


def test_a_file_that_becomes_a_fifo(directory: Path) -> None:
    """Nobody writes into it: to wait for it is to hang."""
    middle = directory / f"{_EACH:020}.log"

    def replace() -> None:
        middle.unlink()
        os.mkfifo(middle)

    offsets, problems = read(directory, replace)
    assert offsets == of(0) + of(2 * _EACH)
    assert (problems[0].kind, problems[0].source) == ("unreadable", str(middle))


@pytest.mark.parametrize(
    ("name", "partition"),
    [
        ("backup-2026-11-30", None), ("__consumer_offsets-2026-11-30", None), ("20261130-7", 7), ("b-2026-11-31", None),
        ("offsets-12", 12), ("__consumer_offsets-2026", 2026), ("b-2026-13-30", 30), ("b-2026-11-32", 32),
        ("b-12026-11-30", 30), ("b-2026-11-30-4", 4), ("2026-11-30", None),
    ],
)  # fmt: skip
def test_a_date_is_no_partition(tmp_path: Path, name: str, partition: int | None) -> None:
    """A directory that is named itself: the number behind its name is the partition, but of a date."""
    place = tmp_path / name
    place.mkdir()
    (place / f"{0:020}.log").write_bytes(batches(0))
    told, as_topic = partition if partition is not None else 3, int(name.rpartition("-")[2])
    topic = name.rpartition("-")[0]

    def partitions(path: Path, **options: Any) -> set[int | None]:
        chunks = decode(a_request(path, **options))
        return {found for chunk in chunks for _, rows in chunk for found in rows.column("log_partition").to_pylist()}

    assert partitions(place) == {partition}
    assert partitions(place, as_log_partition=3) == {told}
    assert partitions(place, topic_name=topic) == partitions(tmp_path, topic_name=topic) == {as_topic}


def test_directories_of_segments_in_a_directory(tmp_path: Path) -> None:
    """They count where no partition of the topic is there, and are none of another topic."""
    for name in ("node1", "2026-11-30", "orders-30", "deep/er/node2", f"orders-3.{'0' * 32}-delete"):
        place = tmp_path / name
        place.mkdir(parents=True)
        (place / f"{0:020}.log").write_bytes(batch([commit(name)], Header(0)))
    (tmp_path / "orders").mkdir()
    (tmp_path / "orders" / "server.log").write_bytes(batch([commit("server")], Header(0)))

    def groups() -> list[str]:
        chunks = decode(a_request(tmp_path))
        return [group for chunk in chunks for _, rows in chunk for group in rows.column("group").to_pylist()]

    assert groups() == ["2026-11-30", "node1"]
    partition = tmp_path / "disk1" / "__consumer_offsets-3"
    partition.mkdir(parents=True)
    (partition / f"{0:020}.log").write_bytes(batch([commit("in a partition")], Header(0)))
    assert groups() == ["in a partition"]
