"""Read around what the system or a server refuses: the bytes on both sides of a bad place are evidence all the same."""

from __future__ import annotations

from bisect import insort
from dataclasses import dataclass

from offdecode.sources.readers import Reader

# No batch begins with it, nor could it be taken for the zeros behind the end of a preallocated file.
FILLER = 0xFF
_MOST_RANGES = 1000  # in a segment; from there on it is given up
_NO_PLACE = (FileNotFoundError, PermissionError)  # what refuses all of the file


@dataclass(slots=True)
class Unread:
    """A range of bytes that could not be read, and the first reason."""

    start: int
    end: int
    reason: str
    told: bool = False


class PatientReader:
    """Reads a file of `size` bytes from place to place; unreadable bytes are read as FILLER.

    A range's borders are found by probing, in steps that double: of n grains in a row it takes about 3 log2(n)
    attempts. Between two readable places that were tried, more may be readable than is found. OSError where all is
    refused.
    """

    def __init__(self, reader: Reader, size: int) -> None:
        self._reader = reader
        self._size = size
        self._known: list[Unread] = []

    def read_into(self, target: memoryview, position: int) -> int:
        """Fill `target` with the bytes from `position` on; how many there were."""
        at, end = position, position + len(target)
        while at < end:
            bad = next((one for one in self._known if one.end > at), None)
            if bad is not None and bad.start <= at:
                until = min(bad.end, end)
                target[at - position : until - position] = bytes([FILLER]) * (until - at)
                at = until
                continue
            until = end if bad is None else min(bad.start, end)
            try:
                got = self._reader.read_into(target[at - position : until - position], at)
            except _NO_PLACE:
                raise
            except OSError as error:
                self._note(self._range(at, until), error.strerror or type(error).__name__)
                continue
            at += got
            if got < until - (at - got):
                break
        return at - position

    def found_before(self, end: int) -> list[Unread]:
        """The ranges that end before a byte, each told once."""
        new = [one for one in self._known if one.end <= end and not one.told]
        for one in new:
            one.told = True
        return new

    def _note(self, bad: tuple[int, int], reason: str) -> None:
        start, end = bad
        if len(self._known) >= _MOST_RANGES:
            end = self._size
        last = self._known[-1] if self._known else None
        if last is not None and last.end == start and not last.told:
            last.end = end
        else:
            insort(self._known, Unread(start, end, reason), key=lambda one: one.start)

    def _range(self, start: int, end: int) -> tuple[int, int]:
        """The first unreadable range in bytes that cannot be read at once; it may go beyond their end."""
        grain = self._reader.grain
        while (middle := _between(start, end, grain)) is not None:
            if self._readable(start, middle):
                start = middle
            else:
                end = middle
        last_bad, good, step = start, (start // grain + 1) * grain, grain
        while good < self._size and not self._readable(good, good + grain):
            last_bad, good, step = good, good + step, step * 2
        good = min(good, self._size)
        while (middle := _between(last_bad, good, grain)) is not None:
            if self._readable(middle, middle + grain):
                good = middle
            else:
                last_bad = middle
        return start, good

    def _readable(self, start: int, end: int) -> bool:
        try:
            self._reader.read(start, min(end, self._size) - start)
        except _NO_PLACE:
            raise
        except OSError:
            return False
        return True


def _between(start: int, end: int, grain: int) -> int | None:
    """A border of a grain about halfway; None where none is between."""
    middle = max((start + end) // 2 // grain * grain, (start // grain + 1) * grain)
    return middle if start < middle < end else None
