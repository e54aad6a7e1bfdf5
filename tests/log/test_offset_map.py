"""The map of a log's offsets: the table of verdicts, each case built, and asked through every command."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from click.testing import CliRunner

from offdecode.cli import cli
from offdecode.log import offset_map
from offdecode.log.offset_map import VERDICTS, Verdict
from offdecode.model import SpanState
from offdecode.sources.locations import LocalLocation
from tests.command import ROOT
from tests.log.test_transactions import emptied
from tests.messages import message
from tests.segment_builder import TRANSACTIONAL, Header, batch, commit, marker, refused_by_its_codec


def plain(offset: int, count: int = 1) -> bytes:
    return batch([commit("g", partition=offset + index) for index in range(count)], Header(offset))


def refused(offset: int, count: int) -> bytes:
    """A batch with a right checksum that cannot be decompressed."""
    return refused_by_its_codec([commit("g", partition=offset)] * count, Header(offset))


def cleaned(offset: int) -> bytes:
    """A batch of four offsets, of which the cleaner has left one record."""
    return emptied(plain(offset), 1)


def old(offset: int) -> bytes:
    key, value = commit("g", partition=offset)
    return message(1, offset, key, value)


BROKEN = b"\xff" * 99


@dataclass(frozen=True)
class Case:
    """A log by its segments, and the range of offsets that is asked about."""

    verdict: Verdict
    segments: Mapping[int, Sequence[bytes]]
    offsets: tuple[int, int]
    checkpoints: dict[str, int] = field(default_factory=dict)
    carved: bool = False
    served: bool = False
    other_copy: tuple[bytes, ...] = ()


M = offset_map
CLEANER, START = "cleaner-offset-checkpoint", "log-start-offset-checkpoint"
END = "replication-offset-checkpoint"
CASES = {
    "whole": Case(M.NO_HOLE, {0: [plain(0, 3), plain(3)]}, (0, 3)),
    "whole_after_sign": Case(M.NO_HOLE, {0: [cleaned(0), plain(4)]}, (4, 4)),
    "whole_below_checkpoint": Case(M.NO_HOLE, {0: [plain(0), plain(1)]}, (0, 1), {CLEANER: 1}),
    "below_checkpoint": Case(M.BELOW_CHECKPOINT, {0: [plain(0)], 5: [plain(5)]}, (1, 4), {CLEANER: 5}),
    "within_below_checkpoint": Case(M.BELOW_CHECKPOINT, {0: [plain(0), plain(5)], 6: [plain(6)]}, (1, 4), {CLEANER: 6}),
    "served": Case(M.SERVED, {0: [plain(0)], 5: [plain(5)]}, (1, 4), {END: 6}, served=True),
    "within_served": Case(M.SERVED, {0: [plain(0), plain(5), cleaned(6)]}, (1, 4), {END: 10}, served=True),
    "whole_served": Case(M.NO_HOLE, {0: [plain(0), plain(1)]}, (0, 1), {END: 2}, served=True),
    "before_first_batch_served": Case(M.SERVED, {0: [plain(5)]}, (0, 4), {END: 6}, served=True),
    "before_sign": Case(M.BEFORE_SIGN, {0: [plain(0)], 5: [plain(5), cleaned(6)]}, (1, 4)),
    "within_before_sign": Case(M.BEFORE_SIGN, {0: [plain(0), plain(5), cleaned(6)]}, (1, 4)),
    "old_checkpoint": Case(M.BEFORE_SIGN, {0: [plain(0)], 5: [plain(5), cleaned(6)]}, (1, 4), {CLEANER: 1}),
    "within_after_sign": Case(M.WITHIN_CLEANED, {0: [cleaned(0), plain(9)]}, (4, 8)),
    "within_after_sign_and_checkpoint": Case(M.WITHIN_CLEANED, {0: [cleaned(0), plain(9)]}, (4, 8), {CLEANER: 0}),
    "after_sign": Case(M.AFTER_SIGN, {0: [cleaned(0)], 9: [plain(9)]}, (4, 8)),
    "after_sign_and_checkpoint": Case(M.AFTER_SIGN, {0: [cleaned(0)], 9: [plain(9)]}, (4, 8), {CLEANER: 0}),
    "above_checkpoint": Case(M.ABOVE_CHECKPOINT, {0: [plain(0)], 5: [plain(5)]}, (1, 4), {CLEANER: 1}),
    "within_above_checkpoint": Case(M.ABOVE_CHECKPOINT, {0: [plain(0), plain(5)]}, (1, 4), {CLEANER: 0}),
    "sign_below_checkpoint": Case(M.ABOVE_CHECKPOINT, {0: [cleaned(0), plain(9)]}, (4, 8), {CLEANER: 4}),
    "across_checkpoint": Case(M.ACROSS_CHECKPOINT, {0: [plain(0)], 9: [plain(9)]}, (4, 8), {CLEANER: 4}),
    "part_below": Case(M.BELOW_CHECKPOINT, {0: [plain(0)], 9: [plain(9)]}, (1, 3), {CLEANER: 4}),
    "not_cleaned": Case(M.NOT_CLEANED, {0: [plain(0)], 5: [plain(5)]}, (1, 4)),
    "cut_out": Case(M.CUT_OUT, {0: [plain(0), plain(5)]}, (1, 4)),
    "old_format": Case(M.OLD_FORMAT, {0: [old(0), old(5)]}, (1, 4)),
    "old_format_between": Case(M.OLD_FORMAT, {0: [old(0)], 5: [old(5)]}, (1, 4)),
    "bytes_lost": Case(M.BYTES_LOST, {0: [plain(0), BROKEN, plain(5)]}, (1, 4)),
    "bytes_lost_below_checkpoint": Case(M.BYTES_LOST, {0: [plain(0), BROKEN, plain(5)]}, (1, 4), {CLEANER: 5}),
    "bytes_lost_before_sign": Case(M.BYTES_LOST, {0: [plain(0), BROKEN, plain(5), cleaned(6)]}, (1, 4)),
    "no_offsets_lost": Case(M.NO_HOLE, {0: [plain(0), BROKEN, plain(1)]}, (0, 1)),
    "lost_at_end": Case(M.BYTES_LOST_AT_END, {0: [plain(0), BROKEN]}, (1, 1)),
    "zeros_at_end": Case(M.NO_HOLE, {0: [plain(0), bytes(99)]}, (0, 0)),
    "records_lost": Case(M.RECORDS_LOST, {0: [plain(0), refused(1, 2), plain(3)]}, (1, 2)),
    "records_lost_before_sign": Case(M.RECORDS_LOST, {0: [plain(0), refused(2, 3), cleaned(5)]}, (2, 4)),
    "before_first_segment": Case(M.BEFORE_FIRST_SEGMENT, {5: [plain(5)]}, (0, 4)),
    "before_first_segment_below_checkpoint": Case(M.BEFORE_FIRST_SEGMENT, {5: [plain(5)]}, (0, 4), {CLEANER: 9}),
    "before_first_segment_from_start": Case(M.BEFORE_FIRST_SEGMENT, {5: [plain(5)]}, (3, 4), {START: 3}),
    "starts_at_first_segment": Case(M.NO_HOLE, {5: [plain(5)]}, (5, 5), {START: 5}),
    "starts_within_first_segment": Case(M.NO_HOLE, {5: [plain(5), plain(6)]}, (6, 6), {START: 6}),
    "carved": Case(M.CARVED, {0: [plain(0)], 5: [plain(5)]}, (1, 4), carved=True),
    "carved_before_sign": Case(M.CARVED, {0: [plain(0)], 5: [plain(5), cleaned(6)]}, (1, 4), carved=True),
    "carved_after_sign": Case(M.CARVED, {0: [cleaned(0)], 9: [plain(9)]}, (4, 8), carved=True),
    "within_carved": Case(M.CUT_OUT, {0: [plain(0), plain(5)]}, (1, 4), carved=True),
    "outlived": Case(M.OUTLIVED, {0: [plain(2), cleaned(5)]}, (3, 8), other_copy=(plain(0), plain(1), plain(2))),
    "outlived_batch": Case(M.OUTLIVED, {0: [cleaned(0), cleaned(9)]}, (4, 9), other_copy=(plain(0, 4),)),
    "both_copies": Case(M.BEFORE_SIGN, {0: [plain(0), cleaned(5)]}, (1, 4), other_copy=(plain(0),)),
    "empty": Case(M.BEFORE_FIRST_SEGMENT, {5: []}, (0, 4)),
    "behind_last_batch": Case(M.BEHIND_LAST_BATCH, {0: [plain(0)], 5: []}, (1, 4)),
    "behind_last_batch_below_checkpoint": Case(M.BELOW_CHECKPOINT, {0: [plain(0)], 5: []}, (1, 4), {CLEANER: 5}),
    "behind_last_batch_after_sign": Case(M.AFTER_SIGN, {0: [cleaned(0)], 9: []}, (4, 8)),
    "to_the_last_segment": Case(M.NO_HOLE, {0: [plain(0)], 1: []}, (0, 0), {END: 1}),
    "below_high_watermark": Case(M.BELOW_HIGH_WATERMARK, {0: [plain(0)]}, (1, 4), {END: 5}),
    "torn_below_high_watermark": Case(M.BELOW_HIGH_WATERMARK, {0: [plain(0), plain(1)[:-3]]}, (1, 4), {END: 5}),
    "empty_below_high_watermark": Case(M.BELOW_HIGH_WATERMARK, {0: []}, (0, 4), {END: 5}),
    "cleaned_below_high_watermark": Case(M.BELOW_HIGH_WATERMARK, {0: [cleaned(0)], 9: []}, (9, 9), {END: 10}),
    "other_copy_below_high_watermark": Case(
        M.NO_HOLE, {0: [plain(0)]}, (0, 1), {END: 2}, other_copy=(plain(0), plain(1))
    ),
    "lost_bytes_below_high_watermark": Case(M.BYTES_LOST_AT_END, {0: [plain(0), BROKEN]}, (1, 1), {END: 5}),
    "served_to_the_end": Case(M.SERVED, {0: [plain(0)]}, (1, 4), {END: 5}, served=True),
    "before_first_batch": Case(M.BEFORE_FIRST_BATCH, {0: [plain(5)]}, (0, 4)),
    "before_first_batch_below_checkpoint": Case(M.BELOW_CHECKPOINT, {0: [plain(5)]}, (0, 4), {CLEANER: 5}),
}


@pytest.fixture(autouse=True)
def serve(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files of a served case are taken for what a broker gives."""
    case = CASES.get(request.node.callspec.params.get("name")) if hasattr(request.node, "callspec") else None
    monkeypatch.setattr(LocalLocation, "served", case is not None and case.served)


