"""Both engines give the same rows and problems: on whole logs, and on valid and damaged single records."""

from __future__ import annotations

import gzip
import io
import json
import os
import random
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from offdecode.engines import columns
from offdecode.engines.decode import Decoder, Engine
from offdecode.engines.selection import KeyFilter, Selection
from offdecode.model import Problem
from offdecode.request import Request, Stats
from offdecode.schemas.layout import RecordType
from offdecode.schemas.registry import RECORD_TYPES
from offdecode.schemas.rows import RowOptions
from offdecode.schemas.types import String
from offdecode.sinks.jsonl import JsonLinesSink
from tests.asking import a_request, decode
from tests.records_builder import Pair, records_of
from tests.truth import LogSet, log_sets, set_id

VECTORS = Path(__file__).parent.parent.parent / "fixtures" / "vectors" / "records.jsonl.gz"
MUTATIONS = int(os.environ.get("OFFDECODE_MUTATIONS", "120000"))
CHUNK = 2000
ALL = Selection()


@pytest.fixture(autouse=True, params=["as_it_pays", "equal_structs_once"])
def coding(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Equal structs are read once where they are many; here also where they are not."""
    if request.param != "as_it_pays":
        monkeypatch.setattr(columns, "_MANY_ELEMENTS", 1)
        monkeypatch.setattr(columns, "_MOST_DIFFERENT", 0)


def run_log(request: Request) -> tuple[bytes, list[Problem], Stats]:
    stream, problems, stats = io.BytesIO(), list[Problem](), Stats()
    sink = JsonLinesSink(stream, request.columns)
    for chunk in decode(request, problems.append, stats):
        sink.write(chunk)
    return stream.getvalue(), problems, stats


def run_pairs(pairs: list[Pair], engine: Engine, selection: Selection) -> tuple[list[bytes], list[str], int]:
    decoder = Decoder(selection, engine)
    status = np.full(1, -1, np.int64)
    chunk = decoder.decode(records_of(pairs), status, np.ones(len(pairs), np.bool_))
    stream = io.BytesIO()
    JsonLinesSink(stream, selection.options).write(chunk)
    return stream.getvalue().split(b"\n")[:-1], [problem.message for problem in chunk.problems], decoder.fallbacks


def assert_same(pairs: list[Pair], selection: Selection = ALL, note: str = "") -> int:
    """Both engines agree on these records; how many of them the column engine left to the reference."""
    rows, problems, fallbacks = run_pairs(pairs, "auto", selection)
    expected, expected_problems, _ = run_pairs(pairs, "reference", selection)
    if rows != expected:
        wrong = next(index for index, (a, b) in enumerate(zip(rows, expected, strict=False)) if a != b)
        key, value = pairs[json.loads(expected[wrong])["log_offset"]]
        mine, theirs = json.loads(rows[wrong]), json.loads(expected[wrong])
        names = [name for name in {*mine, *theirs} if mine.get(name) != theirs.get(name)]
        found = {name: (mine.get(name), theirs.get(name)) for name in names}
        raise AssertionError(f"{note}: key {key and key.hex()} value {value and value.hex()}: {found}")
    assert problems == expected_problems, note
    return fallbacks


@cache
def vector_pairs() -> list[Pair]:
    with gzip.open(VECTORS, "rt", encoding="utf-8") as stream:
        lines = [json.loads(line) for line in stream]
    known = {record.key_type for record in RECORD_TYPES}
    return [
        (bytes.fromhex(line["key_hex"]), None if line["value_hex"] is None else bytes.fromhex(line["value_hex"]))
        for line in lines
        if line["key_type"] in known
    ]


@pytest.mark.parametrize("log_set", log_sets(), ids=set_id)
def test_whole_logs(log_set: LogSet) -> None:
    request = a_request(log_set.log)
    rows, problems, stats = run_log(request)
    expected, expected_problems, _ = run_log(a_request(log_set.log, engine="reference"))
    assert rows == expected
    assert problems == expected_problems == []
    assert stats.fallbacks == 0


def test_valid_vectors_are_read_without_the_reference() -> None:
    assert assert_same(vector_pairs()) == 0


FILTERS = {
    "group": KeyFilter({"group": {"orders", "::", "消费者组", ""}.__contains__}),
    "group-by-bytes": KeyFilter(
        {"group": {"orders", "::", "消费者组", ""}.__contains__},
        frozenset(name.encode() for name in ("orders", "::", "消费者组", "")),
    ),
    "group-and-partition": KeyFilter({"group": lambda group: True, "partition": {0, 128}.__contains__}),
    "nothing": KeyFilter({"topic": lambda topic: False}),
}


@pytest.mark.parametrize("keys", FILTERS.values(), ids=FILTERS)
@pytest.mark.parametrize("row_types", [None, ("offset_commit",), ("unknown",), ("undecodable", "group_metadata")])
def test_selections(keys: KeyFilter, row_types: tuple[str, ...] | None) -> None:
    selection = Selection(row_types, keys, RowOptions(raw=True, with_batch=True))
    assert_same([*vector_pairs(), *mutated(random.Random(5), 500)], selection)


def test_odd_records() -> None:
    invalid = b"\x00\x01\x00\x02\xff\xfe\x00\x01t\x00\x00\x00\x00"
    commit = bytes.fromhex("00030000000000000001ffffffff00056669727374000001a2077855bd")
    pairs: list[Pair] = [
        (None, None), (None, b""), (b"", b"x"), (b"\x00", None), (b"\x00\x01", None), (b"\x00\x63abc", b"\x00\x00"),
        (b"\xff\xff", b""), (invalid, commit), (invalid, None), (invalid, b""), (invalid, b"\x00"),
        (invalid, b"\x00\x09abc"), (invalid, commit[:14] + b"\x00\x02\xc3\x28" + commit[-8:]),
    ]  # fmt: skip
    assert_same(pairs)
    assert_same(pairs, Selection(keys=KeyFilter({"group": {"\\xff\\xfe"}.__contains__})))


@pytest.mark.parametrize("different", [3, 400, 3000], ids="{} keys".format)
@pytest.mark.parametrize("group", [None, "g1", "\\xff1"])
def test_keys_that_repeat_and_keys_that_do_not(different: int, group: str | None) -> None:
    def key(number: int) -> bytes:
        name = (b"\xff" if number % 7 == 3 else b"g") + b"%d" % (number % 1000)
        whole = b"\0\1" + len(name).to_bytes(2) + name + b"\0\1t" + number.to_bytes(4)
        return whole[:-1] if number % 11 == 5 else whole

    commit = bytes.fromhex("00030000000000000001ffffffff00056669727374000001a2077855bd")
    values = [commit, None, commit[:-1], commit[:2] + b"\1" + commit[3:]]
    rnd = random.Random(different)
    pairs: list[Pair] = [(key(rnd.randrange(different)), values[rnd.choice((0, 0, 1, 2, 3))]) for _ in range(3000)]
    keys = KeyFilter({} if group is None else {"group": group.__eq__})
    assert_same(pairs, Selection(keys=keys))
    if group == "g1":
        assert_same(pairs, Selection(keys=KeyFilter(keys.tests, frozenset([b"g1"]))))


@pytest.mark.parametrize("record", RECORD_TYPES, ids=lambda record: str(record.key_type))
def test_every_key_begins_with_the_group(record: RecordType) -> None:
    """So groups are found by the bytes of keys, before these are read."""
    first = record.key.fields[0]
    assert (first.name, first.type) == ("group", String)
    assert not record.key.flexible_in(0)
    assert not first.nullable_in(0)


def mutated(rnd: random.Random, count: int) -> list[Pair]:
    return [mutate(rnd, rnd.choice(damageable())) for _ in range(count)]


def mutate(rnd: random.Random, pair: Pair) -> Pair:
    """One damaged copy: mostly of the value, now and then of the key."""
    key, value = pair
    if value is None or rnd.random() < 0.15:
        return _damaged(rnd, key or b""), value
    return key, _damaged(rnd, value)


@cache
def damageable() -> list[Pair]:
    """The vectors, short ones more often: a long value takes long and hides most damage in its middle."""
    return [pair for pair in vector_pairs() for _ in range(1 if len(pair[1] or b"") > 400 else 30)]


def _damaged(rnd: random.Random, data: bytes) -> bytes:
    at = rnd.randrange(len(data) + 1)
    inside = rnd.randrange(max(len(data), 1))
    match rnd.randrange(7):
        case 0:
            return data[:at]
        case 1:
            return data + bytes([rnd.choice((0, 1, 255, rnd.randrange(256)))])
        case 2:
            bit = 1 << rnd.randrange(8)
            return data[:inside] + bytes(byte ^ bit for byte in data[inside : inside + 1]) + data[inside + 1 :]
        case 3:
            new = rnd.choice((b"\xff\xff", b"\0\0", b"\x7f\xff", b"\xff" * 4, b"\x7f\xff\xff\xff", b"\0" * 4))
            return data[:inside] + new + data[inside + len(new) :]
        case 4:
            new = rnd.choice((b"\0", b"\1", b"\2", b"\xff\xff\xff\xff\x0f", b"\x80\0", b"\x80" * 5 + b"\1"))
            return data[:inside] + new + data[inside + 1 :]
        case 5:
            return data[:at] + rnd.randbytes(rnd.randrange(1, 5)) + data[at:]
        case _:
            return data[:at] + data[at + rnd.randrange(1, 9) :]


def seeds() -> Iterator[int]:
    yield from range(MUTATIONS // CHUNK)


@pytest.mark.slow
def test_damaged_vectors() -> None:
    left = 0
    for seed in seeds():
        left += assert_same(mutated(random.Random(seed), CHUNK), note=f"seed {seed}")
    # Both sides of the line were walked: many were accepted by the columns, many were not.
    assert 0.2 < left / (len(range(MUTATIONS // CHUNK)) * CHUNK) < 0.95


def test_every_prefix_and_every_bit_of_short_vectors() -> None:
    short = [(key, value) for key, value in vector_pairs() if value is not None and len(value) < 120]
    chosen = {(key[:2], value[:2], len(value) // 40): (key, value) for key, value in short if key is not None}
    for key, value in chosen.values():
        pairs: list[Pair] = [(key, value[:length]) for length in range(len(value))]
        pairs += [(key, value + b"\x00")]
        for index in range(len(value) * 8):
            changed = bytearray(value)
            changed[index // 8] ^= 1 << index % 8
            pairs.append((key, bytes(changed)))
        assert_same(pairs, note=f"{key.hex()} {value.hex()}")
