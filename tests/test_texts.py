"""Texts to numbers, against a dictionary."""

from __future__ import annotations

import random

import numpy as np
import pyarrow as pa
import pytest

from offdecode import texts
from offdecode.errors import UsageError
from offdecode.texts import Texts

_KINDS = (pa.string(), pa.binary(), pa.large_string())


def some_text(chosen: random.Random) -> str:
    """Like others of its length but for a byte or two, wherever."""
    length = chosen.choice((0, 1, 7, 8, 9, 15, 16, 17, 40, 127, 128, 129, 136, 137, 300))
    letters = ["a"] * length
    for _ in range(min(length, 2)):
        letters[chosen.randrange(length)] = chosen.choice("ab\0ä\U0001f600")
    return "".join(letters)


def in_parts(chosen: random.Random, all_texts: list[str]) -> list[list[str]]:
    cuts = sorted(chosen.sample(range(len(all_texts)), 12))
    return [all_texts[start:end] for start, end in zip([0, *cuts], [*cuts, len(all_texts)], strict=True)]


@pytest.mark.parametrize("collide", [False, True], ids=["hashes", "one_hash_for_all"])
@pytest.mark.parametrize("seed", range(4))
def test_numbers_are_those_of_a_dictionary(seed: int, collide: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if collide:
        monkeypatch.setattr(texts._Given, "_hashed", lambda given: np.full(len(given.length), 5, np.int64))
    chosen = random.Random(seed)
    every = [some_text(chosen) for _ in range(300 if collide else 4000)]
    own, known = Texts(), dict[str, int]()
    for part in in_parts(chosen, every):
        expected = [known.setdefault(text, len(known)) for text in part]
        assert own.numbers(pa.array(part, chosen.choice(_KINDS))).tolist() == expected
        assert len(own) == len(known)
    assert own.all().to_pylist() == list(known)
    wanted = chosen.sample(range(len(known)), 50)
    assert own.of(np.array(wanted)).to_pylist() == [list(known)[number] for number in wanted]
    assert own.numbers(own.all()).tolist() == list(range(len(known)))
    assert [own.number(text) for text in every] == [known[text] for text in every]
    assert own.rank().tolist() == [sorted(known, key=str.encode).index(text) for text in known]


def test_a_part_of_an_array_is_looked_up() -> None:
    own = Texts()
    every = pa.array([f"group-{number}" for number in range(200)])
    assert own.numbers(every.slice(100)).tolist() == list(range(100))
    assert own.numbers(every).tolist() == [*range(100, 200), *range(100)]


def test_columns_keep_their_nulls() -> None:
    own = Texts()
    column = pa.array(["b", None, "a", "b"]).dictionary_encode()
    assert own.encode(column).to_pylist() == [0, None, 1, 0]
    assert own.encode(pa.chunked_array([column, column])).to_pylist() == [0, None, 1, 0] * 2


def test_more_than_arrow_can_hold_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(texts, "_MOST_BYTES", 1000)
    own = Texts()
    assert own.numbers(pa.array([f"group-{number}" for number in range(200)])).tolist() == list(range(200))
    for ask in (own.all, lambda: own.of(np.arange(2))):
        with pytest.raises(UsageError, match="--group"):
            ask()


def test_bytes_need_not_be_text() -> None:
    own = Texts()
    keys = [bytes([255, number]) for number in range(256)]
    assert own.numbers(pa.array(keys, pa.binary())).tolist() == list(range(256))
    assert own.of(np.arange(256), pa.binary()).to_pylist() == keys
