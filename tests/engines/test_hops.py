"""Hops in plain numbers end where the walk of all rows in lockstep ends, whatever the bytes."""

from __future__ import annotations

import random

import numpy as np
import pytest

from offdecode.engines.hops import element_hop
from offdecode.engines.walk import Form, element_end
from offdecode.model import PADDING
from offdecode.schemas.layout import Layout, Struct, iter_structs
from offdecode.schemas.registry import RECORD_TYPES

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


@pytest.mark.parametrize(("name", "struct", "form"), forms(), ids=[name for name, _, _ in forms()])
def test_a_hop_ends_where_the_walk_does(name: str, struct: Struct, form: Form) -> None:
    chance = random.Random(name)
    data = bytearray(PADDING + 3000)
    for at in range(3000):  # small numbers, so that lengths and counts often fit
        data[at] = chance.choice((0, 0, 0, 1, 2, 3, 5, 9, chance.randrange(256)))
    buffer = np.frombuffer(bytes(data), np.uint8)
    start = np.array([chance.randrange(2900) for _ in range(300)])
    end = np.minimum(start + np.array([chance.choice((0, 1, 3, 20, 90)) for _ in start]), 3000)
    walked = element_end(buffer, struct, form, start, end)
    hop = element_hop(struct, form)
    hopped = [hop(buffer.data, *place) for place in zip(start.tolist(), end.tolist(), strict=True)]
    assert hopped == walked.tolist(), name
