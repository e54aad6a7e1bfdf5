"""Output files that appear under their final name only when they are complete."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from offdecode.errors import UsageError


class CompleteFile:
    """A file being written beside its final name. `finish` puts it in place, `discard` leaves nothing.

    A device or FIFO is no file to be replaced: it is written to as it is.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(os.path.realpath(path))  # the file that a link leads to is replaced, not the link
        self._partial: Path | None = self.path.with_name(f".{self.path.name}.{os.getpid()}.partial")
        try:
            if self.path.is_dir():
                raise UsageError(f"{path}: is a directory")
            if path.exists() and not path.is_file():
                self.path, self._partial = path, None  # what a link of /dev/fd leads to has no name
            self.stream: BinaryIO = (self._partial or self.path).open("wb")
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
