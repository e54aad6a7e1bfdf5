"""The command line as a process: what it prints, its exit status, and that it never prints a traceback."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.truth import FIXTURES, Row

ROOT = Path(__file__).parent.parent
TRANSACTIONS = FIXTURES / "kafka-4.4.0-transactions-tv1"
CLASSIC = FIXTURES / "kafka-3.9.1-classic"

COMMAND = (sys.executable, "-m", "offdecode")
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error"}
SECONDS = 120


@dataclass(frozen=True)
class Done:
    """A run of the command that has ended."""

    status: int
    stdout: bytes
    stderr: str

    @property
    def rows(self) -> list[Row]:
        return rows_of(self.stdout)

    @property
    def problems(self) -> list[Row]:
        return [json.loads(line) for line in self.stderr.split("\n") if line.startswith("{")]

    @property
    def words(self) -> str:
        """What stderr says beside problems."""
        return "\n".join(line for line in self.stderr.split("\n") if line and not line.startswith("{"))


def rows_of(lines: bytes) -> list[Row]:
    """The rows of JSON lines, each of which must have its end."""
    *found, rest = lines.split(b"\n")
    assert rest == b"", f"the last line has no end: {rest[-200:]!r}"
    return [json.loads(line) for line in found]


def run(*arguments: str | bytes | Path, cwd: Path = ROOT) -> Done:
    """Run offdecode with these arguments."""
    return finished(subprocess.run([*COMMAND, *arguments], capture_output=True, cwd=cwd, env=ENVIRONMENT,
                                   timeout=SECONDS, check=False))  # fmt: skip


def on_path(folder: Path) -> dict[str, str]:
    """An environment in which `offdecode` is a command, by a script in a folder of this one."""
    script = folder / "bin" / "offdecode"
    script.parent.mkdir()
    script.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m offdecode "$@"\n')
    script.chmod(0o755)
    return {**ENVIRONMENT, "PATH": f"{script.parent}{os.pathsep}{os.environ['PATH']}"}


def shell(line: str, *arguments: str | Path, cwd: Path = ROOT) -> Done:
    """Run a line of bash, in which "$@" is offdecode's command with these arguments."""
    return finished(subprocess.run(["bash", "-c", line, "bash", *COMMAND, *arguments], capture_output=True, cwd=cwd,
                                   env=ENVIRONMENT, timeout=SECONDS, check=False))  # fmt: skip


def finished(done: subprocess.CompletedProcess[bytes]) -> Done:
    stderr = done.stderr.decode("utf-8", "backslashreplace")
    assert "Traceback" not in stderr, stderr
    return Done(done.returncode, done.stdout, stderr)


def decode(*arguments: str | bytes | Path, status: int = 0, problems: int = 0, cwd: Path = ROOT) -> Done:
    """Run `offdecode decode`, which must end with this status after this many problems."""
    done = run("decode", *arguments, cwd=cwd)
    assert (done.status, len(done.problems)) == (status, problems), done.stderr
    return done


Place = tuple[int, int]


def places(rows: list[Row]) -> list[Place]:
    """Where each row, or record of the truth, stands: partition of the offsets topic, and log offset."""
    return [(row["log_partition"], row["log_offset"]) for row in rows]
