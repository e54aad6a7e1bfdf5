"""Copies of a partition's log read as one: against what each copy holds by itself, and logs built here."""

from __future__ import annotations

import os
import random
import shutil
import struct
import tarfile
from dataclasses import replace
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest

import offdecode
from offdecode.evidence import SegmentEvidence
from offdecode.options import Reading, Source
from offdecode.questions.check import PartitionCheck
from offdecode.request import Request, Stats
from offdecode.sources.segments import PartitionLog
from tests.command import rows_of as rows_of_lines
from tests.command import run
from tests.containers import COMPRESS
from tests.damage import damaged, joined
from tests.segment_builder import BASE_TIME_MS, Header, batch, batch_around, commit, in_epoch, marker, record
from tests.truth import LogSet, log_sets, set_id

SMALLEST = 26  # a message of format 0
Row = dict[str, Any]


def batches_of(data: bytes) -> list[bytes]:
    """The batches or messages of a segment, by their length fields."""
    found, at = [], 0
    while at + SMALLEST <= len(data):
        end = at + 12 + struct.unpack_from(">i", data, at + 8)[0]
        if end <= at + SMALLEST or end > len(data):
            break
        found.append(data[at:end])
        at = end
    return found


def cleaned(base: int, kept: list[int], count: int, group: str = "g") -> bytes:
    """A batch of `count` commits as the log cleaner leaves it: of its records only those kept."""
    body = b"".join(record(delta, *commit(group, partition=delta, offset=base + delta)) for delta in kept)
    return batch_around(body, Header(base), len(kept), count - 1, BASE_TIME_MS + count - 1)


def commits(base: int, count: int, group: str = "g") -> bytes:
    return cleaned(base, list(range(count)), count, group)


def copy_of(folder: Path, name: str, *batches: bytes, first: int = 0) -> Path:
    directory = folder / name / "__consumer_offsets-3"
    directory.mkdir(parents=True)
    (directory / f"{first:020}.log").write_bytes(b"".join(batches))
    return folder / name


def rows_of(*paths: Path, chunk_bytes: int = 0, **options: Any) -> tuple[list[Row], list[offdecode.Problem]]:
    problems: list[offdecode.Problem] = []
    answer = offdecode.decode(list(paths), on_problem=problems.append, **options)
    answer._request = replace(answer._request, reading=Reading(chunk_bytes=chunk_bytes))
    return list(answer.rows()), problems


def offsets(rows: list[Row]) -> list[int]:
    return [row["log_offset"] for row in rows]


def ask(question: str, *paths: Path) -> list[Row]:
    rows: list[Row] = list(getattr(offdecode, question)(list(paths), on_problem=lambda _: None).rows())
    assert rows or question != "decode"
    return rows


def test_each_record_is_one_row_that_says_how_many_copies_hold_it(tmp_path: Path) -> None:
    one = copy_of(tmp_path, "a", commits(0, 5), commits(5, 5))
    other = copy_of(tmp_path, "b", commits(0, 5), cleaned(5, [1, 4], 5), commits(10, 5))
    rows, problems = rows_of(one, other)
    assert problems == []
    assert [(row["log_offset"], row["copies"]) for row in rows] == [
        *((at, 2) for at in range(5)), *((at, 2 if at in (6, 9) else 1) for at in range(5, 10)),
        *((at, 1) for at in range(10, 15)),
    ]  # fmt: skip
    rows, _ = rows_of(one, other, with_batch=True)
    assert [len(row["copy_directories"]) for row in rows] == [row["copies"] for row in rows]
    assert rows[-1]["copy_directories"] == [str(other / "__consumer_offsets-3")]
    assert rows[-1]["segment"] == str(other / "__consumer_offsets-3" / f"{0:020}.log")
    assert rows[-1]["batch_position"] == len(commits(0, 5)) + len(cleaned(5, [1, 4], 5))


def test_batches_that_two_cleaners_left_are_put_together(tmp_path: Path) -> None:
    """Neither copy has all; together they are complete."""
    one = copy_of(tmp_path, "a", cleaned(0, [0, 2, 4], 6), commits(6, 2))
    other = copy_of(tmp_path, "b", cleaned(0, [1, 2, 3, 5], 6), commits(6, 2))
    rows, problems = rows_of(one, other)
    assert (offsets(rows), problems) == (list(range(8)), [])
    assert [row["copies"] for row in rows] == [1, 1, 2, 1, 1, 1, 2, 2]
    (found,) = (item for item in offdecode.check([one, other]) if item.as_dict()["type"] == "partition")
    assert [(span["state"], span["first_offset"], span["last_offset"]) for span in found.as_dict()["completeness"]] == [
        ("complete", 0, 7)
    ]
    assert [(copy["records"], copy["alone"]) for copy in found.as_dict()["copies"]] == [(5, 2), (6, 3)]


