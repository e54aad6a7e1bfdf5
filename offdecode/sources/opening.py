"""Evidence, opened without a trace and without waiting: segments, and the small files beside them."""

from __future__ import annotations

import os
import stat
from pathlib import Path

# What was a file when it was found may be a FIFO by now, which must not be waited for.
_FLAGS = os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NONBLOCK", 0)


def open_evidence(path: Path) -> int:
    """A descriptor for reading. The file's access time is left untouched where the system allows that."""
    try:
        return os.open(path, _FLAGS | getattr(os, "O_NOATIME", 0))
    except PermissionError:  # O_NOATIME is the owner's
        return os.open(path, _FLAGS)


def read_side_file(path: Path, most_bytes: int) -> bytes | None:
    """All of a regular file of at most so many bytes; None where it is not there, or anything else."""
    try:
        if not path.is_file():
            return None
        descriptor = open_evidence(path)
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
