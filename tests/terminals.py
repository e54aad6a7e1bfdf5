"""A command whose output, or what it says beside it, goes to a terminal."""

from __future__ import annotations

import os
import pty
import subprocess
import termios
from collections.abc import Mapping
from pathlib import Path
from typing import IO, NamedTuple

from tests.command import COMMAND, ENVIRONMENT


class Shown(NamedTuple):
    """What a terminal was sent, and the command's exit status."""

    data: bytes
    status: int


def on_terminal(
    *words: str | Path,
    columns: int = 80,
    environment: Mapping[str, str] = ENVIRONMENT,
    stdout: IO[bytes] | int | None = None,
    stderr: IO[bytes] | int | None = None,
) -> Shown:
    """Run offdecode; of its streams the one that is not given is a terminal of so many columns."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, columns))
    out, err = (theirs if stream is None else stream for stream in (stdout, stderr))
    with subprocess.Popen([*COMMAND, *words], env=environment, stdout=out, stderr=err) as process:
        os.close(theirs)
        data = b""
        while piece := _read(ours):
            data += piece
    os.close(ours)
    return Shown(data, process.returncode)


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 1 << 16)
    except OSError:  # how Linux tells that the other side is closed
        return b""