def test_what_is_damaged_in_one_copy_is_read_from_the_other(tmp_path: Path) -> None:
    whole = [commits(at, 5) for at in range(0, 50, 5)]
    broken = [*whole]
    broken[4] = broken[4][:30] + b"\xff\xff" + broken[4][32:]
    one, other = copy_of(tmp_path, "a", *broken), copy_of(tmp_path, "b", *whole[:8])
    rows, problems = rows_of(one, other)
    assert offsets(rows) == list(range(50))
    assert {problem.kind for problem in problems} <= {"bad_crc", "damaged_bytes"}
    (partition,) = (item.as_dict() for item in offdecode.check([one, other]) if isinstance(item, PartitionCheck))
    assert {span["state"] for span in partition["completeness"]} == {"complete"}
    assert len(rows_of(one)[0]) == 45


def test_the_branch_of_the_higher_epoch_stood_and_the_other_is_marked(tmp_path: Path) -> None:
    """An unclean election: the new leader had only offsets 0 to 9, and wrote on from 10 in epoch 1."""
    shared = [in_epoch(commits(0, 5), 0), in_epoch(commits(5, 5), 0)]
    old = copy_of(tmp_path, "a", *shared, in_epoch(commits(10, 4, "lost"), 0), in_epoch(commits(14, 9, "lost"), 0))
    new = copy_of(tmp_path, "b", *shared, in_epoch(commits(10, 3, "kept"), 1))
    for paths in ((old, new), (new, old)):
        rows, problems = rows_of(*paths)
        stood = [row for row in rows if not row["lost_branch"]]
        lost = [row for row in rows if row["lost_branch"]]
        assert [(row["group"], row["log_offset"]) for row in stood[10:]] == [("kept", at) for at in (10, 11, 12)]
        assert [(row["group"], row["log_offset"]) for row in lost] == [("lost", at) for at in range(10, 23)]
        assert [(problem.kind, problem.log_offset) for problem in problems] == [("forked_log", 10)]
        assert "offsets 10 to 22 of leader epoch 0" in problems[0].message
        for command in ("state", "explain", "generations", "groups"):
            assert "lost" not in {row.get("group") for row in ask(command, *paths)}, command
        assert ask("state", *paths) == ask("state", new)
        assert sum(row.get("lost_branch", False) for row in run("decode", *paths).rows) == 13
        with_generation = list(offdecode.decode(paths, on_problem=print, with_generation=True).rows())
        assert len(with_generation) == len(rows)
        found = next(item.as_dict() for item in offdecode.check(paths) if isinstance(item, PartitionCheck))
        assert sorted(copy["lost_branch"] for copy in found["copies"]) == [0, 13]


def marked(copy: Path, offset: int) -> None:
    """Let the copy's broker have checkpointed this high watermark."""
    (copy / "replication-offset-checkpoint").write_text(f"0\n1\n__consumer_offsets 3 {offset}\n")


@pytest.mark.parametrize("mark", [22, 23, 40])
def test_what_the_lost_branch_reached_is_not_missing_from_the_other(mark: int, tmp_path: Path) -> None:
    """The old leader had checkpointed its high watermark, and begun another segment."""
    shared = in_epoch(commits(0, 10), 0)
    old = copy_of(tmp_path, "a", shared, in_epoch(commits(10, 4, "lost"), 0))
    segment = old / "__consumer_offsets-3" / f"{14:020}.log"
    segment.write_bytes(in_epoch(commits(14, 9, "lost"), 0))
    new = copy_of(tmp_path, "b", shared, in_epoch(commits(10, 3, "kept"), 1))
    marked(old, mark)
    for paths in ((old, new), (new, old)):
        marked(new, 13)
        assert {problem.kind for problem in rows_of(*paths)[1]} == {"forked_log"}
        (found,) = (item for item in offdecode.check(list(paths)) if isinstance(item, PartitionCheck))
        assert [(span.state, span.last_offset) for span in found.coverage.spans] == [("complete", 12)]
        for end in (15, 20, 30):  # what the new leader had itself is missed all the same
            marked(new, end)
            assert f"offsets 13 to {end - 1} are missing" in rows_of(*paths)[1][-1].message