def write(tmp_path: Path, case: Case) -> Path:
    directory = tmp_path / "__consumer_offsets-0"
    directory.mkdir()
    for name, parts in case.segments.items():
        (directory / f"{name:020}.log").write_bytes(b"".join(parts))
    if case.carved:
        (directory / "carved.txt").touch()
    if case.other_copy:
        other = tmp_path / "other" / "__consumer_offsets-0"
        other.mkdir(parents=True)
        (other / f"{0:020}.log").write_bytes(b"".join(case.other_copy))
    for checkpoint, offset in case.checkpoints.items():
        (tmp_path / checkpoint).write_text(f"0\n1\n__consumer_offsets 0 {offset}\n")
    return tmp_path


def rows(name: str, *arguments: str | Path) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """What a command prints, and its problems about offsets."""
    with TemporaryDirectory() as place:
        out, problems = Path(place, "rows.jsonl"), Path(place, "problems.jsonl")
        outputs = () if name == "check" else ("-o", str(out), "--problems", str(problems))
        done = CliRunner().invoke(cli, [name, *map(str, arguments), *outputs], standalone_mode=False)
        assert done.exception is None
        if name == "check":
            out.write_text(done.stdout)
        found = [json.loads(line) for line in out.read_text().splitlines()]
        told = [json.loads(line) for line in problems.read_text().splitlines()] if outputs else []
    return found, [problem for problem in told if problem["kind"] == "missing_offsets"]


