"""Runs of `offdecode tail` and what they have written, for tests against real brokers."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

_SECONDS = 90
_OFFDECODE = (sys.executable, "-m", "offdecode")


def offdecode(*arguments: object, status: int = 0) -> subprocess.CompletedProcess[str]:
    """A run to its end, which must have this exit status."""
    command = [*_OFFDECODE, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", timeout=_SECONDS, check=False)
    assert done.returncode == status, f"{command} ended with {done.returncode}, not {status}:\n{done.stderr[-3000:]}"
    return done


class Follower:
    """A `tail` that goes on until it is told to stop, or killed."""

    def __init__(self, *arguments: object) -> None:
        self.process = subprocess.Popen(
            [*_OFFDECODE, "tail", *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            encoding="utf-8",
        )  # fmt: skip

    def __enter__(self) -> Follower:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()

    def stop(self, status: int = 0) -> tuple[str, str]:
        """SIGTERM; what it has written to stdout and stderr."""
        self.process.send_signal(signal.SIGTERM)
        out, err = self.process.communicate(timeout=_SECONDS)
        assert self.process.returncode == status, f"ended with {self.process.returncode}, not {status}:\n{err[-3000:]}"
        return out, err


def rows_of(text: str) -> list[dict[str, Any]]:
    """Rows of JSON lines, by log partition and offset."""
    rows = [json.loads(line) for line in text.split("\n")[:-1]]
    return sorted(rows, key=lambda row: (row["log_partition"], row["log_offset"]))


def properties(path: Path, lines: Iterable[str]) -> Path:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path