@pytest.mark.parametrize("chunk_bytes", [100, 300, 0])
@pytest.mark.parametrize("rolls_at", [None, 14, 16])
def test_the_branch_that_stood_does_not_depend_on_where_its_files_and_chunks_end(
    rolls_at: int | None, chunk_bytes: int, tmp_path: Path
) -> None:
    """The copy that stood comes to epoch 2 in another segment; epoch 1 was elected meanwhile, and lost."""
    shared = [in_epoch(commits(0, 5), 0), in_epoch(commits(5, 5), 0)]
    stood = {10: in_epoch(commits(10, 4, "kept"), 0), 14: in_epoch(commits(14, 2, "kept"), 0),
             16: in_epoch(commits(16, 1, "kept"), 2)}  # fmt: skip
    first = [data for base, data in stood.items() if rolls_at is None or base < rolls_at]
    new = copy_of(tmp_path, "a", *shared, *first)
    if rolls_at is not None:
        segment = new / "__consumer_offsets-3" / f"{rolls_at:020}.log"
        segment.write_bytes(b"".join(data for base, data in stood.items() if base >= rolls_at))
    old = copy_of(tmp_path, "b", *shared, in_epoch(commits(10, 1, "lost"), 1), in_epoch(commits(11, 2, "lost"), 1))
    marked(new, 20)
    marked(old, 10)
    for paths in ((new, old), (old, new)):
        rows, problems = rows_of(*paths, chunk_bytes=chunk_bytes)
        assert [row["log_offset"] for row in rows if not row["lost_branch"]] == list(range(17))
        assert [row["group"] for row in rows if row["lost_branch"]] == ["lost"] * 3
        assert {problem.kind for problem in problems} == {"forked_log", "missing_offsets"}
        assert "offsets 17 to 19 are missing" in problems[-1].message
        assert {row["group"] for row in ask("state", *paths)} == {"g", "kept"}


def test_an_epoch_that_only_the_lost_copy_saw_does_not_win(tmp_path: Path) -> None:
    """Epoch 1 was elected from 10 on and lost; epoch 2 went on from the log of epoch 0, which reached 14."""
    stood = [in_epoch(commits(0, 10), 0), in_epoch(commits(10, 5, "kept"), 0), in_epoch(commits(15, 5, "kept"), 2)]
    new = copy_of(tmp_path, "a", *stood)
    old = copy_of(tmp_path, "b", stood[0], in_epoch(commits(10, 8, "lost"), 1))
    rows, problems = rows_of(new, old)
    assert {row["group"] for row in rows if row["lost_branch"]} == {"lost"}
    assert offsets([row for row in rows if not row["lost_branch"]]) == list(range(20))
    assert [problem.kind for problem in problems] == ["forked_log"]


@pytest.mark.parametrize("notes", [False, True])
@pytest.mark.parametrize("chunk_bytes", [100, 0])
@pytest.mark.parametrize("ends", [14, 18])
def test_a_lost_branch_that_begins_within_a_batch_that_stood_is_lost(
    ends: int, chunk_bytes: int, notes: bool, tmp_path: Path
) -> None:
    """Epoch 1 was elected from 10 on and lost; epoch 2 went on from the log of epoch 0, whose last is 10 to 14."""
    stood = [in_epoch(commits(0, 10), 0), in_epoch(commits(10, 5, "kept"), 0), in_epoch(commits(15, 5, "kept"), 2)]
    new = copy_of(tmp_path, "a", *stood)
    lost = (in_epoch(commits(10, 2, "lost"), 1), in_epoch(commits(12, ends - 12, "lost"), 1))
    old = copy_of(tmp_path, "b", stood[0], *lost)
    if notes:
        noted(new, (0, 0), (2, 15))
        noted(old, (0, 0), (1, 10))
    for paths in ((new, old), (old, new)):
        rows, problems = rows_of(*paths, chunk_bytes=chunk_bytes)
        assert [row["log_offset"] for row in rows if row["lost_branch"]] == list(range(10, ends))
        assert {row["group"] for row in rows if row["lost_branch"]} == {"lost"}
        assert offsets([row for row in rows if not row["lost_branch"]]) == list(range(20))
        assert {problem.kind for problem in problems} == {"forked_log"}


def noted(copy: Path, *epochs: tuple[int, int]) -> None:
    """Let the copy's broker have noted these leader epochs and their first offsets."""
    lines = [f"{epoch} {offset}" for epoch, offset in epochs]
    note = copy / "__consumer_offsets-3" / "leader-epoch-checkpoint"
    note.write_text("\n".join(("0", str(len(epochs)), *lines, "")))


@pytest.mark.parametrize("chunk_bytes", [100, 300, 0])
@pytest.mark.parametrize("archived", [False, True])
def test_a_branch_that_did_not_stand_is_told_by_the_note_of_epochs(
    archived: bool, chunk_bytes: int, tmp_path: Path
) -> None:
    """What the new leader wrote from 10 on, in epoch 2, has been cleaned away up to 30."""
    shared = [in_epoch(commits(0, 5), 0), in_epoch(commits(5, 5), 1)]
    old = copy_of(tmp_path, "a", *shared, in_epoch(commits(10, 4, "lost"), 1), in_epoch(commits(14, 9, "lost"), 1))
    new = copy_of(tmp_path, "b", *shared, in_epoch(cleaned(30, [1, 3], 5, "kept"), 2))
    rows, problems = rows_of(old, new, chunk_bytes=chunk_bytes)
    assert not any(row["lost_branch"] for row in rows), "nothing tells that"
    noted(new, (0, 0), (1, 5), (2, 10))
    if archived:
        with tarfile.open(tmp_path / "b.tar", "w") as tar:
            tar.add(new, "log")
        new = tmp_path / "b.tar"
    for paths in ((old, new), (new, old)):
        rows, problems = rows_of(*paths, chunk_bytes=chunk_bytes)
        assert [(row["group"], row["log_offset"]) for row in rows if row["lost_branch"]] == [
            ("lost", at) for at in range(10, 23)
        ]
        assert offsets([row for row in rows if not row["lost_branch"]]) == [*range(10), 31, 33]
        assert {problem.kind for problem in problems} == {"forked_log"}
        assert problems[0].log_offset == 10
        assert "has noted that leader epoch 2 began at 10" in problems[0].message
        assert ask("state", *paths) == ask("state", new)


