"""Frames of one log to what of its offsets the evidence holds: what the cleaner removed, what is lost.

A hole is the cleaner's work below its checkpoint or, where that is not known, before the last batch that shows
cleaning (fewer records than offsets, a delete horizon); elsewhere it is a loss, as it is for transactions.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from offdecode.log.batches import Frames
from offdecode.model import Coverage


class LogCoverage:
    """Takes the frames of a log in order.

    start: the offset at which the first segment starts by its name, None where its name does not tell.
    checkpoint: the first offset that was never cleaned, where the data directory tells.
    """

    def __init__(self, log_partition: int | None, start: int | None, checkpoint: int | None) -> None:
        self._partition = log_partition
        self._start = start
        self._checkpoint = checkpoint
        self._last: int | None = None if start is None else start - 1
        self._cleaned: int | None = None
        self._lost: int | None = None
        self._doubtful: int | None = None  # the first hole that a later sign of cleaning would explain

    def add(self, frames: Frames) -> None:
        valid = np.flatnonzero(frames.crc_valid)
        base, last = frames.base_offset[valid], frames.last_offset[valid]
        if self._last is None and len(valid):
            self._start = int(base[0])
            self._last = self._start - 1
        before = np.maximum.accumulate(np.concatenate(([-1 if self._last is None else self._last], last)))
        broken = before[np.searchsorted(valid, np.asarray(frames.breaks, np.int64))] + 1
        self._lost = _first(self._lost, broken.tolist())
        if not len(valid):
            return
        self._last = int(before[-1])
        holes = np.flatnonzero(base > before[:-1] + 1)
        missing = before[holes] + 1
        signs = np.flatnonzero((frames.count[valid] < last - base + 1) | frames.delete_horizon[valid])
        self._cleaned = _first(self._cleaned, base[signs[:1]].tolist())
        if self._checkpoint is not None:
            lost = base[holes] > self._checkpoint
            self._cleaned = _first(self._cleaned, missing[~lost].tolist())
            self._lost = _first(self._lost, missing[lost].tolist())
            return
        explained = holes <= signs[-1] if len(signs) else np.zeros(len(holes), np.bool_)
        if len(signs) and self._doubtful is not None:
            self._cleaned, self._doubtful = _first(self._cleaned, [self._doubtful]), None
        self._cleaned = _first(self._cleaned, missing[explained].tolist())
        self._doubtful = _first(self._doubtful, missing[~explained].tolist())

    @property
    def result(self) -> Coverage:
        """What was found so far."""
        return Coverage(
            log_partition=self._partition,
            last_offset=self._last,
            missing_start=self._start or None,
            first_cleaned=self._cleaned,
            first_lost=_first(self._lost, [] if self._doubtful is None else [self._doubtful]),
        )


def _first(known: int | None, others: Iterable[int]) -> int | None:
    return min((*others, *(() if known is None else (known,))), default=None)
