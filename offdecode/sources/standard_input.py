"""Standard input as a file: `-`. It is kept in a spool, for a stream cannot be read from the middle."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TextIO

from offdecode.sources.locations import Location
from offdecode.sources.readers import Reader
from offdecode.sources.spool import Spool, SpoolReader

_READ_BYTES = 1 << 20


class StandardInput(Location):
    """All of standard input. It lies nowhere, so no directory tells its partition, and no file is beside it."""

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream
        self._spool: Spool | None = None

    @property
    def name(self) -> str:
        return "-"

    @property
    def text(self) -> str:
        return "-"

    @property
    def parent(self) -> Location:
        return self

    @property
    def key(self) -> str:
        return "-"

    @property
    def version(self) -> object:
        return id(self._filled())

    def exists(self) -> bool:
        return self._stream is not None

    def is_file(self) -> bool:
        return True

    def is_directory(self) -> bool:
        return False

    def child(self, name: str) -> Location:
        raise NotADirectoryError(20, os.strerror(20), "-")

    def names(self) -> list[str]:
        raise NotADirectoryError(20, os.strerror(20), "-")

    def open(self) -> Reader:
        spool = self._filled()
        return SpoolReader(spool, 0, spool.end)

    def _filled(self) -> Spool:
        if self._spool is None:
            spool = Spool()
            while self._stream is not None and (data := self._stream.buffer.read(_READ_BYTES)):
                spool.write(data, self.text)
            self._spool = spool
        return self._spool


def standard_input_is(path: Path) -> bool:
    """Whether a file is what standard input is read from."""
    try:
        return path.is_file() and os.path.samestat(path.stat(), os.fstat(sys.stdin.fileno()))
    except (OSError, AttributeError, ValueError):  # closed, or no file at all
        return False
