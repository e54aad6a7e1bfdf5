"""Answers in pieces: together they have the rows and problems of the whole, whoever reads them, however often."""

from __future__ import annotations

import os
import pickle
import shutil
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import offdecode
from offdecode import Answer, Problem, UsageError
from offdecode.sources.locations import LocalLocation
from tests.segment_builder import Header, batch, commit
from tests.truth import FIXTURES, LogSet, log_sets, set_id

LOG = FIXTURES / "kafka-4.4.0-transactions-tv1" / "log"
LATER = 4_000_000_000_000  # than all records of the sets

# Whether the order of the whole is that of the pieces: groups of several partitions are sorted together.
ASKED: dict[str, tuple[Callable[..., Answer], dict[str, Any], bool]] = {
    "decode": (offdecode.decode, {}, True),
    "decode --with-generation": (offdecode.decode, {"with_generation": True}, True),
    "decode --with-transactional-id": (offdecode.decode, {"with_transactional_id": True}, True),
    "state": (offdecode.state, {}, True),
    "state --as-of": (offdecode.state, {"as_of": LATER}, True),
    "generations": (offdecode.generations, {}, False),
    "generations --summary": (offdecode.generations, {"summary": True}, False),
    "explain": (offdecode.explain, {}, True),
    "groups": (offdecode.groups, {}, False),
    "groups --idle-for": (offdecode.groups, {"idle_for": "1m"}, True),
    "growth": (offdecode.growth, {}, True),
    "transactions": (offdecode.transactions, {}, True),
    "lag": (offdecode.lag, {}, True),
}


def told(answers: list[Answer]) -> list[str]:
    return [repr(sorted(row.items())) for answer in answers for row in answer.rows()]


@pytest.mark.parametrize("name", ASKED)
@pytest.mark.parametrize("log_set", log_sets(), ids=set_id)
def test_pieces_are_the_whole(log_set: LogSet, name: str) -> None:
    ask, options, in_order = ASKED[name]
    problems: list[Problem] = []
    answer = ask(log_set.log, on_problem=problems.append, **options)
    whole = told([answer])
    reported = Counter(problems)
    for most_bytes in (1 << 40, 5_000) if ask is offdecode.decode else (1,):
        problems.clear()
        found = told(answer.pieces(most_bytes))
        assert (found == whole) if in_order else (Counter(found) == Counter(whole))
        assert Counter(problems) == reported


def one_log(folder: Path, segments: int) -> Path:
    """A log of so many segments, each of commits of a group of its own name."""
    log = folder / "__consumer_offsets-7"
    log.mkdir(parents=True)
    for number in range(segments):
        records = [commit(f"group-{number}", "orders", partition, partition) for partition in range(50)]
        (log / f"{number * 50:020}.log").write_bytes(batch(records, Header(base_offset=number * 50)))
    return folder