def test_a_leader_that_has_written_nothing_yet_stands(tmp_path: Path) -> None:
    """It noted its epoch as it was elected; the old leader's last batches, one across that offset too, are lost."""
    shared = in_epoch(commits(0, 10), 4)
    old = copy_of(tmp_path, "a", shared, in_epoch(commits(10, 4, "lost"), 4), in_epoch(commits(14, 9, "lost"), 4))
    new = copy_of(tmp_path, "b", shared)
    noted(old, (4, 0))
    for start, stood in ((10, 10), (14, 14), (20, 14)):
        noted(new, (4, 0), (5, start))
        for paths in ((old, new), (new, old)):
            rows, _ = rows_of(*paths)
            assert offsets([row for row in rows if not row["lost_branch"]]) == list(range(stood))
            assert offsets(sorted(rows, key=lambda row: row["log_offset"])) == list(range(23))


@pytest.mark.parametrize("note", [
    "", "0\n2\n4 0\n", "0\n1\n5 0\n", "0\n2\n4 0\n3 10\n", "0\n2\n4 0\n5 0\n", "1\n1\n5 0\n", "0\n1\n4\n",
    "0\n2\n4 0\n5 10 7\n", "0\n1\n-5 0\n", f"0\n2\n4 0\n5 1{'0' * 18}\n", f"0\n2\n4 0\n5 9{'9' * 18}\n", "0\n0\n",
    "\xff" * 99,
])  # fmt: skip
def test_a_note_of_epochs_that_is_damaged_or_not_of_this_log_tells_nothing(note: str, tmp_path: Path) -> None:
    one = copy_of(tmp_path, "a", in_epoch(commits(0, 10), 4))
    other = copy_of(tmp_path, "b", in_epoch(commits(0, 10), 4), in_epoch(commits(10, 4), 4))
    (one / "__consumer_offsets-3" / "leader-epoch-checkpoint").write_text(note, "latin-1")
    rows, problems = rows_of(one, other)
    assert [row["copies"] for row in rows] == [2] * 10 + [1] * 4
    assert not any(row["lost_branch"] for row in rows)
    assert problems == []


def test_a_note_of_epochs_that_is_older_than_its_log_tells_nothing(tmp_path: Path) -> None:
    """Epoch 5 was noted, lost, and cut; the log went on from epoch 4 to epoch 6."""
    backup = copy_of(tmp_path, "a", in_epoch(commits(0, 10), 4), in_epoch(commits(10, 5), 4))
    today = copy_of(tmp_path, "b", in_epoch(cleaned(0, [3], 10), 4), in_epoch(commits(15, 5), 6))
    noted(today, (4, 0), (5, 10))
    rows, problems = rows_of(backup, today)
    assert (offsets(rows), problems) == (list(range(20)), [])
    assert not any(row["lost_branch"] for row in rows)


def test_an_epoch_may_have_begun_before_what_a_follower_noted(tmp_path: Path) -> None:
    """It was given its first batch of epoch 2 after the leader's cleaner had removed those before."""
    shared = [in_epoch(commits(0, 5), 0), in_epoch(commits(5, 5), 1)]
    backup = copy_of(tmp_path, "a", *shared, in_epoch(commits(10, 5, "early"), 2), in_epoch(commits(15, 15, "mid"), 2))
    today = copy_of(tmp_path, "b", in_epoch(cleaned(5, [1], 5), 1), in_epoch(commits(30, 5, "now"), 2))
    noted(backup, (0, 0), (1, 5), (2, 10))
    noted(today, (1, 5), (2, 30))
    for paths in ((backup, today), (today, backup)):
        rows, problems = rows_of(*paths)
        assert (offsets(rows), problems) == (list(range(35)), [])
        assert not any(row["lost_branch"] for row in rows)


