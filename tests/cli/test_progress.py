"""The progress bar: it is there on a terminal, moves while the evidence is read, and ends at all of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner

from offdecode.cli import cli
from offdecode.request import Meter
from tests.command import CLASSIC
from tests.containers import ARCHIVES
from tests.terminals import on_terminal
from tests.truth import FIXTURES

CONSOLE = FIXTURES.parent / "printed" / "console-consumer-4.3.1.json"
DUMP = FIXTURES.parent / "printed" / "dump-log-4.1.1.txt"
READING = (
    "decode --jobs 1",
    "decode --jobs 2",
    "explain",
    "generations",
    "groups",
    "report",
    "state",
    "transactions",
)
OF_SEGMENTS = ("growth", "lag")


@pytest.fixture
def bars(monkeypatch: pytest.MonkeyPatch) -> list[list[int]]:
    """Of each bar its length, then how far it was at each step."""
    found: list[list[int]] = []

    @contextmanager
    def recorded(size: int | None, what: str = "rows") -> Iterator[Meter]:
        bar = [size or 0, 0]
        found.append(bar)
        yield lambda read, rows: bar.append(bar[-1] + read)

    monkeypatch.setattr("offdecode.cli.run.progress", recorded)
    monkeypatch.setattr("offdecode.evidence._CHUNK_BYTES", 20_000)
    return found


def ended(words: str, tmp_path: Path, *paths: Path) -> None:
    output = () if words == "check" else ("-o", str(tmp_path / "out"), "--problems", str(tmp_path / "problems"))
    done = CliRunner().invoke(cli, [*words.split(), *output, *map(str, paths)], standalone_mode=False)
    assert done.exception is None, done.output[-500:]


@pytest.mark.parametrize("words", [*READING, *OF_SEGMENTS, "check", "report --until 2100-01-01"])
def test_a_bar_goes_through_all_segments(words: str, bars: list[list[int]], tmp_path: Path) -> None:
    ended(words, tmp_path, CLASSIC / "log")
    ((length, *steps),) = bars
    size = sum(path.stat().st_size for path in (CLASSIC / "log").rglob("*.log"))
    assert length == size * (1 + ("--until" in words)), "a check is of later records too"
    assert steps == sorted(steps)
    assert steps[-1] == length
    assert len(set(steps)) > 4


@pytest.mark.parametrize("words", READING)
def test_a_bar_goes_through_exported_records(words: str, bars: list[list[int]], tmp_path: Path) -> None:
    ended(words, tmp_path, CONSOLE, DUMP)
    ((length, *steps),) = bars
    assert length == CONSOLE.stat().st_size + DUMP.stat().st_size
    assert abs(steps[-1] - length) <= 2  # a line's end more than there is


@pytest.mark.parametrize("words", ["check", "decode", "groups"])
def test_a_bar_goes_through_copies(words: str, bars: list[list[int]], tmp_path: Path) -> None:
    log = CLASSIC / "log"
    for copy in ("one", "other"):
        (tmp_path / copy).mkdir()
        for directory in log.iterdir():
            (tmp_path / copy / directory.name).symlink_to(directory)
    ended(words, tmp_path, tmp_path / "one", tmp_path / "other")
    ((length, *steps),) = bars
    assert length == 2 * sum(path.stat().st_size for path in log.rglob("*.log"))
    assert abs(steps[-1] - length) <= len(steps)


@pytest.mark.parametrize("words", ["decode", "check", "report"])
def test_what_is_unpacked_is_counted(
    words: str, bars: list[list[int]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    copied: list[int] = []

    @contextmanager
    def recorded() -> Iterator[Meter]:
        yield lambda read, rows: copied.append(read)

    monkeypatch.setattr("offdecode.cli.run.copying", recorded)
    monkeypatch.setattr("offdecode.cli.check.copying", recorded, raising=False)
    archive = tmp_path / "broker.tgz"
    archive.write_bytes(ARCHIVES["tar.gz"](CLASSIC / "log"))
    ended(words, tmp_path, archive)
    assert sum(copied) >= sum(path.stat().st_size for path in (CLASSIC / "log").rglob("*.log"))
    assert len(copied) > 1
    assert len(bars) == 1


@pytest.mark.parametrize("words", ["decode", "check", "report"])
def test_a_terminal_shows_it(words: str, tmp_path: Path) -> None:
    with (tmp_path / "out").open("wb") as out:
        told, status = on_terminal(words, CLASSIC / "log", stdout=out)
    assert status == 0, told
    assert b"0%|" in told
    assert told.rstrip(b" ").endswith(b"\r"), "the bar is gone when the work is done"
