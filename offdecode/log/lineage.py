"""The leader epochs of a log and where each began, as its broker noted them: what may be of its history, what not.

A leader notes its epoch and the end of its log as it is elected, before it writes anything; a follower notes an epoch
with the first batch of it. Both cut the notes with the log (LeaderEpochFileCache). So they tell of a branch that did
not stand also where the log cleaner has since removed every batch that stood there, and where none was ever written.
"""

from __future__ import annotations

import numpy as np

from offdecode.model import LARGEST_INT64, Mask, Vector

Epochs = tuple[tuple[int, int], ...]  # of each leader epoch its first offset, both ascending


class Lineage:
    """The epochs of one log; none = nothing is known."""

    def __init__(self, epochs: Epochs = ()) -> None:
        self._epochs = np.array([epoch for epoch, _ in epochs], np.int64)
        self._starts = np.array([start for _, start in epochs], np.int64)

    @property
    def last(self) -> int:
        """The latest epoch, -1 where none is known."""
        return int(self._epochs[-1]) if len(self._epochs) else -1

    def agrees(self, epoch: int, offset: int) -> bool:
        """Whether the last batch of the log may have this epoch: a file that is older than its log tells less."""
        at = int(np.searchsorted(self._starts, offset, side="right")) - 1
        return epoch < 0 or at < 0 or epoch == self._epochs[at] or (at + 1 == len(self._epochs) and epoch > self.last)

    def excludes(self, base: Vector, last: Vector, epoch: Vector) -> Mask:
        """Which batches of another copy cannot be of this log, by their first and last offset and their epoch."""
        least = np.concatenate(([-1], self._epochs))[np.searchsorted(self._starts, last, side="right")]
        most = np.concatenate((self._epochs[:1], self._epochs[:-1], [LARGEST_INT64]))
        highest = most[np.searchsorted(self._starts, base, side="right")]
        found: Mask = (epoch >= 0) & ((epoch < least) | (epoch > highest))
        return found

    def at(self, offset: int) -> tuple[int, int] | None:
        """The epoch that the log was in at an offset, and the first one of that epoch; None where it is not known."""
        at = int(np.searchsorted(self._starts, offset, side="right")) - 1
        return (int(self._epochs[at]), int(self._starts[at])) if at >= 0 else None
