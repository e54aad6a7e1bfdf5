"""Hops in plain numbers end where the walk of all rows in lockstep ends, whatever the bytes."""

from __future__ import annotations

import random
import struct

import numpy as np
import pytest

from offdecode.engines.hops import element_hop
from offdecode.engines.walk import Form, element_end
from offdecode.model import PADDING
from offdecode.schemas.layout import Layout, Struct, iter_structs
from offdecode.schemas.registry import RECORD_TYPES
from tests.engines.test_engines import assert_same
from tests.records_builder import Pair
from tests.segment_builder import text

LAYOUTS: dict[str, Layout] = {
    f"{layout.name}-{layout.shape}": layout for record in RECORD_TYPES for layout in (record.key, *record.values)
}


def forms() -> list[tuple[str, Struct, Form]]:
    found = []
    for name, layout in LAYOUTS.items():
        for version in range(8):
            if layout.layout_version(version) is None:
                continue
            form = Form(version, layout.flexible_in(version), layout.shape is not None)
            for number, fields in enumerate(iter_structs(layout.fields)):
                found.append((f"{name}-v{version}-{number}", Struct(layout.name, fields), form))
    return found


@pytest.mark.parametrize(("name", "layout", "form"), forms(), ids=[name for name, _, _ in forms()])
def test_a_hop_ends_where_the_walk_does(name: str, layout: Struct, form: Form) -> None:
    chance = random.Random(name)
    data = bytearray(PADDING + 3000)
    for at in range(3000):  # small numbers, so that lengths and counts often fit
        data[at] = chance.choice((0, 0, 0, 1, 2, 3, 5, 9, chance.randrange(256)))
    buffer = np.frombuffer(bytes(data), np.uint8)
    start = np.array([chance.randrange(2900) for _ in range(300)])
    end = np.minimum(start + np.array([chance.choice((0, 1, 3, 20, 90)) for _ in start]), 3000)
    walked = element_end(buffer, layout, form, start, end)
    hop = element_hop(layout, form)
    hopped = [hop(buffer.data, *place) for place in zip(start.tolist(), end.tolist(), strict=True)]
    assert hopped == walked.tolist(), name


def generation(members: int) -> Pair:
    """A classic generation of value version 3 with so many members."""
    value = struct.pack(">h", 3) + text("consumer") + struct.pack(">i", 7) + text("range") + text("m0")
    value += struct.pack(">qi", 1_700_000_000_000, members)
    for number in range(members):
        value += text(f"m{number}") + struct.pack(">h", -1) + text("client" * (number % 4)) + text("/127.0.0.1")
        value += struct.pack(">ii", 300_000, 45_000) + struct.pack(">i", number % 3) + b"s" * (number % 3)
        value += struct.pack(">i", 0)
    return struct.pack(">h", 2) + text(f"g{members}"), value


def test_a_few_long_arrays_go_on_where_many_short_ones_end() -> None:
    """The rows are handed over from lockstep to hops in the middle of their arrays."""
    pairs = [generation(1 + number % 3) for number in range(40)] + [generation(50 + number) for number in range(3)]
    random.Random(1).shuffle(pairs)
    assert assert_same(pairs) == 0
    (key, value) = generation(50)
    assert value is not None
    for at in range(0, len(value), 7):
        damaged = value[:at] + bytes([value[at] ^ 0x41]) + value[at + 1 :]
        assert_same([*pairs[:30], (key, damaged), (key, value[:at])], note=f"byte {at}")