def test_any_copy_of_the_history_that_stood_may_have_the_note(tmp_path: Path) -> None:
    """A follower that was given its first batch of epoch 2 late, one that goes on further, and the leader."""
    shared = in_epoch(commits(0, 10), 0)
    kept = in_epoch(cleaned(30, [1, 3], 5, "kept"), 2)
    lost = copy_of(tmp_path, "a", shared, in_epoch(commits(10, 13, "lost"), 1))
    noted(lost, (0, 0), (1, 10))
    late = copy_of(tmp_path, "b", shared, kept)
    noted(late, (0, 0), (2, 30))
    further = copy_of(tmp_path, "c", shared, kept, in_epoch(commits(35, 1, "kept"), 2))
    leader = copy_of(tmp_path, "d", shared, kept)
    noted(leader, (0, 0), (2, 10))
    for paths in permutations((lost, late, further, leader)):
        rows, _ = rows_of(*paths)
        assert offsets([row for row in rows if row["lost_branch"]]) == list(range(10, 23))
    for paths in ((lost, late), (lost, further)):
        rows, _ = rows_of(*paths)
        assert not any(row["lost_branch"] for row in rows)


@pytest.mark.parametrize("chunk_bytes", [100, 0])
@pytest.mark.parametrize("segments", [1, 2])
def test_what_is_gone_elsewhere_does_not_depend_on_where_files_and_chunks_end(
    segments: int, chunk_bytes: int, tmp_path: Path
) -> None:
    one = copy_of(tmp_path, "a", commits(0, 3), cleaned(3, [0], 2, "x"))
    with (one / "__consumer_offsets-3" / f"{5 * (segments - 1):020}.log").open("ab") as file:
        file.write(commits(5, 1))
    other = copy_of(tmp_path, "b", commits(0, 3), commits(3, 2, "x"), commits(5, 1))
    rows, problems = rows_of(one, other, chunk_bytes=chunk_bytes)
    assert problems == []
    assert [row["log_offset"] for row in rows if row["gone_elsewhere"]] == [4]


@pytest.mark.parametrize("chunk_bytes", [100, 0])
def test_whole_batches_that_were_cleaned_before_any_shows_it_are_gone_elsewhere(
    chunk_bytes: int, tmp_path: Path
) -> None:
    backup = copy_of(tmp_path, "a", *(commits(at, 1, "gone" if at == 5 else "g") for at in range(10)))
    kept = [commits(at, 1) for at in (0, 1, 2, 3, 4, 10)]
    later = copy_of(tmp_path, "b", *kept, cleaned(11, [0, 4], 5), commits(16, 3))
    rows, _ = rows_of(backup, later, chunk_bytes=chunk_bytes)
    assert [row["log_offset"] for row in rows if row["gone_elsewhere"]] == [5, 6, 7, 8, 9]
    never = copy_of(tmp_path, "c", *kept, commits(16, 3))
    rows, _ = rows_of(backup, never, chunk_bytes=chunk_bytes)
    assert not any(row["gone_elsewhere"] for row in rows)


def test_what_a_running_broker_no_longer_serves_is_gone_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backup = copy_of(tmp_path, "a", *(commits(at, 1) for at in range(10)))
    live = copy_of(tmp_path, "b", *(commits(at, 1) for at in (0, 1, 4, 9, 10)))
    marked(live, 11)
    monkeypatch.setattr(PartitionLog, "served", property(lambda log: log.directory.text.startswith(str(live))))
    rows, problems = rows_of(backup, live)
    assert [row["log_offset"] for row in rows if row["gone_elsewhere"]] == [2, 3, 5, 6, 7, 8]
    assert problems == []


def test_other_records_at_an_offset_of_one_epoch_are_a_fork_too(tmp_path: Path) -> None:
    one = copy_of(tmp_path, "a", commits(0, 5), commits(5, 5, "kept"), commits(10, 5))
    other = copy_of(tmp_path, "b", commits(0, 5), commits(5, 5, "lost"))
    rows, problems = rows_of(one, other)
    assert [row["group"] for row in rows if row["lost_branch"]] == ["lost"] * 5
    assert offsets([row for row in rows if not row["lost_branch"]]) == list(range(15))
    (problem,) = problems
    assert problem.kind == "forked_log"
    assert "nothing tells which stood" in problem.message


def test_of_batches_that_begin_at_other_offsets_those_of_the_further_copy_stand(tmp_path: Path) -> None:
    one = copy_of(tmp_path, "a", commits(0, 5), commits(5, 5, "kept"), commits(10, 5))
    other = copy_of(tmp_path, "b", commits(0, 4), commits(4, 5, "lost"))
    rows, _ = rows_of(one, other)
    assert [(row["group"], row["log_offset"]) for row in rows if row["lost_branch"]] == [
        ("lost", at) for at in range(4, 9)
    ]
    assert offsets([row for row in rows if not row["lost_branch"]]) == list(range(15))


def test_a_transaction_is_decided_by_the_marker_of_another_copy(tmp_path: Path) -> None:
    data = batch([commit("g", offset=1)], Header(0, 0x10, 7, 0))
    one = copy_of(tmp_path, "a", data)
    other = copy_of(tmp_path, "b", data, marker(1, 7, commit=True))
    assert [row["transaction"] for row in rows_of(one)[0]] == ["open"]
    assert [row["transaction"] for row in rows_of(one, other)[0] if "offset" in row] == ["committed"]


