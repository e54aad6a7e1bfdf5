"""The small files beside segments: read only where they are what they should be, and never waited for."""

from __future__ import annotations

import os
import stat
from pathlib import Path


def read_side_file(path: Path, most_bytes: int) -> bytes | None:
    """All of a regular file of at most so many bytes; None where it is not there, or anything else."""
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NONBLOCK", 0))
    except OSError:
        return None
    with open(descriptor, "rb") as file:
        try:
            found = os.fstat(descriptor)
            return file.read() if stat.S_ISREG(found.st_mode) and found.st_size <= most_bytes else None
        except OSError:
            return None
