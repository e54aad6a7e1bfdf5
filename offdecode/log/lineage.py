"""The leader epochs of a log and where each began, as brokers noted them: what may be of its history, what not.

A leader notes its epoch and the end of its log as it is elected, before it writes anything; a follower notes an epoch
with the first batch of it that it is given. Both cut the notes with the log (LeaderEpochFileCache). So they tell of a
branch that did not stand also where the log cleaner has since removed every batch that stood there, and where none
was ever written. An epoch may have begun before what a follower noted: the first batches of it may have been cleaned
before it was given any.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

import numpy as np

from offdecode.model import LARGEST_INT64, Mask, Vector

Epochs = tuple[tuple[int, int], ...]  # of each leader epoch its first offset, both ascending


class Lineage:
    """The epochs of one history by the notes of its copies; none = nothing is known."""

    def __init__(self, notes: Iterable[Epochs] = ()) -> None:
        first: dict[int, int] = {}
        for epoch, start in (one for note in notes for one in note):
            first[epoch] = min(start, first.get(epoch, start))
        found = sorted(first.items())
        if any(start >= later for (_, start), (_, later) in pairwise(found)):
            found = []  # they are not of one history
        self._epochs = np.array([epoch for epoch, _ in found], np.int64)
        self._starts = np.array([start for _, start in found], np.int64)

    def excludes(self, base: Vector, last: Vector, epoch: Vector) -> Mask:
        """Which batches cannot be of this history, by their first and last offset and their epoch.

        From a note on no earlier epoch can come; before it no later one than it names.
        """
        least = np.concatenate(([-1], self._epochs))[np.searchsorted(self._starts, last, side="right")]
        most = np.concatenate((self._epochs, [LARGEST_INT64]))[np.searchsorted(self._starts, base, side="right")]
        found: Mask = (epoch >= 0) & ((epoch < least) | (epoch > most))
        return found

    def at(self, offset: int) -> tuple[int, int] | None:
        """The epoch that the log was in at an offset, and the first one noted of it; None where it is not known."""
        at = int(np.searchsorted(self._starts, offset, side="right")) - 1
        return (int(self._epochs[at]), int(self._starts[at])) if at >= 0 else None


def agrees(note: Epochs, epoch: int, offset: int) -> bool:
    """Whether a log's last batch may have this epoch by the note, which then is no older than the log."""
    there = [noted for noted, start in note if start <= offset]
    return epoch < 0 or not there or there[-1] == epoch
