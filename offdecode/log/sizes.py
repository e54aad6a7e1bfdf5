"""Records to the bytes that they take in the log: what their batches take, shared out."""

from __future__ import annotations

import numpy as np

from offdecode.log.headers import HEADER_BYTES
from offdecode.log.records import Records
from offdecode.model import Vector

_FRAMING_BYTES = 8  # of a small record: lengths, attributes and deltas around its key and value


def shares(records: Records) -> tuple[Vector, Vector]:
    """For each record its bytes of the batch behind the header, by its size; and of the header, an equal part.

    Of each batch whose records are all here they add up to its bytes. Messages of formats 0 and 1 have no header, and
    records without a batch take what key and value do.
    """
    frames, frame = records.frames, records.frame
    own = _FRAMING_BYTES + np.maximum(records.key_length, 0) + np.maximum(records.value_length, 0)
    bare = frames.magic[frame] < 0
    first = np.flatnonzero(np.diff(frame, prepend=-1))
    which = np.cumsum(np.diff(frame, prepend=-1) != 0) - 1  # of the batches that have records here
    here = np.diff(np.append(first, len(frame)))
    batch = frame[first]
    header = np.where(frames.magic[batch] == 2, HEADER_BYTES, 0)
    size = frames.end[batch] - frames.position[batch] - header
    whole = np.maximum(frames.count[batch], here)
    body = _parts(own, first, which, size * here // np.maximum(whole, 1))
    head = _parts(np.ones(len(frame), np.int64), first, which, header * here // np.maximum(whole, 1))
    return np.where(bare, own - _FRAMING_BYTES, body), np.where(bare, 0, head)


def _parts(weight: Vector, first: Vector, which: Vector, total: Vector) -> Vector:
    """Totals in whole parts by weight. first: where the weights of each begin; which: whose each weight is."""
    done = np.cumsum(weight)
    before = done[first] - weight[first] if len(first) else done
    of_all = np.diff(np.append(before, done[-1:]))
    end = total[which] * (done - before[which]) // of_all[which]
    part = np.diff(end, prepend=0)
    part[first] = end[first]
    return part
