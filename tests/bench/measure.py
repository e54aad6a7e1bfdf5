"""Commands to figures: seconds of the whole process, memory of all its processes, and what it prints."""

from __future__ import annotations

import hashlib
import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(tempfile.gettempdir()) / "offdecode-bench"  # where logs are kept that take long to make
_SAMPLE_SECONDS = 0.02
_READ_BYTES = 1 << 20

Command = Sequence[str]

# As an installed package runs: with its modules compiled. The runs before the timed ones leave them so.
_ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


@dataclass(frozen=True, slots=True)
class Times:
    """Seconds of one run, its processes' computing time included; or medians of several runs."""

    wall: float
    cpu: float


def timed(command: Command) -> Times:
    """One run, its output thrown away."""
    start = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=_ENVIRONMENT) as process:
        assert process.stderr is not None
        words = process.stderr.read()
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, f"{' '.join(command)} ended with {process.returncode}:\n{words.decode()[-4000:]}"
    return Times(wall, usage.ru_utime + usage.ru_stime)


def alternating(commands: Mapping[str, Command], runs: int) -> dict[str, Times]:
    """Medians of all commands, run in turn, so that what else the machine does meets all of them."""
    found: dict[str, list[Times]] = {name: [] for name in commands}
    for _ in range(runs):
        for name, command in commands.items():
            found[name].append(timed(command))
    return {
        name: Times(statistics.median(one.wall for one in all_), statistics.median(one.cpu for one in all_))
        for name, all_ in found.items()
    }


def peak_memory(command: Command, status: int = 0) -> int:
    """Most bytes that the command's processes held at once, pages that they share counted once (PSS).

    Sampling costs time, so this is never the run that is timed.
    """
    peak = 0
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=_ENVIRONMENT) as process:
        while process.poll() is None:
            peak = max(peak, sum(map(_proportional_bytes, _family(process.pid))))
            time.sleep(_SAMPLE_SECONDS)
    assert process.returncode == status, f"{' '.join(command)} ended with {process.returncode}"
    return peak


def _family(pid: int) -> list[int]:
    """A process and all that descend from it."""
    found = [pid]
    for parent in found:
        for task in Path(f"/proc/{parent}/task").glob("*/children"):
            try:
                found += map(int, task.read_text().split())
            except OSError:
                continue  # it has ended
    return found


def _proportional_bytes(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0  # it has ended
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))


@dataclass(frozen=True, slots=True)
class Printed:
    """What a command prints: SHA-256, number of lines, of those that begin with "| "; and how long it takes."""

    digest: str
    lines: int
    records: int
    seconds: float


def printed(command: Command) -> Printed:
    start = time.perf_counter()
    digest = hashlib.sha256()
    lines = records = 0
    last = b"\n"
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=_ENVIRONMENT) as process:
        assert process.stdout is not None
        while data := process.stdout.read(_READ_BYTES):
            digest.update(data)
            lines += data.count(b"\n")
            window = last + data
            records += window.count(b"\n| ")
            last = window[-2:]
    assert process.returncode == 0, f"{' '.join(command)} ended with {process.returncode}"
    return Printed(digest.hexdigest(), lines, records, time.perf_counter() - start)


def seconds_to_first_row(command: Command) -> float:
    """Until a line is there to be read; then the pipe is closed, which ends the command."""
    start = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=_ENVIRONMENT) as process:
        assert process.stdout is not None
        assert process.stdout.readline()
        found = time.perf_counter() - start
        process.stdout.close()
        process.wait()
    return found
