"""`-` is a file like any other: a segment, a compressed one, or an archive."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from tests.command import TRANSACTIONS, decode, run, shell
from tests.containers import ARCHIVES, COMPRESS
from tests.truth import FIXTURES, Row

LOG = TRANSACTIONS / "log"


def bare(rows: list[Row]) -> list[Row]:
    return [{name: value for name, value in row.items() if name != "segment"} for row in rows]


@pytest.mark.parametrize("suffix", ["", *COMPRESS])
def test_a_segment(suffix: str, tmp_path: Path) -> None:
    segment = next(iter(sorted(LOG.glob("__consumer_offsets-0/*.log"))))
    file = tmp_path / "file"
    file.write_bytes(COMPRESS[suffix](segment.read_bytes()) if suffix else segment.read_bytes())
    options = ("decode", "-", "--as-log-partition", "0", "--with-batch")
    wanted = decode(segment, "--with-batch").rows
    for line in (f'cat {file} | "$@"', f'"$@" < {file}'):
        done = shell(line, *options)
        assert (done.status, done.stderr) == (0, "")
        assert bare(done.rows) == bare(wanted)
        assert {row["segment"] for row in done.rows} == {"-!/-" if suffix else "-"}


@pytest.mark.parametrize("form", ["tar", "tar.gz", "tar.zst", "zip"])
def test_an_archive(form: str, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(ARCHIVES[form](LOG))
    wanted = decode(LOG, "--with-batch").rows
    for jobs in "1", "2":
        done = shell(f'cat {file} | "$@"', "decode", "-", "--with-batch", "--jobs", jobs)
        assert (done.status, done.stderr) == (0, "")
        assert bare(done.rows) == bare(wanted)
        assert done.rows[0]["segment"].startswith("-!/data/__consumer_offsets-")
    checked = shell(f'cat {file} | "$@"', "check", "-", "--json")
    assert checked.status == 0
    *partitions, container = checked.rows
    assert len(partitions) == len({row["log_partition"] for row in wanted})
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    assert container == {"type": "container", "path": "-", "size": file.stat().st_size, "sha256": digest}


def test_no_standard_input() -> None:
    done = shell('"$@" <&-', "decode", "-")
    assert done.status == 2
    assert done.words == "offdecode: -: there is no such file or directory"


def test_nothing_comes() -> None:
    done = shell('"$@" < /dev/null', "decode", "-")
    assert (done.status, done.stdout) == (0, b"")
    assert done.words == "offdecode: nothing found: no record that was asked for is here"


EXPORTS = FIXTURES.parent / "printed"
PRINTED = ("console-groups-3.8.1.txt", "console-offsets-3.8.1.txt", "consumed/kcat.jsonl", "consumed/rpk.json")


@pytest.mark.parametrize("suffix", ["", *COMPRESS])
@pytest.mark.parametrize("name", PRINTED)
def test_what_tools_print_is_told_by_what_comes(name: str, suffix: str, tmp_path: Path) -> None:
    data = (EXPORTS / name).read_bytes()
    file = tmp_path / "file"
    file.write_bytes(COMPRESS[suffix](data) if suffix else data)
    wanted = run("decode", EXPORTS / name).rows
    assert wanted
    for line in (f'cat {file} | "$@"', f'"$@" < {file}'):
        assert shell(line, "decode", "-").rows == wanted


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-be"])
@pytest.mark.parametrize("name", ["console-groups-3.8.1.txt", "dump-log-2.8.2.txt", "console-consumer-4.3.1.json"])
def test_what_windows_shells_write(name: str, encoding: str, tmp_path: Path) -> None:
    """With the mark of byte order that they begin a file with."""
    text = (EXPORTS / name).read_bytes().decode("utf-8")
    file = tmp_path / "file"
    file.write_bytes((text if encoding != "utf-16-be" else f"\ufeff{text}").encode(encoding))
    wanted = run("decode", EXPORTS / name).rows
    assert wanted
    assert run("decode", file).rows == wanted
    given = shell(f'cat {file} | "$@"', "decode", "-").rows
    assert [row["log_offset"] for row in given] == [row["log_offset"] for row in wanted]
