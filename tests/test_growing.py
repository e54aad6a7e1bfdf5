"""Vectors that grow."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from offdecode.growing import make_room

STATM = Path("/proc/self/statm")
PAIR = np.dtype([("first", np.int64), ("second", np.int64)])


def resident() -> int:
    """Bytes of memory that this process has."""
    return int(STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.parametrize("mapped", [False, True])
def test_entries_stay_and_new_ones_are_zeros(mapped: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("offdecode.system._PAGED_BYTES", 0 if mapped else 1 << 40)
    vector, known = np.empty(0, np.int64), list[int]()
    for count in (1, 2, 3, 100, 50, 10_000):
        vector = make_room(vector, count)
        assert vector[: len(known)].tolist() == known
        assert not vector[len(known) :].any()
        known = list(range(7, 7 + max(count, len(known))))
        vector[: len(known)] = known


def test_new_entries_are_what_is_asked_for() -> None:
    assert make_room(np.array([1, 2]), 5, np.array(-1)).tolist()[:5] == [1, 2, -1, -1, -1]
    initial = np.array([(3, 4)], PAIR)
    pairs = make_room(np.empty(0, PAIR), 3, initial)
    assert pairs.dtype == PAIR
    assert pairs["second"].tolist() == [4, 4, 4]


@pytest.mark.skipif(not STATM.exists(), reason="Linux tells how much memory a process has now")
def test_room_that_is_not_used_takes_no_memory() -> None:
    before = resident()
    vector = make_room(np.ones(1 << 18, np.int64), (1 << 18) + 1)
    larger = make_room(vector, 1 << 28)
    assert larger[-1] == 0
    assert larger[:3].tolist() == [1, 1, 1]
    assert resident() - before < 64 << 20  # of 2 GiB


def test_what_there_is_no_memory_for_is_refused() -> None:
    with pytest.raises(MemoryError):
        make_room(np.ones(1, np.int64), 1 << 50)


def test_a_child_process_has_vectors_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("offdecode.system._PAGED_BYTES", 0)
    vector = make_room(np.empty(0, np.int64), 5000)
    child = os.fork()
    if not child:
        vector[:] = 9
        os._exit(0)
    os.waitpid(child, 0)
    assert not vector.any()