@pytest.mark.parametrize("name", CASES)
def test_every_command_gives_the_verdict_of_the_table(tmp_path: Path, name: str) -> None:
    case = CASES[name]
    data, (first, last) = write(tmp_path, case), case.offsets
    (found,), _ = rows("check", "--json", data)
    tiles = [span for span in found["completeness"] if "transactions" not in span["reason"]]
    states = [
        {span["state"] for span in tiles if span["first_offset"] <= offset <= _end(span)}
        for offset in range(first, last + 1)
    ]
    assert states == [{str(case.verdict.state)}] * len(states)
    missing = [problem for problem in found["problems"] if problem["kind"] == "missing_offsets"]
    here = [problem["log_offset"] for problem in missing if first <= problem["log_offset"] <= last]
    assert here == ([first] if case.verdict.problem else [])
    for command in ("decode", "state", "generations", "transactions", "explain"):
        out, problems = rows(command, data)
        assert [{**problem, "source": None} for problem in problems] == [{**one, "source": None} for one in missing]
    hidden = [row for row in out if row["type"] == "hidden_range"]
    gaps = [span for span in tiles if span["state"] != "complete"]
    for span, row in zip(gaps, hidden, strict=True):
        assert (row["first_log_offset"], row["last_log_offset"]) == (span["first_offset"], span["last_offset"])
        assert row["reason"] == f"{span['state']}: {span['reason']}"
    for group in rows("state", "--type", "group", data)[0]:
        for span in gaps:
            said = f"offsets {span['first_offset']} to"
            assert (said in (group["incomplete_reason"] or "")) is (span["state"] != "compacted")


