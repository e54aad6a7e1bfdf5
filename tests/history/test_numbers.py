"""Codes to numbers, against a dictionary."""

from __future__ import annotations

import numpy as np
import pytest

from offdecode.history.numbers import Numbers
from offdecode.model import Vector


def some_codes(chosen: np.random.Generator, known: list[int]) -> Vector:
    """Codes that rise from above all known ones on, rise from anywhere, are known, or are any."""
    count = int(chosen.integers(0, 60))
    match chosen.integers(0, 4):
        case 0:
            return np.arange(count) * int(chosen.integers(1, 9)) + max(known, default=0) + 1
        case 1:
            return np.sort(chosen.choice(3000, count, replace=False))
        case 2:
            return chosen.permutation(np.array(known, np.int64))[:count]
    return chosen.integers(-50, 3000, count)


@pytest.mark.parametrize("seed", range(200))
def test_numbers_are_those_of_a_dictionary(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("offdecode.history.numbers._RECENT_CODES", seed % 3 * 20)
    chosen = np.random.default_rng(seed)
    own, known = Numbers(), dict[int, int]()
    for _ in range(12):
        codes = some_codes(chosen, list(known))
        assert own.find(codes).tolist() == [known.setdefault(code, len(known)) for code in codes.tolist()]
        assert own.codes.tolist() == list(known)
        assert len(own) == len(known)
