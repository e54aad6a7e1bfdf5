"""A log in an archive or a compressed file gives the rows of its directory."""

from __future__ import annotations

import hashlib
import io
import json
from pathlib import Path
from typing import Any

import pytest

from offdecode import check
from offdecode.evidence import open_evidence
from offdecode.model import Problem
from offdecode.questions.check import PartitionCheck
from offdecode.schemas.rows import RowOptions
from offdecode.sinks.jsonl import JsonLinesSink
from tests.asking import a_request, decode
from tests.command import CLASSIC, TRANSACTIONS
from tests.containers import ARCHIVES, COMPRESS, compressed_segments
from tests.truth import FIXTURES, Row

SETS = (TRANSACTIONS, CLASSIC, FIXTURES / "kafka-4.4.0-all-groups")


def rows_of(*paths: Path, **options: Any) -> tuple[list[Row], list[Problem]]:
    problems: list[Problem] = []
    stream = io.BytesIO()
    request = a_request(*paths, columns=RowOptions(with_batch=True), **options)
    sink = JsonLinesSink(stream, request.columns)
    for chunk in decode(request, problems.append):
        sink.write(chunk)
    return [json.loads(line) for line in stream.getvalue().splitlines()], problems


def names_of(path: Path) -> dict[str, str]:
    return open_evidence(a_request(path)).topic_names()


def nameless(rows: list[Row]) -> list[Row]:
    return [{name: value for name, value in row.items() if name != "segment"} for row in rows]


@pytest.fixture(params=SETS, ids=lambda path: path.name)
def directory(request: pytest.FixtureRequest) -> Path:
    found: Path = request.param / "log"
    return found


@pytest.mark.parametrize("form", ARCHIVES)
def test_rows_of_an_archive(directory: Path, form: str, tmp_path: Path) -> None:
    archive = tmp_path / f"broker1.{form}"
    archive.write_bytes(ARCHIVES[form](directory))
    rows, problems = rows_of(archive)
    wanted, _ = rows_of(directory)
    assert rows
    assert nameless(rows) == nameless(wanted)
    assert problems == []
    for row, one in zip(rows, wanted, strict=True):
        name, inside = row["segment"].split("!/")
        assert name == str(archive)
        assert inside.endswith(one["segment"].removeprefix(str(directory)))


@pytest.mark.parametrize("form", ARCHIVES)
def test_checkpoints_and_checksums(directory: Path, form: str, tmp_path: Path) -> None:
    archive = tmp_path / f"broker1.{form}"
    archive.write_bytes(ARCHIVES[form](directory))
    found = [one for one in check(archive) if isinstance(one, PartitionCheck)]
    wanted = [one for one in check(directory) if isinstance(one, PartitionCheck)]
    assert [one.checkpoints for one in found] == [one.checkpoints for one in wanted]
    assert any(one.checkpoints.recovery_point is not None for one in found)
    assert [one.coverage for one in found] == [one.coverage for one in wanted]
    for one in found:
        for file in one.files:
            path = directory / Path(file.path).parent.name / Path(file.path).name
            assert file.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert names_of(archive) == names_of(directory)


@pytest.mark.parametrize("suffix", COMPRESS)
def test_compressed_segments(directory: Path, suffix: str, tmp_path: Path) -> None:
    """In a directory, and in an archive too."""
    place = tmp_path / "copy"
    compressed_segments(directory, place, suffix)
    wanted = nameless(rows_of(directory)[0])
    assert (nameless(rows_of(place)[0]), rows_of(place)[1]) == (wanted, [])
    archive = tmp_path / "copy.tgz"
    archive.write_bytes(ARCHIVES["tar.gz"](place))
    rows, problems = rows_of(archive)
    assert (nameless(rows), problems) == (wanted, [])
    name = rows[0]["segment"].removeprefix(f"{archive}!/data/")
    assert name.endswith(f".log.{suffix}!/" + Path(name).name)


@pytest.mark.parametrize("suffix", COMPRESS)
def test_one_compressed_segment(suffix: str, tmp_path: Path) -> None:
    """The name says nothing, the content does."""
    segment = next(iter(sorted((TRANSACTIONS / "log").glob("*/*.log"))))
    partition = int(segment.parent.name.rpartition("-")[2])
    place = tmp_path / "evidence"
    place.write_bytes(COMPRESS[suffix](segment.read_bytes()))
    rows, problems = rows_of(place, as_log_partition=partition)
    assert (nameless(rows), problems) == (nameless(rows_of(segment)[0]), [])
    assert {row["segment"] for row in rows} == {f"{place}!/evidence"}
