"""A log in an archive or a compressed file gives the rows of its directory."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import re
import shutil
import tarfile
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import offdecode
from offdecode import check
from offdecode.cli import cli
from offdecode.errors import SourceError
from offdecode.evidence import open_evidence
from offdecode.model import Problem
from offdecode.questions.check import ContainerCheck, PartitionCheck
from offdecode.schemas.rows import RowOptions
from offdecode.sinks.jsonl import JsonLinesSink
from tests.asking import a_request, decode
from tests.command import CLASSIC, TRANSACTIONS, run
from tests.containers import ARCHIVES, COMPRESS, compressed_segments, tar_of, zip_of
from tests.segment_builder import Header, batch, commit, in_epoch
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


@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT, tarfile.USTAR_FORMAT])
@pytest.mark.parametrize("packed", [False, True])
def test_backups_of_several_days_that_share_files(directory: Path, form: int, packed: bool, tmp_path: Path) -> None:
    """Of a file that is as it was the day before, rsync --link-dest and cp -al make another name."""
    days = [tmp_path / "backup" / f"{'long-' * 30 * (form != tarfile.USTAR_FORMAT)}2026-11-{day}" for day in (29, 30)]
    shutil.copytree(directory, days[0])
    shutil.copytree(days[0], days[1], copy_function=os.link)
    archive = tmp_path / "backup.tar"
    with tarfile.open(archive, "w:gz" if packed else "w", format=form) as tar:
        for day in days:
            tar.add(day, day.name)
        assert sum(member.islnk() for member in tar) == sum(path.is_file() for path in directory.rglob("*"))
    problems: list[Problem] = []
    read, wanted = (
        list(offdecode.decode(paths, with_batch=True, on_problem=problems.append).rows()) for paths in ([archive], days)
    )
    assert problems == []
    assert [inside for inside in read[-1]["copy_segments"] if days[1].name in inside]
    assert {row["copies"] for row in read} == {2}
    named = ("segment", "copy_segments", "copy_directories")
    assert [[row[name] for name in row if name not in named] for row in read] == [
        [row[name] for name in row if name not in named] for row in wanted
    ]


def answer(command: str, place: Path, folder: Path) -> tuple[bytes, bytes]:
    """What a command writes, and its problems; in both `data` stands for the directory."""
    name, *words = command.split()
    files = folder / "rows", folder / "problems"
    output = [] if name == "check" else ["-o", str(files[0]), "--problems", str(files[1])]
    done = CliRunner().invoke(cli, [name, str(place), *words, *output], standalone_mode=False)
    assert done.exception is None, command
    if name == "check":
        lines = done.stdout_bytes.splitlines(keepends=True)
        files[0].write_bytes(b"".join(one for one in lines if not one.startswith(b'{"type":"container"')))
        files[1].write_bytes(b"")
    above = re.escape(bytes(place)) + (b"" if place.is_dir() else rb"!/[^\"]*?(?=/__consumer_offsets-)")
    rows, problems = (re.sub(above, b"data", file.read_bytes()) for file in files)
    for suffix in COMPRESS:  # a segment in a file is named like the file, and what is in it
        rows = re.sub(rb"(\.log)\.%s!/\d{20}\.log" % suffix.encode(), rb"\1", rows)
    return rows, problems


COMMANDS = (
    "check --json", "decode --with-batch", "decode --with-generation", "explain", "generations", "groups", "growth",
    "state", "transactions",
)  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_answers_from_every_form_as_from_the_directory(
    directory: Path, command: str, tmp_path: Path
) -> None:
    wanted = answer(command, directory, tmp_path)
    assert wanted[0]
    for form in ARCHIVES if directory.parent == TRANSACTIONS else ("tar.gz",):
        archive = tmp_path / f"broker1.{form}"
        archive.write_bytes(ARCHIVES[form](directory))
        assert answer(command, archive, tmp_path) == wanted, form
    for suffix in COMPRESS if directory.parent == TRANSACTIONS else ():
        packed = tmp_path / suffix
        compressed_segments(directory, packed, suffix)
        assert answer(command, packed, tmp_path) == wanted, suffix


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
    containers = [one.as_dict() for one in check(archive) if isinstance(one, ContainerCheck)]
    assert containers == [container(archive, archive.read_bytes())]
    assert not any(isinstance(one, ContainerCheck) for one in check(directory))


@pytest.mark.parametrize("form", ["tar", "tar.gz", "zip"])
def test_what_is_left_over_and_deleted_topics(form: str, tmp_path: Path) -> None:
    """Older segments, a partition that was deleted, and topics of whose partitions only deleted ones are there."""
    data = tmp_path / "data"
    shutil.copytree(FIXTURES / "kafka-4.4.0-all-groups" / "log", data)
    log = max(data.glob("__consumer_offsets-*/*.log"), key=lambda path: path.stat().st_size)
    shutil.copy(log, log.with_name(f"{log.name}.deleted"))
    log.write_bytes(log.read_bytes()[:1000])
    shutil.copytree(log.parent, data / f"__consumer_offsets-49.{'a1' * 16}-stray")
    shutil.rmtree(data / "dead-letters-0")
    for name in ("dead-letters-0", "click_stream-1"):  # the other partition of the latter is still there
        gone = data / f"{name}.{'b2' * 16}-delete"
        gone.mkdir()
        (gone / "00000000000000000000.log").write_bytes(b"")
    archive = tmp_path / f"broker1.{form}"
    archive.write_bytes(ARCHIVES[form](data))
    for command in ("check --json", "check --json --leftovers", "decode --leftovers --with-batch", "state", "explain"):
        wanted, problems = answer(command, data, tmp_path)
        assert wanted
        rows, found = answer(command, archive, tmp_path)
        assert rows == wanted, command
        assert found == problems, command
        if command == "check --json":
            left_over = [*data.glob("__consumer_offsets-*/*.log.*"), *data.glob("*-stray/*.log")]
            assert wanted.count(b'"type":"leftover"') == len(left_over)
        if command == "state":
            assert {row["topic"] for row in map(json.loads, rows.splitlines()) if row.get("topic_deleted")} == {
                "dead-letters"
            }


@pytest.mark.parametrize("form", ["tar", "tar.gz", "zip"])
def test_a_deleted_partition_alone_is_no_log_unless_left_over_ones_are_asked_for(form: str, tmp_path: Path) -> None:
    """As in a directory; also beside a live one, each in an archive of its own."""
    gone = tmp_path / "gone" / f"__consumer_offsets-3.{'a1' * 16}-delete"
    there = tmp_path / "there" / "__consumer_offsets-3"
    for directory, group in ((gone, "gone"), (there, "there")):
        directory.mkdir(parents=True)
        (directory / f"{0:020}.log").write_bytes(batch([commit(group)], Header(0)))
    alone, live = tmp_path / "alone.any", tmp_path / "live.any"
    alone.write_bytes(ARCHIVES[form](gone.parent))
    live.write_bytes(ARCHIVES[form](there.parent))
    for place in (alone, gone.parent):
        with pytest.raises(SourceError, match="no directory __consumer_offsets"):
            rows_of(place)
    (tmp_path / "both").mkdir()
    for name, path in (("a.tar", alone), ("b.tar", live)):
        path.rename(tmp_path / "both" / name)
    both = tmp_path / "both.any"
    both.write_bytes(ARCHIVES[form](tmp_path / "both"))
    assert [row["group"] for row in rows_of(both)[0]] == ["there"]


@pytest.mark.parametrize("form", ["tar", "tar.gz", "zip"])
@pytest.mark.parametrize("name", ["backup-2026-11-30", "__consumer_offsets-3", "x"])
def test_segments_right_in_an_archive_of_any_name(name: str, form: str, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / f"{0:020}.log").write_bytes(batch([commit("g")], Header(0)))
    archive = tmp_path / f"{name}.{form}"
    if form == "zip":
        archive.write_bytes(zip_of(tmp_path / "data", inside="."))
    else:
        whole = tar_of(tmp_path / "data", inside=".")
        archive.write_bytes(gzip.compress(whole) if form == "tar.gz" else whole)
    assert [row["group"] for row in rows_of(archive)[0]] == ["g"]


@pytest.mark.parametrize("form", ["tar", "tar.gz", "zip"])
@pytest.mark.parametrize("name", ["2026-11-30", "backup-2026-11-30", "disk1"])
def test_segments_in_a_directory_named_by_a_day(name: str, form: str, tmp_path: Path) -> None:
    """Other than the partition of another topic."""
    for directory, group in ((name, "g"), ("orders-2026-11-3", "h"), ("orders-30", "i")):
        place = tmp_path / "data" / directory
        place.mkdir(parents=True)
        (place / f"{0:020}.log").write_bytes(batch([commit(group)], Header(0)))
    archive = tmp_path / f"x.{form}"
    archive.write_bytes(ARCHIVES[form](tmp_path / "data"))
    assert [(row["group"], row["log_partition"]) for row in rows_of(archive)[0]] == [("g", None)]


@pytest.mark.parametrize("form", ["tar", "tar.gz", "zip"])
def test_the_note_of_leader_epochs_counts_where_no_directory_tells_a_partition(form: str, tmp_path: Path) -> None:
    shared = in_epoch(batch([commit("g")], Header(0)), 0)
    lost = in_epoch(batch([commit("lost")], Header(1)), 0)
    later = in_epoch(batch([commit("g")], Header(9)), 2)
    for name, batches in (("__consumer_offsets-3", (shared, lost)), ("new", (shared, later))):
        (tmp_path / name).mkdir()
        (tmp_path / name / f"{0:020}.log").write_bytes(b"".join(batches))
    (tmp_path / "new" / "leader-epoch-checkpoint").write_text("0\n2\n0 0\n2 1\n")
    archive = tmp_path / "new.any"
    archive.write_bytes(ARCHIVES[form](tmp_path / "new"))
    for new in (tmp_path / "new", archive):
        problems: list[Problem] = []
        rows = offdecode.decode(
            [tmp_path / "__consumer_offsets-3", new], as_log_partition=3, on_problem=problems.append
        ).rows()
        assert [row["log_offset"] for row in rows if row["lost_branch"]] == [1]
        assert [problem.kind for problem in problems] == ["forked_log", "missing_offsets"]


def container(path: object, data: bytes) -> Row:
    return {"type": "container", "path": str(path), "size": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def archive_of(form: str, files: dict[str, bytes], folder: Path) -> bytes:
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return ARCHIVES[form](folder)


@pytest.mark.parametrize("form", ["zip", "tar", "tar.gz"])
def test_archives_in_an_archive(form: str, tmp_path: Path) -> None:
    """Of two brokers, in a vendor's ticket, with others that hold nothing of a log, and one that is none."""
    for broker, partitions in (("one", (0, 1)), ("two", (2, 3))):
        for number in partitions:
            name = f"__consumer_offsets-{number}"
            shutil.copytree(TRANSACTIONS / "log" / name, tmp_path / broker / name)
    inner = ARCHIVES["tar.gz"](tmp_path / "one"), ARCHIVES["zip"](tmp_path / "two")
    files = {
        "case 7/broker1.tgz": inner[0], "case 7/deep/er/broker2.zip": inner[1],
        "logs.tar.gz": archive_of("tar.gz", {"server.txt": b"INFO"}, tmp_path / "logs"), "broken.zip": b"PK\3\4 no",
        "text.tar": b"text",
    }  # fmt: skip
    archive = tmp_path / "ticket"
    archive.write_bytes(archive_of(form, files, tmp_path / "ticket files"))
    rows, problems = rows_of(archive)
    assert {row["segment"].count("!/") for row in rows} == {2}
    assert nameless(rows) == nameless(rows_of(TRANSACTIONS / "log")[0])
    assert {problem.kind for problem in problems} <= {"damaged_archive"}
    assert all("broken.zip" in problem.source for problem in problems)
    containers = [one.as_dict() for one in check(archive) if isinstance(one, ContainerCheck)]
    assert containers == [
        container(archive, archive.read_bytes()),
        container(f"{archive}!/data/case 7/broker1.tgz", inner[0]),
        container(f"{archive}!/data/case 7/deep/er/broker2.zip", inner[1]),
    ]