def test_a_broker_proves_nothing_beyond_what_it_serves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another copy may go on, and lack something there."""
    monkeypatch.setattr(LocalLocation, "served", True)
    segment = [plain(0), plain(2), plain(5)]
    data = write(tmp_path, Case(M.CUT_OUT, {0: segment}, (3, 4), {END: 3}))
    (found,), _ = rows("check", "--json", data)
    spans = [(span["state"], span["first_offset"]) for span in found["completeness"]]
    assert spans == [
        ("complete", 0), ("compacted", 1), ("complete", 2), ("missing", 3), ("complete", 5),
        ("above_high_watermark", 3),
    ]  # fmt: skip
    assert [problem["log_offset"] for problem in found["problems"]] == [3]


BEHIND_FIRST = [
    name for name, case in CASES.items()
    if case.offsets == (1, 4) and case.verdict is not M.OLD_FORMAT
    and not any(words in name for words in ("behind_last", "high_watermark", "to_the_end"))
]  # fmt: skip


@pytest.mark.parametrize("name", BEHIND_FIRST)
def test_a_transaction_is_decided_where_the_cleaner_made_the_hole(tmp_path: Path, name: str) -> None:
    case = CASES[name]
    parts = {start: list(segment) for start, segment in case.segments.items()}
    parts[0][0] = batch([commit("g")], Header(0, TRANSACTIONAL, 7, 0))
    base, delta = struct.unpack_from(">q15xi", last := parts[max(parts)][-1])
    assert len(last) > 61
    parts[max(parts)].append(marker(base + delta + 1, 7, commit=True))
    data = write(tmp_path, replace(case, segments=parts))
    cleaners = case.verdict.state is SpanState.COMPACTED
    (found,), _ = rows("transactions", data)
    assert found["status"] == ("committed" if cleaners else "unknown")
    first = rows("decode", data)[0][0]
    assert (first["log_offset"], first["transaction"]) == (0, found["status"])
    offsets = {row["type"] for row in rows("state", data)[0] if row.get("log_offset") == 0}
    assert offsets == {"committed_offset" if cleaners else "pending_offset"}


def _end(span: dict[str, Any]) -> int:
    return 2**63 if span["last_offset"] is None else int(span["last_offset"])


CASE_LOGS = ROOT / "fixtures" / "cases"


def test_a_hole_within_a_segment_of_a_cleaned_log_is_the_cleaners() -> None:
    data = CASE_LOGS / "holes"
    (found,), _ = rows("check", "--json", data)
    spans = [(span["state"], span["first_offset"], span["last_offset"]) for span in found["completeness"]]
    assert spans == [("complete", 0, 4), ("compacted", 5, 19), ("complete", 20, 20)]
    assert [row["status"] for row in rows("transactions", data)[0]] == ["committed"]
    assert [row["incomplete_reason"] for row in rows("state", "--type", "group", data)[0]] == [None]


def test_a_hole_across_the_checkpoint_is_divided_there() -> None:
    data = CASE_LOGS / "ckpt"
    (found,), _ = rows("check", "--json", data)
    spans = [(span["state"], span["first_offset"], span["last_offset"]) for span in found["completeness"]]
    assert spans == [("complete", 0, 4), ("compacted", 5, 11), ("missing", 12, 19), ("complete", 20, 20)]
    _, (problem,) = rows("decode", data)
    assert problem["message"].startswith("offsets 12 to 19 are missing")


def test_a_log_that_starts_where_its_first_segment_does_lacks_nothing() -> None:
    data = CASE_LOGS / "start"
    (found,), _ = rows("check", "--json", data)
    assert [(span["state"], span["first_offset"]) for span in found["completeness"]] == [("complete", 129)]
    assert {row["type"] for row in rows("explain", data)[0]} == {"movement"}
    assert [row["complete"] for row in rows("state", "--type", "group", data)[0]] == [True]


def test_the_table_has_a_case_of_every_verdict_and_every_case_is_in_it() -> None:
    assert {id(case.verdict) for case in CASES.values()} == {id(verdict) for verdict in VERDICTS}