def test_copies_can_be_kept_apart(tmp_path: Path) -> None:
    one, other = copy_of(tmp_path, "a", commits(0, 5)), copy_of(tmp_path, "b", commits(0, 5))
    rows, problems = rows_of(one, other, copies_apart=True)
    assert offsets(rows) == [*range(5), *range(5)]
    assert [problem.kind for problem in problems] == ["partition_copies"]
    assert "copies" not in rows[0]


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_a_loose_copy_beside_its_log_is_told(suffix: str, tmp_path: Path) -> None:
    log = copy_of(tmp_path, "a", commits(0, 5), commits(5, 5))
    loose = tmp_path / f"saved.log{suffix}"
    loose.write_bytes(COMPRESS["gz"](commits(0, 5)) if suffix else commits(0, 5))
    other = tmp_path / "elsewhere" / "other.log"
    other.parent.mkdir()
    other.write_bytes(commits(0, 5, "other"))
    for paths in ((log, loose, other), (other, loose, log)):
        rows, problems = rows_of(*paths)
        assert len(rows) == 20
        assert [(one.kind, one.log_partition) for one in problems] == [("loose_copy", None)]
        assert problems[0].source.startswith(str(loose))
        assert f"{log / '__consumer_offsets-3'}/" in problems[0].message
        assert sum(item.as_dict()["type"] == "copies" for item in offdecode.check(list(paths))) == 1
    rows, problems = rows_of(loose, other)
    assert problems == []
    assert rows_of(log, loose, as_log_partition=3)[1] == []
    for content, kinds in ((b"", set()), (bytes(4096), {"zero_tail"})):
        folders = [tmp_path / f"{len(content)}-{at}" for at in (1, 2)]
        for folder in folders:
            folder.mkdir()
            (folder / "x.log").write_bytes(content)
        assert {one.kind for one in rows_of(*folders, log)[1]} == kinds


def test_a_transaction_far_ahead_is_decided_in_copies(tmp_path: Path) -> None:
    """The resolver reads ahead, and from a place in the middle of both copies."""
    data = batch([commit("g", offset=1)], Header(0, 0x10, 7, 0))
    rest = [commits(at, 50) for at in range(1, 40_001, 50)]
    one = copy_of(tmp_path, "a", data, *rest)
    other = copy_of(tmp_path, "b", data, *rest, marker(40_001, 7, commit=False))
    request = Request(Source((one, other)), reading=Reading(chunk_bytes=20_000))
    steps = list(SegmentEvidence(request).steps(Stats()))
    status = [status for step in steps for status in step.status.tolist()]
    assert (status[0], len(status)) == (1, 802)
    assert sum(step.size for step in steps) == sum(path.stat().st_size for path in tmp_path.rglob("*.log"))


def test_no_batches_at_all_in_one_copy(tmp_path: Path) -> None:
    one, other = copy_of(tmp_path, "a"), copy_of(tmp_path, "b", commits(0, 5))
    assert offsets(rows_of(one, other)[0]) == list(range(5))
    (tmp_path / "c" / "__consumer_offsets-3").mkdir(parents=True)
    (tmp_path / "c" / "__consumer_offsets-3" / f"{0:020}.log").write_bytes(b"garbage" * 99)
    rows, problems = rows_of(one, other, tmp_path / "c")
    assert offsets(rows) == list(range(5))
    assert [problem.kind for problem in problems] == ["garbage_tail"]


@pytest.mark.parametrize("log_set", log_sets(), ids=set_id)
def test_a_copy_of_a_real_log_changes_nothing(log_set: LogSet, tmp_path: Path) -> None:
    """Every answer from two equal copies is that from one."""
    source = log_set.log
    for name in ("a", "b"):
        shutil.copytree(source, tmp_path / name)
    for command in ("state", "generations", "explain", "transactions", "groups"):
        assert ask(command, tmp_path / "a", tmp_path / "b") == ask(command, tmp_path / "a"), command
    alone, both = ask("decode", tmp_path / "a"), ask("decode", tmp_path / "a", tmp_path / "b")
    assert {row.pop("copies") for row in both} == {2}
    assert {row.pop("lost_branch") for row in both} == {row.pop("gone_elsewhere") for row in both} == {None}
    assert both == alone