def test_what_is_packed_in_a_directory_is_not_passed_over_in_silence(tmp_path: Path) -> None:
    log, given = CLASSIC / "log", tmp_path / "evidence"
    given.mkdir()
    archive = given / "broker1.tgz"
    archive.write_bytes(ARCHIVES["tar.gz"](log))
    done = run("decode", given)
    assert (done.status, done.stdout) == (2, b"")
    assert done.words.endswith("name as a PATH what is packed there: broker1.tgz")
    shutil.copytree(log, given / "broker2")
    done = run("decode", given)
    assert (done.status, done.words) == (0, f"offdecode: {archive}: is not looked into: name it as a PATH")
    assert done.stdout == run("decode", log).stdout
    (given / "OTHER.ZIP").write_bytes(ARCHIVES["zip"](log))
    assert run("decode", given).words.count("is not looked into") == 2
    (given / "OTHER.ZIP").unlink()
    named = run("groups", given / "broker2", given, archive, given, "--copies-apart")
    assert "is not looked into" not in named.words
    checked = run("check", given)
    assert (checked.status, f"not used: {archive}: is not looked into" in checked.stdout.decode()) == (1, True)


@pytest.mark.parametrize("form", ["tar", "tar.gz", "zip"])
@pytest.mark.parametrize("inner", ["tar", "zip"])
def test_an_archive_may_be_named_like_an_image(form: str, inner: str, tmp_path: Path) -> None:
    files = {"backup.raw": ARCHIVES[inner](CLASSIC / "log")}
    path = tmp_path / "ticket"
    path.write_bytes(archive_of(form, files, tmp_path / "files"))
    assert nameless(rows_of(path)[0]) == nameless(rows_of(CLASSIC / "log")[0])


def test_archives_are_looked_into_so_deep(tmp_path: Path) -> None:
    data = ARCHIVES["zip"](TRANSACTIONS / "log")
    for depth in range(1, 6):
        folder = tmp_path / str(depth)
        folder.mkdir()
        data = archive_of("zip", {"a.zip": data}, folder)
        archive = tmp_path / f"{depth}.zip"
        archive.write_bytes(data)
        if depth <= 3:
            rows, problems = rows_of(archive)
            assert (len(rows), problems) == (296, [])
        else:
            with pytest.raises(SourceError, match="in as many others as are looked into"):
                rows_of(archive)


def test_many_archives_in_an_archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("offdecode.sources.segments._MOST_ARCHIVES", 3)
    empty = archive_of("zip", {"x": b""}, tmp_path / "x")
    files = {**{f"{number}.zip": empty for number in range(9)}, f"__consumer_offsets-0/{0:020}.log": b""}
    archive = tmp_path / "a.zip"
    archive.write_bytes(archive_of("zip", files, tmp_path / "files"))
    _, problems = rows_of(archive)
    assert [problem.kind for problem in problems] == ["unused_member"]


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
