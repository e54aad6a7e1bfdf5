"""Measures what each question costs as a multiple of decoding the same log to JSON lines.

    python -m tests.bench.questions [--shapes many-groups,big-group] [--records 1000000] [--runs 3] [--folder DIR]

All run in turn, as whole processes, in one job, to /dev/null. Ratios are of computing time (user + system).
First it is asserted that each answer has the rows that the shape must give.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.bench.__main__ import Target
from tests.bench.generate import SHAPES
from tests.bench.measure import FOLDER, alternating, peak_memory, printed, timed
from tests.bench.shapes_groups import GROUP_SHAPES

_MIB = 1 << 20
QUESTIONS = {
    "decode": ("decode",),
    "state": ("state",),
    "generations": ("generations",),
    "with-generation": ("decode", "--with-generation"),
    "transactions": ("transactions",),
    "explain": ("explain",),
    "check": ("check", "--json"),
    "groups": ("groups",),
    "growth": ("growth",),
    "report": ("report",),
}
_FLOORS = {
    "state": 2,
    "generations": 2,
    "with-generation": 2,
    "transactions": 2,
    "explain": 3,
    "check": 1.5,
    "groups": 2,
    "growth": 2,
    "report": 3,
}
_PARTITIONS = 8
_ENTRY_BYTES = 200  # of a key, group or open transaction


def command(question: str, segment: Path) -> list[str]:
    """A question in one process."""
    jobs = ("--jobs", "1") if question == "decode" else ()
    return [sys.executable, "-m", "offdecode", *QUESTIONS[question], *jobs, str(segment)]


def rows_of(shape: str, records: int) -> dict[str, int]:
    """How many rows the answers have that can be told from the shape alone. records: of the segment."""
    match shape:
        case "many-groups":
            same = dict.fromkeys(("with-generation", "groups"), records)
            return {"state": 2 * records, "generations": 0, "transactions": 0, **same}
        case "many-keys":
            return {"state": records + min(records, 1000), "generations": 0, "with-generation": records}
        case "big-group":
            return {"state": 1, "generations": records, "with-generation": records, "groups": 1}
        case "open-transactions":
            # A thousand groups; and a transaction's offsets all wait.
            return {"state": records + min(records // 5, 1000), "transactions": records // 5}
        case "transactions":
            return {"transactions": records // 4, "with-generation": records}
    return {"with-generation": records}


def entries(shape: str, records: int) -> int:
    """How many distinct keys, groups and open transactions a shape has."""
    return {
        "many-groups": 2 * records, "many-keys": records + 1000, "open-transactions": records // 5 * 6 + 1000,
    }.get(shape, 0)  # fmt: skip


def growth(folder: Path, records: int) -> Iterator[Target]:
    """Twice the log: up to a million groups and two million keys."""
    for name, question in (("many-groups", "state"), ("many-keys", "state"), ("many-groups", "explain")):
        seconds = [timed(command(question, GROUP_SHAPES[name].write(folder, records * times))).cpu for times in (1, 2)]
        print(f"{name}: {question} {seconds[0]:.1f} s, of twice the log {seconds[1]:.1f} s", flush=True)
        yield Target(f"{name}: {question} of twice the log", seconds[1] / seconds[0], 2.2, at_most=True)


def shared(folder: Path, records: int, runs: int) -> Iterator[Target]:
    """Two processes against one, on partitions that each hold a log of this many records."""
    segment = GROUP_SHAPES["fleet"].write(folder, records)
    place = folder / f"partitions-{records}"
    for number in range(_PARTITIONS):
        partition = place / f"__consumer_offsets-{number}"
        partition.mkdir(parents=True, exist_ok=True)
        if not (partition / segment.name).exists():
            os.link(segment, partition / segment.name)
    for question in ("state", "generations", "with-generation", "transactions", "explain", "groups", "growth", "check"):
        commands = {jobs: [*command(question, place), "--jobs", jobs] for jobs in ("1", "2")}
        assert printed(commands["1"]).digest == printed(commands["2"]).digest, (
            f"{question}: two processes print something else"
        )
        times = alternating(commands, runs)
        walls = {jobs: one.wall for jobs, one in times.items()}
        print(f"{_PARTITIONS} partitions: {question} {walls['1']:.1f} s, two processes {walls['2']:.1f} s", flush=True)
        yield Target(f"{_PARTITIONS} partitions: {question}, two against one", walls["1"] / walls["2"], 1.6, 1.8)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.questions")
    parser.add_argument("--shapes", default=",".join((*GROUP_SHAPES, "mixed")), help="names, separated by commas")
    parser.add_argument("--questions", default=",".join(QUESTIONS))
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--shared", action="store_true", help="measure two processes against one too")
    parser.add_argument("--growth", action="store_true", help="measure logs of twice the size too")
    parser.add_argument("--memory", action="store_true", help="measure peak memory too, in runs of their own")
    parser.add_argument("--folder", type=Path, default=FOLDER)
    chosen = parser.parse_args()
    asked = dict.fromkeys(("decode", *chosen.questions.split(",")))
    targets: list[Target] = []
    if chosen.growth:
        targets += growth(chosen.folder, chosen.records)
    if chosen.shared:
        targets += shared(chosen.folder, chosen.records, chosen.runs)
    for name in chosen.shapes.split(","):
        shape = (GROUP_SHAPES | SHAPES)[name]
        records = max(int(chosen.records * shape.share), 1)
        segment = shape.write(chosen.folder, chosen.records)
        commands = {question: command(question, segment) for question in asked}
        for question, expected in rows_of(name, records).items():
            if question in asked:
                found = printed(commands[question]).lines
                assert found == expected, f"{name}: {question} gives {found} rows, not {expected}"
        times = alternating(commands, chosen.runs)
        decode = times["decode"].cpu
        print(f"{name}: decode {decode:.2f} s", flush=True)
        for question in asked:
            if question == "decode":
                continue
            ratio = times[question].cpu / decode
            print(f"  {question}: {times[question].cpu:.2f} s, {ratio:.2f}x", flush=True)
            targets.append(Target(f"{name}: {question}", ratio, _FLOORS[question], 1.5, at_most=True))
            if chosen.memory:
                limit = 300 + entries(name, records) * _ENTRY_BYTES / _MIB
                measured = peak_memory(commands[question]) / _MIB
                print(f"    {measured:.0f} MB (floor {limit:.0f})", flush=True)
                targets.append(Target(f"{name}: {question}, memory", measured, limit, at_most=True, unit=" MB"))
    print("\n| target | floor | aim | measured | |\n|---|---|---|---|---|")
    print("\n".join(target.line() for target in targets))


if __name__ == "__main__":
    main()
