"""Output files that appear under their final name only when they are complete."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from offdecode.errors import UsageError

_DESCRIPTOR = re.compile(
    r"/(?:dev|proc/(?P<process>self|thread-self|\d{1,9}))/fd/(?P<number>\d{1,9})|/dev/(?P<name>stdout|stderr)"
)
_MOST_LINKS = 40
_STANDARD = {"stdout": 1, "stderr": 2}


class CompleteFile:
    """A file being written beside its final name. `finish` puts it in place, `discard` leaves nothing.

    A device, a FIFO or what the process has open (/dev/fd/3) is no file to be replaced: it is written to as it is.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(os.path.realpath(path))  # the file that a link leads to is replaced, not the link
        self._partial: Path | None = self.path.with_name(f".{self.path.name}.{os.getpid()}.partial")
        try:
            if self.path.is_dir():
                raise UsageError(f"{path}: is a directory")
            if (path.exists() and not path.is_file()) or open_already(path) is not None:
                self._partial = None
            self.stream: BinaryIO = open_to_write(path) if self._partial is None else self._partial.open("wb")
        except OSError as error:
            raise UsageError(f"{path}: cannot be written: {error.strerror}") from None

    def finish(self) -> None:
        self.stream.close()
        if self._partial is not None:
            self._partial.replace(self.path)

    def finish_as(self, path: Path) -> None:
        """Put it in place under another name, when its bytes are on the disk."""
        self.stream.flush()
        os.fsync(self.stream.fileno())
        self.path = path
        self.finish()

    def discard(self) -> None:
        with suppress(OSError):  # what is still held may not fit on the disk
            self.stream.close()
        if self._partial is not None:
            self._partial.unlink(missing_ok=True)


def open_already(path: Path) -> int | None:
    """The file descriptor of this process that a path names, or the link that it is; None where it names none."""
    text = str(path)
    for _ in range(_MOST_LINKS):
        match = _DESCRIPTOR.fullmatch(text)
        if match is not None and match["process"] in (None, "self", "thread-self", str(os.getpid())):
            return int(match["number"]) if match["number"] else _STANDARD[match["name"]]
        if not os.path.islink(text):
            break
        text = os.path.normpath(os.path.join(os.path.dirname(text), os.readlink(text)))
    return None


def open_to_write(path: Path, buffering: int = -1) -> BinaryIO:
    """A file or device, or what the process has open (/dev/fd/3), which is written on where it is.

    OSError where that cannot be.
    """
    number = open_already(path)
    if number is None:
        return path.open("wb", buffering)
    copy = os.dup(number)
    try:
        os.write(copy, b"")
    except OSError:
        os.close(copy)
        raise
    return open(copy, "wb", buffering)


@contextmanager
def complete_file(path: Path) -> Iterator[BinaryIO]:
    """A file that gets its name when all is written, and vanishes when that fails."""
    file = CompleteFile(path)
    try:
        yield file.stream
        file.finish()
    except BaseException:
        file.discard()
        raise


def make_directory(path: Path) -> None:
    """Make a directory, and those above it. Raises UsageError where that cannot be."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{path}: cannot be made a directory: {error.strerror}") from None
