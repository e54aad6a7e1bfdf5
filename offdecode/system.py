"""What is the operating system's own, each with a plain way where it is missing: Linux has all, Windows little of it.

Nothing else in the package asks which system this is.
"""

from __future__ import annotations

import mmap
import os
import sys
import threading
from contextlib import suppress
from pathlib import Path
from types import ModuleType

# Linux only: macOS has fork, but its own libraries do not survive it.
CAN_FORK = hasattr(os, "fork") and sys.platform == "linux"

# What was a file when it was found may be a FIFO by now, which must not be waited for. Windows would turn line ends.
_READING = (
    os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
)  # fmt: skip
_WITHOUT_TRACE = getattr(os, "O_NOATIME", 0)
_SEEK_DATA: int | None = getattr(os, "SEEK_DATA", None)
_PIPE_BYTES = 1 << 20
_PAGED_BYTES = 1 << 18  # fewer are quicker had of what the process has
_LOCK_FILE = ".offdecode.lock"
_LOCKED_BYTE = 0x7FFF_FFFF  # Windows lets nobody read or write what is locked: one far behind the end

_moving = threading.Lock()  # held while a file's place is moved, where bytes cannot be read by position


def _module(name: str) -> ModuleType | None:
    try:
        return __import__(name)
    except ImportError:
        return None


_fcntl = _module("fcntl")
_msvcrt = None if _fcntl is not None else _module("msvcrt")


def untouched(size: int) -> mmap.mmap | bytearray:
    """So many zeros that can be written. A page of many takes no memory before something is written there.

    Raises MemoryError where there is no room for them.
    """
    if size < _PAGED_BYTES or not hasattr(mmap, "MAP_PRIVATE"):
        return bytearray(size)
    try:
        return mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    except (OSError, OverflowError) as error:
        raise MemoryError from error


def open_to_read(path: Path) -> int:
    """A descriptor for reading. The file's access time is left untouched where the system allows that."""
    try:
        return os.open(path, _READING | _WITHOUT_TRACE)
    except PermissionError:  # O_NOATIME is the owner's
        return os.open(path, _READING)


def read_at(descriptor: int, size: int, position: int) -> bytes:
    """Up to `size` bytes from `position` of an open file."""
    if hasattr(os, "pread"):
        return os.pread(descriptor, size, position)
    with _moving:
        os.lseek(descriptor, position, os.SEEK_SET)
        return os.read(descriptor, size)


def read_into_at(descriptor: int, target: memoryview, position: int) -> int:
    """Fill `target` from an open file; how many bytes there were: fewer only at its end."""
    filled = 0
    while filled < len(target):
        got = _read_some(descriptor, target[filled:], position + filled)
        if not got:
            break
        filled += got
    return filled


def _read_some(descriptor: int, target: memoryview, position: int) -> int:
    if hasattr(os, "preadv"):
        return os.preadv(descriptor, [target], position)
    data = read_at(descriptor, len(target), position)
    target[: len(data)] = data
    return len(data)


def write_at(descriptor: int, data: memoryview, position: int) -> int:
    """Write bytes at a position of an open file; how many were written."""
    if hasattr(os, "pwrite"):
        return os.pwrite(descriptor, data, position)
    with _moving:
        os.lseek(descriptor, position, os.SEEK_SET)
        return os.write(descriptor, data)


def next_data(descriptor: int, position: int) -> int:
    """Where from a position on a file has bytes and no hole, as far as the system tells.

    OSError ENXIO where only a hole is left.
    """
    if _SEEK_DATA is None:
        return position
    with _moving:
        return os.lseek(descriptor, position, _SEEK_DATA)


def cpu_count() -> int:
    """Processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def lock_file(descriptor: int) -> bool:
    """Lock an open file until it is closed or the process ends; False where another process holds the lock.

    True where neither the system nor the file system has locks.
    """
    try:
        if _fcntl is not None:
            _fcntl.flock(descriptor, _fcntl.LOCK_EX | _fcntl.LOCK_NB)
        elif _msvcrt is not None:
            os.lseek(descriptor, _LOCKED_BYTE, os.SEEK_SET)
            _msvcrt.locking(descriptor, _msvcrt.LK_NBLCK, 1)
            os.lseek(descriptor, 0, os.SEEK_SET)
    except (BlockingIOError, PermissionError):
        return False
    except OSError:
        pass
    return True


def open_directory_to_lock(directory: Path) -> int:
    """A descriptor by which a directory can be locked: its own, or that of a file in it."""
    try:
        return os.open(directory, os.O_RDONLY)
    except PermissionError:  # Windows opens no directory
        return os.open(directory / _LOCK_FILE, os.O_RDWR | os.O_CREAT)


def sync_directory(directory: Path) -> None:
    """Make renames in a directory survive a crash of the machine, where a directory can be opened."""
    try:
        descriptor = os.open(directory, os.O_RDONLY)
    except PermissionError:  # Windows opens no directory
        return
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def widen_pipe(descriptor: int) -> None:
    """Have a pipe hold much, where the system grants it."""
    with suppress(OSError, AttributeError):
        if _fcntl is not None:
            _fcntl.fcntl(descriptor, _fcntl.F_SETPIPE_SZ, _PIPE_BYTES)


def terminals_have_colours() -> bool:
    """Whether a terminal here takes colours: on Windows the newer one does, the console must be asked to."""
    if sys.platform == "win32":
        return "WT_SESSION" in os.environ
    return os.environ.get("TERM") != "dumb"
