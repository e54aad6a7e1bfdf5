"""Hostile segments end in problems, in bounded time and memory, and what lies around them is read."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.command import ENVIRONMENT, run
from tests.hostile import CASES, FIRST, LAST, batches_behind_claims, segment
from tests.segment_builder import BASE_TIME_MS, TRANSACTIONAL, Header, batch, commit, text

LEAST_SECONDS, SECONDS_PER_MIB = 10, 15  # on a machine that does other work too
MOST_KIB = 300 << 10

# The most memory that the process ever had, by its own account: what the system tells a parent may be the parent's.
_RUN = """
import atexit, pathlib, sys
from offdecode.cli import main
def note(place=pathlib.Path(sys.argv.pop(1))):
    status = pathlib.Path("/proc/self/status").read_text()
    place.write_text(status.split("VmHWM:")[1].split()[0])
atexit.register(note)
sys.exit(main())
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="memory is measured by /proc")
@pytest.mark.parametrize("name", CASES)
def test_time_and_memory_are_bounded(name: str, tmp_path: Path) -> None:
    data = segment(name)
    path, rows, problems = tmp_path / "hostile.log", tmp_path / "rows", tmp_path / "problems"
    path.write_bytes(data)
    watched = [sys.executable, "-c", _RUN, str(tmp_path / "peak")]
    arguments = ["decode", "-j1", "--as-log-partition", "0", "--problems", str(problems), str(path)]
    start = time.monotonic()
    with rows.open("wb") as stdout:
        done = subprocess.run(
            [*watched, *arguments], stdout=stdout, stderr=subprocess.PIPE, env=ENVIRONMENT, check=False
        )
    seconds = time.monotonic() - start
    assert (done.returncode in (0, 1), done.stderr) == (True, b"")
    groups = [json.loads(line).get("group") for line in rows.read_bytes().split(b"\n")[:-1]]
    assert (groups[0], groups[-1]) == ("first", "last")
    assert seconds < LEAST_SECONDS + SECONDS_PER_MIB * len(data) / (1 << 20)
    assert int((tmp_path / "peak").read_text()) < MOST_KIB
    told = [json.loads(line) for line in problems.read_bytes().split(b"\n")[:-1]]
    assert (done.returncode == 1) == bool(told)
    if "empty batches" not in name:
        assert told
    for problem in told:
        assert problem["position"] is not None
        assert 0 <= problem["position"] < len(data)


def test_no_claims_hide_small_batches(tmp_path: Path) -> None:
    """What a search may spend on checksums must not run out on hostile headers before a good batch."""
    count = 2000
    path = tmp_path / "hostile.log"
    path.write_bytes(FIRST + batches_behind_claims(count) + LAST)
    done = run("decode", "--as-log-partition", "0", path)
    found = [json.loads(line)["group"] for line in done.stdout.split(b"\n")[:-1]]
    assert found == ["first", *(f"between-{number}" for number in range(count)), "last"]


def hostile_names() -> bytes:
    """A generation with a member, commits and an open transaction, all of whose names would take over a terminal."""
    name = "\x1b[31m\x07\u202e\r\n\x9b2J"
    member = text(name) + struct.pack(">h", -1) + text(name) + text(name) + struct.pack(">iiii", 1, 1, 0, 0)
    value = struct.pack(">h", 3) + text("consumer") + struct.pack(">i", 1) + text(name) + text(name)
    value += struct.pack(">qi", BASE_TIME_MS, 1) + member
    group = (struct.pack(">h", 2) + text(name), value)
    back = [batch([commit(name, name, offset=10 - step)], Header(step + 1)) for step in range(3)]
    waits = batch([commit(name, name)], Header(4, TRANSACTIONAL, 7, 0))
    return batch([group], Header(0)) + b"".join(back) + waits + b"\xff" * 80


@pytest.mark.parametrize("arguments", [
    ["check"],
    ["state", "--format", "table"],
    ["generations", "--format", "text"],
    ["generations", "--summary", "--format", "text"],
    ["explain", "--format", "text"],
    ["transactions", "--format", "text"],
    ["groups", "--format", "table"],
    *(
        [*words, "--format", "table"]
        for words in (["decode"], ["generations"], ["generations", "--summary"], ["explain"], ["transactions"])
    ),
    *(
        [*words, "--format", "csv"]
        for words in (
            ["decode", "--type", "group_metadata"], ["generations"], ["explain"], ["state", "--type", "group"],
        )
    ),
    ["growth", "--by", "group", "--by", "topic", "--format", "table"],
], ids=" ".join)  # fmt: skip
def test_names_never_reach_a_terminal_raw(arguments: list[str], tmp_path: Path) -> None:
    folder = tmp_path / "__consumer_offsets-0"
    folder.mkdir()
    (folder / f"{0:020}.log").write_bytes(hostile_names())
    done = run(*arguments, folder)
    assert done.status == 1, done.stderr
    shown = done.stdout.decode()
    assert arguments == ["check"] or "x1b[31m" in shown or "u001b[31m" in shown
    assert all(one.isprintable() or one == "\n" for one in shown)
    assert all(one.isprintable() or one == "\n" for one in done.stderr)
