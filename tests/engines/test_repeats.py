"""Structs that stand in a chunk many times are read once, and nobody sees it but by the time."""

from __future__ import annotations

import io
import random

import numpy as np
import pytest

from offdecode.engines.decode import Decoder, Engine
from offdecode.engines.selection import Selection
from offdecode.model import DecodedChunk, is_coded
from offdecode.sinks.jsonl import JsonLinesSink
from tests.bench.generate import group_pair
from tests.records_builder import Pair, records_of
from tests.segment_builder import text

GROUP = "group_metadata"


def decoded(pairs: list[Pair], engine: Engine = "auto") -> DecodedChunk:
    return Decoder(Selection(), engine).decode(
        records_of(pairs), np.full(1, -1, np.int64), np.ones(len(pairs), np.bool_)
    )


def lines(chunk: DecodedChunk) -> list[bytes]:
    stream = io.BytesIO()
    JsonLinesSink(stream, Selection().options).write(chunk)
    return stream.getvalue().split(b"\n")[:-1]


def assert_read_once(pairs: list[Pair]) -> DecodedChunk:
    """As the reference reads them; and the members are coded."""
    chunk, expected = decoded(pairs), decoded(pairs, "reference")
    assert is_coded(chunk.coded[GROUP].column("members").type)
    assert lines(chunk) == lines(expected)
    assert chunk.batches.keys() == expected.batches.keys()
    for name, batch in expected.batches.items():
        assert chunk.batches[name].equals(batch)
        assert chunk.batches[name].schema == batch.schema
    return chunk


def generations(count: int = 60, members: int = 9) -> list[Pair]:
    rnd = random.Random(3)
    kinds = [group_pair(rnd, members) for _ in range(4)]
    return [rnd.choice(kinds) for _ in range(count)]


def changed(pairs: list[Pair], old: bytes, new: bytes, every: int = 2) -> list[Pair]:
    """The same bytes for others in some of the records."""
    return [
        (key, value and value.replace(old, new) if number % every == 0 else value)
        for number, (key, value) in enumerate(pairs)
    ]


def test_equal_members_are_read_once() -> None:
    chunk = assert_read_once(generations())
    members = chunk.coded[GROUP].column("members")
    assert len(members.values.dictionary) <= 4 * 9 < len(members.values)


def test_the_same_bytes_mean_another_thing_under_another_protocol() -> None:
    pairs = changed(generations(), text("consumer"), text("connect_"))
    chunk = assert_read_once(pairs)
    read = [row["members"][0]["subscription"]["topics"] is None for row in chunk.batches[GROUP].to_pylist()]
    assert read == [number % 2 == 0 for number in range(len(pairs))]


@pytest.mark.parametrize("every", [2, 7])
def test_members_that_cannot_be_read(every: int) -> None:
    """Text that is none, lengths that are wrong: in each record that has them, and in no other."""
    pairs = generations()
    name = text("consumer-3")
    for new in (name[:-1] + b"\xff", b"\x7f\xff" + name[2:], b"\xff\xfe" + name[2:]):
        damaged = changed(pairs, name, new, every)
        chunk, expected = decoded(damaged), decoded(damaged, "reference")
        assert lines(chunk) == lines(expected)
        assert [problem.message for problem in chunk.problems] == [problem.message for problem in expected.problems]


def test_tombstones_and_other_versions_between_them() -> None:
    pairs = generations()
    older = [(key, value and b"\0\2" + value[2:].replace(b"\xff\xff" + text("consumer-"), text("consumer-")))
             for key, value in pairs]  # fmt: skip
    mixed = [one for row in zip(pairs, older, [(key, None) for key, _ in pairs], strict=True) for one in row]
    chunk, expected = decoded(mixed), decoded(mixed, "reference")
    assert lines(chunk) == lines(expected)
    for name, batch in expected.batches.items():
        assert chunk.batches[name].equals(batch)
    assert_read_once([one for row in zip(pairs, [(key, None) for key, _ in pairs], strict=True) for one in row])


def test_rows_are_chosen_without_making_lists_plain() -> None:
    pairs = generations()
    chunk = decoded(pairs)
    kept = np.arange(len(pairs)) % 3 == 1
    rest = chunk.where(kept)
    assert is_coded(rest.coded[GROUP].column("members").type)
    assert lines(rest) == [line for line, wanted in zip(lines(chunk), kept.tolist(), strict=True) if wanted]
    assert rest.batches[GROUP].equals(chunk.batches[GROUP].filter(kept.tolist()))


def test_few_equal_members_are_not_looked_for() -> None:
    rnd = random.Random(4)
    chunk = decoded([group_pair(rnd, 9) for _ in range(60)])
    assert not is_coded(chunk.coded[GROUP].column("members").type)
