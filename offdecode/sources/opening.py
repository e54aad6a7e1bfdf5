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
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or found.st_size > most_bytes:
            return None
        with open(descriptor, "rb", closefd=False) as file:
            return file.read()
    except OSError:
        return None
    finally:
        os.close(descriptor)