@pytest.mark.parametrize("log_set", log_sets(), ids=set_id)
@pytest.mark.parametrize("seed", range(2))
def test_the_union_holds_what_any_copy_holds_once(log_set: LogSet, seed: int, tmp_path: Path) -> None:
    """Three copies of a real log, from each of which some batches are gone: every record of any of them, once."""
    choose = random.Random(seed)
    logs = [path for path in sorted(log_set.log.rglob("*.log")) if "__consumer_offsets-" in path.parent.name]
    for name in "abc":
        for path in logs:
            data = path.read_bytes()
            batches = batches_of(data)
            assert b"".join(batches) == data
            target = tmp_path / name / path.parent.name / path.name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(b"".join(one for one in batches if choose.random() < 0.6))
    copies = sorted(tmp_path.iterdir())
    expected: dict[tuple[int, int], Row] = {}
    count: dict[tuple[int, int], int] = {}
    for copy in copies:
        for row in rows_of(copy)[0]:
            place = (row["log_partition"], row["log_offset"])
            expected[place] = {**row, "transaction": None}
            count[place] = count.get(place, 0) + 1
    found = {}
    for row in rows_of(*copies)[0]:
        place = (row["log_partition"], row["log_offset"])
        assert place not in found
        assert row.pop("copies") == count[place]
        assert row.pop("lost_branch") is None
        row.pop("gone_elsewhere")
        found[place] = {**row, "transaction": None}
    assert found == expected


def test_the_output_is_the_same_for_any_number_of_processes(tmp_path: Path) -> None:
    batches = [commits(at, 50, f"group-{at % 7}") for at in range(0, 150_000, 50)]
    choose = random.Random(5)
    for name in "ab":
        copy_of(tmp_path, name, *(
            one if choose.random() < 0.7 else cleaned(at, sorted(choose.sample(range(50), 20)), 50, f"group-{at % 7}")
            for at, one in zip(range(0, 150_000, 50), batches, strict=True)
        ))  # fmt: skip
    paths = [str(tmp_path / name) for name in "ab"]
    for jobs in ("1", "2"):
        done = run("decode", *paths, "-j", jobs, "-o", str(tmp_path / jobs))
        assert (done.status, done.stderr) == (0, "")
    assert (tmp_path / "1").read_bytes() == (tmp_path / "2").read_bytes()
    rows = rows_of_lines((tmp_path / "1").read_bytes())
    assert [row["log_offset"] for row in rows] == sorted(row["log_offset"] for row in rows)
    assert len(rows) > 145_000


@pytest.mark.parametrize("log_set", log_sets(), ids=set_id)
def test_a_damaged_copy_takes_nothing_away(log_set: LogSet, tmp_path: Path) -> None:
    """Bits flipped, pages zeroed, blocks swapped, files cut and joined: all rows of the whole copy are there."""
    files = [path for path in sorted(log_set.log.rglob("*.log")) if "__consumer_offsets-" in path.parent.name]
    contents = [path.read_bytes() for path in files]
    whole = tmp_path / "whole"
    shutil.copytree(log_set.log, whole)
    own = {(row["log_partition"], row["log_offset"]): row for row in rows_of(whole)[0]}
    for seed in range(int(os.environ.get("OFFDECODE_COPY_SEEDS", "1"))):
        bad = tmp_path / f"damaged-{seed}"
        shutil.copytree(log_set.log, bad)
        for number, path in enumerate(files):
            if contents[number]:
                data = joined(damaged(seed * 1000 + number, number, contents)[1])
                (bad / path.parent.name / path.name).write_bytes(data)
        for paths in ((whole, bad), (bad, whole)):
            there: dict[tuple[int, int], list[Row]] = {}
            for row in rows_of(*paths)[0]:
                there.setdefault((row["log_partition"], row["log_offset"]), []).append(row)
            for place, row in own.items():
                plain = [{name: one.get(name) for name in row if name != "transaction"} for one in there.get(place, ())]
                assert {name: row[name] for name in row if name != "transaction"} in plain, (seed, place)
        for question in ("state", "explain", "generations", "transactions", "groups"):
            ask(question, whole, bad)
        list(offdecode.check([bad, whole]))


def test_what_is_damaged_in_all_copies_is_damaged(tmp_path: Path) -> None:
    whole = [commits(at, 5) for at in range(0, 50, 5)]
    broken = [*whole]
    broken[4] = broken[4][:30] + b"\xff\xff" + broken[4][32:]
    paths = (copy_of(tmp_path, "a", *broken), copy_of(tmp_path, "b", *broken[:8]))
    assert offsets(rows_of(*paths)[0]) == [*range(20), *range(25, 50)]
    (found,) = (item.as_dict() for item in offdecode.check(paths) if isinstance(item, PartitionCheck))
    assert [(span["state"], span["first_offset"], span["last_offset"]) for span in found["completeness"]] == [
        ("complete", 0, 19), ("damaged", 20, 24), ("complete", 25, 49),
    ]  # fmt: skip


def test_copies_in_archives_are_copies_too(tmp_path: Path) -> None:
    one = copy_of(tmp_path, "a", commits(0, 5), commits(5, 5))
    other = copy_of(tmp_path, "b", commits(0, 5), cleaned(5, [1, 4], 5))
    (other / "meta.properties").write_text("broker.id=7\n")
    packed = tmp_path / "b.tgz"
    with tarfile.open(packed, "w:gz") as archive:
        archive.add(other, "b")
    rows, problems = rows_of(one, packed)
    assert (rows, problems) == rows_of(one, other)
    (found,) = (item.as_dict() for item in offdecode.check([one, packed]) if isinstance(item, PartitionCheck))
    assert sorted((copy["broker"], copy["alone"]) for copy in found["copies"] if copy["broker"] is not None) == [(7, 0)]


