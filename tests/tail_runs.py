"""Runs of `offdecode tail` and what they have written, for tests against real brokers."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
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
    """A `tail` that goes on until it is told to stop, or killed; it writes JSON lines in `folder` as they come."""

    def __init__(self, folder: Path, *arguments: object) -> None:
        self.rows = folder / "rows.jsonl"
        command = ["tail", "-o", self.rows, "--checkpoint", folder / "checkpoint", *arguments]
        self.process = subprocess.Popen(
            [*_OFFDECODE, *map(str, command)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8"
        )

    def __enter__(self) -> Follower:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()

    @property
    def text(self) -> str:
        return self.rows.read_text("utf-8") if self.rows.exists() else ""

    def wait_for(self, rows: int) -> None:
        """Wait until it has written so many rows."""
        deadline = time.monotonic() + _SECONDS
        while self.text.count("\n") < rows:
            assert self.process.poll() is None, self.process.communicate()[1][-3000:]
            assert time.monotonic() < deadline, f"{self.text.count(chr(10))} rows have come, not {rows}"
            time.sleep(0.1)

    def stop(self, status: int = 0) -> tuple[str, str]:
        """SIGTERM; its rows, and what it has written to stderr."""
        self.process.send_signal(signal.SIGTERM)
        _, err = self.process.communicate(timeout=_SECONDS)
        assert self.process.returncode == status, f"ended with {self.process.returncode}, not {status}:\n{err[-3000:]}"
        return self.text, err


def rows_of(text: str) -> list[dict[str, Any]]:
    """Rows of JSON lines, by log partition and offset."""
    rows = [json.loads(line) for line in text.split("\n")[:-1]]
    return sorted(rows, key=lambda row: (row["log_partition"], row["log_offset"]))


def properties(path: Path, lines: Iterable[str]) -> Path:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path
