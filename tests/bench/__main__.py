"""Measures offdecode against Kafka's dump tool and a Go decoder, and says which targets are reached.

    python -m tests.bench [--shapes v3-500,mixed] [--records 1000000] [--runs 5] [--folder DIR]

All run in turn, as whole processes, to /dev/null (Parquet to a file). First it is asserted that results agree.
Computing time (user + system) stands beside wall time because other work on the machine disturbs it less.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.bench.generate import GROUPS, MEMBERS, SHAPES
from tests.bench.measure import FOLDER, Times, alternating, peak_memory, printed, seconds_to_first_row, timed
from tests.bench.peers import dump_command, go_command, has_go

_COMMITS = ("v3-500", "v3-10", "v3-1", "v4-500", "v4-10", "v4-1")
_ONE_GROUP = GROUPS[143]
_MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Target:
    """A figure with its floor and its aim. at_most: smaller is better."""

    name: str
    measured: float
    floor: float
    aim: float | None = None
    at_most: bool = False
    unit: str = "x"

    def line(self) -> str:
        sign = "<=" if self.at_most else ">="
        aim = "" if self.aim is None else f"{self.aim:g}{self.unit}"
        verdict = "ok" if self._reaches(self.floor) else "**no**"
        if self.aim is not None and self._reaches(self.aim):
            verdict = "ok, aim"
        floor, measured = f"{sign} {self.floor:g}{self.unit}", f"{self.measured:.3g}{self.unit}"
        return f"| {self.name} | {floor} | {aim} | {measured} | {verdict} |"

    def _reaches(self, limit: float) -> bool:
        return self.measured <= limit if self.at_most else self.measured >= limit


def offdecode(segment: Path, *options: str) -> list[str]:
    return [sys.executable, "-m", "offdecode", "decode", str(segment), *options]


def assert_agreement(name: str, segment: Path) -> int:
    """All programs read the same; the number of rows."""
    ours = printed(offdecode(segment))
    if has_go():
        for encoder in ("json", "append"):
            assert printed(go_command(segment, encoder)).digest == ours.digest, f"{name}: Go's lines ({encoder}) differ"
    dumped = printed(dump_command(segment)).records
    assert dumped == ours.lines, f"{name}: the dump tool shows {dumped} records, offdecode {ours.lines}"
    return ours.lines


def assert_one_group(segment: Path) -> None:
    """The rows of one group are those among all that name it."""
    mark = f'"group":"{_ONE_GROUP}"'.encode()
    with subprocess.Popen(offdecode(segment), stdout=subprocess.PIPE) as every:
        assert every.stdout is not None
        expected = hashlib.sha256()
        for line in every.stdout:
            if mark in line:
                expected.update(line)
    found = subprocess.run(offdecode(segment, "--group", _ONE_GROUP), stdout=subprocess.PIPE, check=True).stdout
    assert found
    assert hashlib.sha256(found).digest() == expected.digest(), "--group gives other rows than all have of the group"


def compare(name: str, segment: Path, runs: int, scratch: Path) -> Iterator[Target]:
    """Prints the shape's line of the table; gives its targets."""
    rows = assert_agreement(name, segment)
    commands = {
        "jsonl": offdecode(segment),
        "dump": dump_command(segment),
        "parquet": offdecode(segment, "-o", str(scratch / "rows"), "--format", "parquet"),
    }
    if has_go():
        commands |= {f"go {encoder}": go_command(segment, encoder) for encoder in ("json", "append")}
    if name == "1gb":
        commands["one job"] = offdecode(segment, "--jobs", "1")
        commands["one group"] = offdecode(segment, "--jobs", "1", "--group", _ONE_GROUP)
        assert_one_group(segment)
    found = alternating(commands, runs)
    ours, parquet, dump = found["jsonl"], found["parquet"], found["dump"]
    peers = [dump, *(found[peer] for peer in ("go json", "go append") if peer in found)]
    cells = [name, f"{rows:,}", f"{ours.wall:.2f} ({ours.cpu:.2f})", f"{rows / ours.wall / 1e6:.2f}"]
    cells += [_ratio(ours, peer) for peer in peers] + ["-"] * (3 - len(peers))
    cells += [f"{parquet.wall:.2f} ({parquet.cpu:.2f})", _ratio(parquet, dump)]
    cells += [f"{peak_memory(commands['jsonl']) / _MIB:.0f}", f"{os.getloadavg()[0]:.1f}"]
    print("| " + " | ".join(cells) + " |", flush=True)

    against_dump = {"1gb": (8, 12), "mixed": (3, 6)} | dict.fromkeys(_COMMITS, (6, 10))
    if name in against_dump:
        floor, aim = against_dump[name]
        yield Target(f"{name}: JSON lines against the dump tool", dump.wall / ours.wall, floor, aim)
    if "go json" in found and (name in against_dump):
        ratio = ours.wall / found["go json"].wall
        yield Target(f"{name}: JSON lines, time against Go's", ratio, 1.5, 1, at_most=True)
    if name in _COMMITS:
        yield Target(f"{name}: Parquet against the dump tool", dump.wall / parquet.wall, 6, 9)
    if "one job" in found:
        yield Target("1gb: two jobs against one", found["one job"].wall / ours.wall, 1.5, 1.8)
        ratio = found["one group"].cpu / found["one job"].cpu
        yield Target("1gb: one group's rows against all", ratio, 0.3, at_most=True)
    if name == "members-50":
        microseconds = ours.wall / rows / MEMBERS * 1e6
        yield Target("members-50: microseconds a member", microseconds, 2, at_most=True, unit=" us")


