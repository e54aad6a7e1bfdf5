"""Commands where the system has little: what Linux has of its own is taken away, and the output stays the same."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tarfile
from pathlib import Path, PureWindowsPath
from typing import cast

import pytest

from offdecode import system
from offdecode.sources.locations import is_url
from offdecode.sources.remote import remote_location
from tests.command import Done, finished, run
from tests.truth import FIXTURES

CLASSIC = FIXTURES / "kafka-3.9.1-classic" / "log"
UNIX = ("fcntl", "termios", "pwd", "grp", "resource", "tty", "pty")
LINUX = (
    "pread", "preadv", "pwrite", "readv", "fork", "sched_getaffinity", "fstatvfs", "SEEK_DATA", "O_NOATIME",
    "O_CLOEXEC", "O_NONBLOCK", "getuid", "geteuid",
)  # fmt: skip
# What others import is imported first; then these are gone for whatever of the package is imported.
WITHOUT = f"""
import ctypes, os, subprocess, sys, tempfile
import click, numpy, pyarrow, pyarrow.compute, pyarrow.parquet, cramjam, crc32c, jinja2, orjson, tqdm, tqdm.std
for name in {LINUX!r}:
    if hasattr(os, name): delattr(os, name)
for name in {UNIX!r}:
    sys.modules[name] = None
really = os.open
def open_no_directory(path, flags, *more, **named):
    if os.path.isdir(path): raise PermissionError(13, "Permission denied", path)
    return really(path, flags, *more, **named)
os.open = open_no_directory
class NoLibrary:
    def __init__(self, name):
        if name is None: raise TypeError("LoadLibrary() argument 1 must be str, not None")
ctypes.CDLL = NoLibrary
sys.argv[0] = "offdecode"
from offdecode.__main__ import main
main()
"""
COMMANDS = (
    "decode", "decode --jobs 2 --with-generation", "state", "generations", "explain", "transactions", "groups",
    "growth", "check", "lag",
)  # fmt: skip


def without(*words: str | Path, given: bytes | None = None) -> Done:
    """A command where only what every system has is there."""
    command = [sys.executable, "-c", WITHOUT, *map(str, words)]
    return finished(subprocess.run(command, input=given, capture_output=True))


@pytest.mark.parametrize("words", COMMANDS)
def test_commands_give_the_same(words: str) -> None:
    theirs, ours = run(*words.split(), CLASSIC), without(*words.split(), CLASSIC)
    assert theirs.stdout
    assert (ours.status, ours.stderr, ours.stdout) == (theirs.status, theirs.stderr, theirs.stdout)


def test_what_is_taken_away_was_used(tmp_path: Path) -> None:
    """The test above could else not fail: each of these is named by the package, in one module."""
    code = Path(system.__file__).read_text("utf-8")
    for name in ("pread", "preadv", "pwrite", "sched_getaffinity", "SEEK_DATA", "O_NOATIME", "fork", "fcntl"):
        assert name in code
    others = [path for path in Path(system.__file__).parent.rglob("*.py") if path.name != "system.py"]
    for path in others:
        text = path.read_text("utf-8")
        for word in ("os.pread", "os.pwrite", "fcntl", "sys.platform", "os.name", "O_NOATIME", "sched_getaffinity"):
            assert word not in text, f"{path} asks the system itself: {word}"


def test_archives_and_standard_input(tmp_path: Path) -> None:
    archive = tmp_path / "log.tgz"
    with tarfile.open(archive, "w:gz") as made:
        made.add(CLASSIC, "log")
    theirs, ours = run("decode", archive), without("decode", archive)
    assert theirs.stdout
    assert (ours.stdout, ours.stderr) == (theirs.stdout, theirs.stderr)
    assert without("decode", "-", given=archive.read_bytes()).stdout == theirs.stdout


def test_outputs_are_put_in_place(tmp_path: Path) -> None:
    for name in ("rows.jsonl", "page.html"):
        words = ("decode", CLASSIC, "-o") if name == "rows.jsonl" else ("report", CLASSIC, "-o")
        done = without(*words, tmp_path / name)
        assert done.status == 0, done.stderr
        assert (tmp_path / name).stat().st_size > 10_000
    done = without("decode", CLASSIC, "-o", tmp_path / "rows", "--format", "parquet")
    assert done.status == 0, done.stderr
    assert {path.name for path in (tmp_path / "rows").iterdir()} >= {"offset_commit.parquet", "group_metadata.parquet"}


def test_carving_writes_the_same(tmp_path: Path) -> None:
    image = tmp_path / "image"
    image.write_bytes(bytes(4096) + max(CLASSIC.glob("*/*.log"), key=lambda path: path.stat().st_size).read_bytes())
    written = []
    for name, command in (("theirs", run), ("ours", without)):
        done = command("carve", image, "-o", tmp_path / name)
        assert done.status == 0, done.stderr
        found = sorted(path for path in (tmp_path / name).rglob("*.log"))
        written.append([(path.name, hashlib.sha256(path.read_bytes()).hexdigest()) for path in found])
    assert written[0]
    assert written[0] == written[1]


def test_a_directory_that_cannot_be_opened_is_locked_by_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    really = os.open

    def no_directory(path: Path, flags: int, mode: int = 0o777) -> int:
        if Path(path).is_dir():
            raise PermissionError(13, "Permission denied", str(path))
        return really(path, flags, mode)

    monkeypatch.setattr(os, "open", no_directory)
    first, second = system.open_directory_to_lock(tmp_path), system.open_directory_to_lock(tmp_path)
    assert system.lock_file(first)
    assert not system.lock_file(second)
    os.close(first)
    assert system.lock_file(second)
    os.close(second)
    system.sync_directory(tmp_path)


def test_windows_paths_are_no_urls_and_urls_are() -> None:
    drive = cast(Path, PureWindowsPath(r"c:\evidence\__consumer_offsets-3"))
    assert not is_url(drive)
    url = PureWindowsPath("s3://bucket/kafka/__consumer_offsets-3")
    assert "\\" in str(url)
    location = remote_location(url.as_posix())
    assert location is not None
    assert location.text == "s3://bucket/kafka/__consumer_offsets-3"
