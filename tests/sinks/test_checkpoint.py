"""Outputs that go on where a checkpoint says: cut back to it, and written by one run at a time."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from offdecode.cli.follow import _refuse_changed
from offdecode.errors import UsageError
from offdecode.schemas.rows import DEFAULT_OPTIONS
from offdecode.sinks.checkpoint import ResumedFile, TailCheckpoint, load_checkpoint
from offdecode.sinks.parts import ParquetParts


def test_a_checkpoint_is_read_as_it_was_saved(tmp_path: Path) -> None:
    file = tmp_path / "checkpoint"
    assert load_checkpoint(file) is None
    for size in (None, 7):
        checkpoint = TailCheckpoint("cluster", "topic", "/rows", size, {0: 5, 49: 2**62})
        checkpoint.save(file)
        assert load_checkpoint(file) == checkpoint
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint"]


@pytest.mark.parametrize(
    "text", ["", "7", "[]", "{}", '{"offsets":{}}', '{"offsets":{"a":1}}', '{"offsets":7}', "\x00"]
)
def test_other_files_are_no_checkpoints(tmp_path: Path, text: str) -> None:
    (tmp_path / "checkpoint").write_text(text, "utf-8")
    with pytest.raises(UsageError, match="is no checkpoint"):
        load_checkpoint(tmp_path / "checkpoint")


def test_a_file_is_cut_back_and_never_shorter(tmp_path: Path) -> None:
    file = tmp_path / "rows"
    file.write_bytes(b"safe lost")
    resumed = ResumedFile(file)
    resumed.cut_back(5)
    resumed.stream.write(b"again")
    assert resumed.make_safe() == 10
    resumed.stream.close()
    assert file.read_bytes() == b"safe again"
    resumed = ResumedFile(file)
    with resumed.stream, pytest.raises(UsageError, match="rows of it are gone"):
        resumed.cut_back(11)
    assert file.read_bytes() == b"safe again"


def test_one_run_writes_a_file_at_a_time(tmp_path: Path) -> None:
    with ResumedFile(tmp_path / "rows").stream, pytest.raises(UsageError, match="another run is writing it"):
        ResumedFile(tmp_path / "rows")
    ResumedFile(tmp_path / "rows").stream.close()


def test_one_run_writes_parts_at_a_time(tmp_path: Path) -> None:
    first = ParquetParts(tmp_path / "rows", DEFAULT_OPTIONS, lambda problem: None)
    with pytest.raises(UsageError, match="another run is writing it"):
        ParquetParts(tmp_path / "rows", DEFAULT_OPTIONS, lambda problem: None)
    first.close()
    ParquetParts(tmp_path / "rows", DEFAULT_OPTIONS, lambda problem: None).close()


def test_a_checkpoint_that_another_run_has_moved_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "checkpoint"
    checkpoint = TailCheckpoint("cluster", "topic", "/rows", 7, {0: 5})
    _refuse_changed(file, None)
    with pytest.raises(UsageError, match="another run has gone on"):
        _refuse_changed(file, checkpoint)
    checkpoint.save(file)
    _refuse_changed(file, checkpoint)
    with pytest.raises(UsageError, match="another run has gone on"):
        _refuse_changed(file, replace(checkpoint, size=9))