def against_reference(folder: Path, records: int, runs: int) -> Target:
    """Group metadata by both engines, one process each, without what it costs to start."""
    least = max(records // 100, 1000)
    few, many = (SHAPES["members-50"].write(folder, least * times) for times in (1, 5))
    per_record = {}
    for engine in ("auto", "reference"):
        commands = {str(path): offdecode(path, "--engine", engine, "--jobs", "1") for path in (few, many)}
        found = alternating(commands, runs)
        per_record[engine] = found[str(many)].cpu - found[str(few)].cpu
    return Target("members-50: against the reference engine", per_record["reference"] / per_record["auto"], 10)


def big_segment(segment: Path) -> Iterator[Target]:
    first = statistics.median(seconds_to_first_row(offdecode(segment)) for _ in range(5))
    yield Target("1gb: first row", first, 1, at_most=True, unit=" s")
    two, three = (peak_memory(offdecode(segment, "--jobs", jobs)) / _MIB for jobs in ("2", "3"))
    yield Target("1gb: memory of two jobs", two, 300, at_most=True, unit=" MB")
    yield Target("1gb: memory of a third job", three - two, 150, at_most=True, unit=" MB")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench")
    parser.add_argument("--shapes", default=",".join(SHAPES), help="names, separated by commas")
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--folder", type=Path, default=FOLDER)
    chosen = parser.parse_args()
    names = chosen.shapes.split(",")
    targets: list[Target] = []
    print(_HEAD, flush=True)
    with tempfile.TemporaryDirectory(dir=_made(chosen.folder)) as scratch:
        for name in names:
            segment = SHAPES[name].write(chosen.folder, chosen.records)
            if name != "4gb":
                targets += compare(name, segment, chosen.runs, Path(scratch))
            if name == "members-50":
                targets.append(against_reference(chosen.folder, chosen.records, min(chosen.runs, 3)))
            if name == "1gb":
                targets += big_segment(segment)
            if name == "4gb":
                memory = peak_memory(offdecode(segment, "--jobs", "2")) / _MIB
                targets.append(Target("4gb: memory of two jobs", memory, 400, at_most=True, unit=" MB"))
    start = statistics.median(timed([sys.executable, "-m", "offdecode", "--help"]).wall for _ in range(chosen.runs))
    targets.append(Target("--help", start, 0.25, at_most=True, unit=" s"))
    print("\n| target | floor | aim | measured | |\n|---|---|---|---|---|")
    print("\n".join(target.line() for target in targets))


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _ratio(ours: Times, other: Times) -> str:
    """How many times as long the other takes: wall, and computing time."""
    return f"{other.wall / ours.wall:.1f} ({other.cpu / ours.cpu:.1f})"


_HEAD = """\
Wall seconds, in brackets computing seconds; ratios of both: above 1, offdecode is faster.

| shape | rows | JSON lines, s | M rows/s | dump tool | Go | Go, by hand | Parquet, s | dump tool | peak MB | load |
|---|---|---|---|---|---|---|---|---|---|---|"""

if __name__ == "__main__":
    main()
