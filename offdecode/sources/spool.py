"""A temporary file for what cannot be read from the middle: without a name, so nothing of it outlives the process."""

from __future__ import annotations

import os
import shutil
import tempfile
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Self

from offdecode.errors import SourceError
from offdecode.sources.readers import SECTOR_BYTES
from offdecode.system import read_at, read_into_at, write_at

LIMIT_VARIABLE = "OFFDECODE_SPOOL_BYTES"
_DEFAULT_LIMIT = 64 << 30
_LEFT_FREE = 256 << 20  # bytes of its file system that are never taken
_LOOK_EACH = 16 << 20


_TOLD: list[Callable[[int], None]] = []  # who is told of the bytes that are written to any spool


@contextmanager
def watched(tell: Callable[[int], None]) -> Iterator[None]:
    """Within, somebody is told how many bytes are copied to spools: to fetch or unpack much takes its time."""
    _TOLD.append(tell)
    try:
        yield
    finally:
        _TOLD.remove(tell)


class Spool:
    """Bytes that are written once, one behind the other, and read by position. TMPDIR says where they lie."""

    def __init__(self) -> None:
        self._limit = _limit()
        self._looked_at = -_LOOK_EACH
        self.descriptor = -1
        self.end = 0

    def write(self, data: bytes, source: str) -> None:
        """Raises SourceError where there is no room. source: what the bytes come from."""
        view = memoryview(data)
        try:
            if self.descriptor < 0:
                self._create()
            self._find_room(len(data), source)
            while view:
                written = write_at(self.descriptor, view, self.end)
                self.end += written
                view = view[written:]
            for tell in _TOLD:
                tell(len(data))
        except OSError as error:
            reason = f"cannot be copied to {tempfile.gettempdir()}: {error.strerror}"
            raise SourceError(source, reason) from None

    def drop(self, start: int) -> None:
        """Forget what was written from a position on, of which nobody reads anything."""
        self.end = self._looked_at = start

    def _create(self) -> None:
        with tempfile.TemporaryFile(prefix="offdecode-", buffering=0) as file:
            self.descriptor = os.dup(file.fileno())
        weakref.finalize(self, os.close, self.descriptor)

    def _find_room(self, size: int, source: str) -> None:
        if self.end + size > self._limit:
            reason = f"a copy of it needs more than {self._limit} bytes; {LIMIT_VARIABLE} sets the limit"
            raise SourceError(source, reason)
        if self.end - self._looked_at < _LOOK_EACH:
            return
        self._looked_at = self.end
        if shutil.disk_usage(tempfile.gettempdir()).free < size + _LEFT_FREE + _LOOK_EACH:
            reason = f"there is no room in {tempfile.gettempdir()} for a copy of it; TMPDIR names another place"
            raise SourceError(source, reason)


def _limit() -> int:
    text = os.environ.get(LIMIT_VARIABLE, "")
    return int(text) if text.isdecimal() and len(text) < 20 else _DEFAULT_LIMIT


class SpoolReader:
    """A range of a spool."""

    grain = SECTOR_BYTES

    def __init__(self, spool: Spool, start: int, size: int) -> None:
        self._spool = spool
        self._start = start
        self.size = size

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        pass  # others read the spool too

    def read(self, position: int, size: int) -> bytes:
        room = max(min(size, self.size - position), 0)
        return read_at(self._spool.descriptor, room, self._start + position) if room else b""

    def read_into(self, target: memoryview, position: int) -> int:
        room = max(min(len(target), self.size - position), 0)
        return read_into_at(self._spool.descriptor, target[:room], self._start + position)

    def changed(self, size: int) -> str | None:
        return None
