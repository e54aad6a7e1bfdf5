"""Open evidence, read by position: a local file, a range of another reader."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import Protocol, Self

from offdecode.system import next_data, open_to_read, read_at, read_into_at

SECTOR_BYTES = 4096  # of a disk, as the system reads it


class Reader(Protocol):
    """An open file of known size. `read` and `read_into` give fewer bytes than wanted only at its end.

    Both raise OSError where bytes cannot be read. grain: bytes that are read, or refused, together.
    """

    size: int
    grain: int

    def __enter__(self) -> Self: ...

    def __exit__(self, *exc: object) -> None: ...

    def read(self, position: int, size: int) -> bytes:
        """Up to `size` bytes from `position`."""
        ...

    def read_into(self, target: memoryview, position: int) -> int:
        """Fill `target` with the bytes from `position` on; how many there were."""
        ...

    def changed(self, size: int) -> str | None:
        """What has become of the file since it was found with this size, if it is not what it was."""
        ...


class FileReader:
    """An open local file."""

    grain = SECTOR_BYTES

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor = open_to_read(path)
        self.size = _size(self._descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        os.close(self._descriptor)

    def read(self, position: int, size: int) -> bytes:
        return read_at(self._descriptor, size, position)

    def read_into(self, target: memoryview, position: int) -> int:
        filled = self._hole(position, len(target))
        target[:filled] = bytes(filled)
        return filled + read_into_at(self._descriptor, target[filled:], position + filled)

    def _hole(self, position: int, wanted: int) -> int:
        """How many bytes from `position` on are zeros that the file does not even hold: to read them takes as long."""
        end = min(position + wanted, self.size)
        try:
            data = next_data(self._descriptor, position)
        except OSError as error:
            return max(end - position, 0) if error.errno == errno.ENXIO else 0
        return max(min(data, end) - position, 0)

    def changed(self, size: int) -> str | None:
        now = _size(self._descriptor)
        if now != size:
            verb = "grew" if now > size else "was cut"
            return f"the file {verb} from {size} to {now} bytes while it was read"
        if not self._path.exists():
            return "the file was deleted or renamed while it was read; it was read to its end"
        return None


def _size(descriptor: int) -> int:
    found = os.fstat(descriptor)
    return os.lseek(descriptor, 0, os.SEEK_END) if stat.S_ISBLK(found.st_mode) else found.st_size


class WindowReader:
    """A range of another reader, which is closed with it. outer_size: what the other one's file held when found."""

    def __init__(self, outer: Reader, start: int, size: int, outer_size: int) -> None:
        self._outer = outer
        self._start = start
        self._outer_size = outer_size
        self.size = size
        self.grain = outer.grain

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._outer.__exit__(*exc)

    def read(self, position: int, size: int) -> bytes:
        return self._outer.read(self._start + position, max(min(size, self.size - position), 0))

    def read_into(self, target: memoryview, position: int) -> int:
        room = max(min(len(target), self.size - position), 0)
        return self._outer.read_into(target[:room], self._start + position)

    def changed(self, size: int) -> str | None:
        return self._outer.changed(self._outer_size)