@pytest.mark.parametrize("parts", [1, 2, 7, 40])
def test_a_log_is_cut_into_ranges_of_about_equal_size(parts: int, tmp_path: Path) -> None:
    answer = offdecode.decode(one_log(tmp_path, 40))
    size = sum(file.stat().st_size for file in tmp_path.rglob("*.log"))
    pieces = answer.pieces(-(-size // parts))
    assert len(pieces) == parts
    assert sum(piece.piece.size for piece in pieces if piece.piece is not None) == size
    rows = [piece.table("offset_commit").num_rows for piece in pieces]
    assert sum(rows) == 2000
    assert max(rows) - min(rows) <= 100  # a segment at each end


def rows_of_piece(pickled: bytes) -> list[str]:
    return told([pickle.loads(pickled)])


def test_other_processes_read_them_in_any_order_and_twice() -> None:
    answer = offdecode.decode(LOG, row_types=["offset_commit", "transaction_marker"])
    pieces = [pickle.dumps(piece) for piece in answer.pieces(2_000)]
    assert len(pieces) > 8
    with ProcessPoolExecutor(2) as pool:
        found = list(pool.map(rows_of_piece, [*pieces[::-1], *pieces]))
    assert found[: len(pieces)] == found[len(pieces) :][::-1]
    assert [row for rows in found[len(pieces) :] for row in rows] == told([answer])


def test_each_partition_alone_is_what_it_tells_by_itself() -> None:
    for ask in (offdecode.explain, offdecode.state, offdecode.transactions):
        pieces = ask(LOG).pieces(alone=True)
        assert len(pieces) == 4
        for partition, piece in enumerate(pieces):
            assert told([piece]) == told([ask(LOG, log_partitions=[partition])])
        assert len(ask(LOG).pieces()) == 1


def test_problems_of_paths_are_told_once(tmp_path: Path) -> None:
    other = tmp_path / "__consumer_offsets-3"
    other.mkdir()
    os.mkfifo(other / f"{0:020}.log")
    problems: list[Problem] = []
    answer = offdecode.decode([LOG, tmp_path], on_problem=problems.append)
    whole = told([answer])
    reported = [*problems]
    problems.clear()
    assert told(answer.pieces(2_000)) == whole
    assert [problem.kind for problem in reported] == ["unreadable"]
    assert problems == reported


def test_a_file_that_is_no_log_is_a_problem_of_its_piece(tmp_path: Path) -> None:
    other = tmp_path / "__consumer_offsets-9"
    other.mkdir()
    (other / f"{0:020}.log").write_bytes(b"no segment at all " * 100)
    problems: list[Problem] = []
    answer = offdecode.decode([LOG, tmp_path], on_problem=problems.append)
    whole = told([answer])
    reported = Counter(problems)
    problems.clear()
    assert told(answer.pieces()) == whole
    assert Counter(problems) == reported


def test_a_segment_without_a_partition_is_cut_too(tmp_path: Path) -> None:
    segment = tmp_path / "some.log"
    source = next(iter(sorted((LOG / "__consumer_offsets-0").glob("*.log"))))
    segment.write_bytes(source.read_bytes())
    answer = offdecode.decode(segment)
    pieces = answer.pieces(1_000)
    assert len(pieces) > 2
    assert told(pieces) == told([answer])


def test_rows_say_how_many_copies_hold_them_where_one_log_has_several(tmp_path: Path) -> None:
    shutil.copytree(LOG / "__consumer_offsets-1", tmp_path / "__consumer_offsets-1")
    answer = offdecode.decode([LOG, tmp_path], on_problem=lambda problem: None)
    whole = told([answer])
    assert all("('copies', " in row for row in whole)
    for most_bytes in (1 << 40, 5_000):
        assert told(answer.pieces(most_bytes)) == whole
    for ask in (offdecode.generations, offdecode.growth, offdecode.lag):
        answer = ask([LOG, tmp_path], on_problem=lambda problem: None)
        assert Counter(told(answer.pieces())) == Counter(told([answer]))


def test_a_piece_looks_into_its_own_partition_only(monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[str] = []
    names = LocalLocation.names

    def noted(place: LocalLocation) -> list[str]:
        looked.append(place.name)
        return names(place)

    pieces = offdecode.decode(LOG).pieces()
    monkeypatch.setattr(LocalLocation, "names", noted)
    assert pieces[2].table("offset_commit").num_rows
    assert {name for name in looked if name.startswith("__consumer_offsets-")} == {"__consumer_offsets-2"}


def test_what_cannot_be_cut_says_so(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="read once"):
        offdecode.decode("-").pieces()
    with pytest.raises(UsageError, match="at least one byte"):
        offdecode.decode(LOG).pieces(0)
    with pytest.raises(offdecode.SourceError, match="no such file or directory"):
        offdecode.decode(tmp_path / "nothing").pieces()
    piece = offdecode.decode(LOG).pieces()[0]
    assert piece.pieces() == [piece]
