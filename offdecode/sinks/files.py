"""Output files that appear under their final name only when they are complete."""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO

from offdecode.errors import UsageError


class CompleteFile:
    """A file being written beside its final name. `finish` puts it in place, `discard` leaves nothing."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
        try:
            self.stream: BinaryIO = self._partial.open("wb")
        except OSError as error:
            raise UsageError(f"{path}: cannot be written: {error.strerror}") from None

    def finish(self) -> None:
        self.stream.close()
        self._partial.replace(self.path)

    def finish_as(self, path: Path) -> None:
        """Put it in place under another name, when its bytes are on the disk."""
        self.stream.flush()
        os.fsync(self.stream.fileno())
        self.path = path
        self.finish()

    def discard(self) -> None:
        self.stream.close()
        self._partial.unlink(missing_ok=True)