def test_with_batch_names_the_copies(tmp_path: Path) -> None:
    """Directory, broker and segment of each copy that holds a record, also where batches hold parts of each other."""
    parts = [commits(0, 3), commits(3, 3), commits(6, 3)]
    one = copy_of(tmp_path, "one", *parts)
    two = copy_of(tmp_path, "two", parts[0], cleaned(3, [1], 3))
    copy_of(tmp_path, "three", parts[0])
    (tmp_path / "three" / "__consumer_offsets-3" / f"{3:020}.log").write_bytes(parts[1])
    (one / "meta.properties").write_text("version=1\nnode.id=11\n")
    (two / "meta.properties").write_text("version=0\nbroker.id=12\n")
    rows, problems = rows_of(tmp_path, with_batch=True)
    assert problems == []
    told = [
        list(zip(row["copy_brokers"], [Path(name).parts[-2:] for name in row["copy_segments"]], strict=True))
        for row in rows
    ]
    first, second = f"{0:020}.log", f"{3:020}.log"
    held = {
        "one": (11, ("__consumer_offsets-3", first)),
        "two": (12, ("__consumer_offsets-3", first)),
        "three": (None, ("__consumer_offsets-3", first)),
    }
    later = (None, ("__consumer_offsets-3", second))
    by_name = sorted(held)  # the order in which directories are found
    everywhere = [held[name] for name in by_name]
    behind = [later if name == "three" else held[name] for name in by_name if name != "two"]
    cleaned_too = [later if name == "three" else held[name] for name in by_name]
    assert told == [everywhere] * 3 + [behind, cleaned_too, behind] + [[held["one"]]] * 3
    for row in rows:
        for directory, segment in zip(row["copy_directories"], row["copy_segments"], strict=True):
            assert Path(segment).parent == Path(directory)


def test_an_offset_that_was_deleted_since_the_backup(tmp_path: Path) -> None:
    """Its record is in yesterday's copy; today's has lost it and the tombstone: it is told so."""
    yesterday = copy_of(tmp_path, "yesterday", commits(0, 2, "deleted"), commits(2, 2, "goes-on"))
    today = copy_of(tmp_path, "today", cleaned(4, [1], 3, "other"), commits(7, 2, "goes-on"))
    for paths in ([yesterday, today], [today, yesterday]):
        rows = list(offdecode.state(paths).rows())
        gone = {row["group"] for row in rows if row["type"] == "committed_offset" and row["gone_elsewhere"]}
        assert gone == {"deleted"}
        groups = {row["group"]: row for row in rows if row["type"] == "group"}
        assert not any(row["complete"] for row in groups.values())
        assert "what deleted their keys may be gone" in groups["deleted"]["incomplete_reason"]
        told, _ = rows_of(*paths)
        assert [row["log_offset"] for row in told if row["gone_elsewhere"]] == [0, 1, 2, 3]
    (alone, *_) = (row for row in offdecode.state(yesterday).rows() if row["type"] == "group")
    assert alone["complete"]


@pytest.mark.parametrize(("checkpoint", "first", "gone"), [
    (None, commits(0, 2), []),  # nothing shows that the cleaner was there: a segment is missing
    (2, commits(0, 2), []),
    (4, commits(0, 2), [2, 3]),
    (None, cleaned(0, [0], 2, "other"), [2, 3]),
], ids=["no sign", "checkpoint before", "checkpoint behind", "sign"])  # fmt: skip
def test_what_another_copy_lacks_was_cleaned_there_only_where_that_shows(
    checkpoint: int | None, first: bytes, gone: list[int], tmp_path: Path
) -> None:
    whole = copy_of(tmp_path, "whole", first, commits(2, 2), commits(4, 2))
    lacking = copy_of(tmp_path, "lacking", first, commits(4, 2))
    if checkpoint is not None:
        (lacking / "cleaner-offset-checkpoint").write_text(f"0\n1\n__consumer_offsets 3 {checkpoint}\n")
    rows, _ = rows_of(whole, lacking)
    assert [row["log_offset"] for row in rows if row["gone_elsewhere"]] == gone
    assert [row["log_offset"] for row in rows if row["copies"] == 1] == [2, 3]


def test_a_copy_that_merely_ends_or_begins_elsewhere_misses_nothing(tmp_path: Path) -> None:
    parts = [commits(0, 2), commits(2, 2), commits(4, 2)]
    shorter = copy_of(tmp_path, "shorter", *parts[:2])
    later = copy_of(tmp_path, "later", *parts[1:], first=2)
    rows, _ = rows_of(shorter, later)
    assert not any(row["gone_elsewhere"] for row in rows)
    assert all(row["complete"] for row in offdecode.state([shorter, later]).rows() if row["type"] == "group")
