"""Shapes that changed without a new version number: read by the layout that wrote them, never as today's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from offdecode.engines.reference import read_layout, read_value
from offdecode.errors import CorruptError
from offdecode.schemas.layout import Layout, RecordType
from offdecode.schemas.registry import RECORD_TYPES
from tests import older_shapes
from tests.vectors import differences, load

BY_KEY_TYPE = {record.key_type: record for record in RECORD_TYPES}
SHAPES = [
    pytest.param(record, layout, id=f"{layout.name}-{shape}") for record, layout, shape in older_shapes.older_layouts()
]


def assert_read(rows: Sequence[dict[str, Any]], record: RecordType, layout: Layout) -> None:
    found = [row for row in rows if (row["key_type"], row["shape"]) == (record.key_type, layout.shape)]
    assert found
    for row in found:
        data = bytes.fromhex(row["value_hex"])
        values = read_layout(layout, row["value_version"], data, 2)
        assert list(differences(layout.fields, row["value_version"], values, row["value"])) == [], row
        chosen, _ = read_value(record, row["value_version"], data, 2)
        assert chosen is layout, row


@pytest.mark.parametrize(("record", "layout"), SHAPES)
def test_older_shape_is_read_by_its_own_layout(record: RecordType, layout: Layout) -> None:
    assert_read(load(older_shapes.FILE, sample_only=True), record, layout)


@pytest.mark.slow
@pytest.mark.broker
def test_older_shapes_written_now() -> None:
    rows = older_shapes.write(seed=1, each=80)
    for record, layout, _ in older_shapes.older_layouts():
        assert_read(rows, record, layout)


def test_an_older_shape_has_no_unknown_tags() -> None:
    """Epoch and one tagged field, as a newer record cut short could look."""
    record = BY_KEY_TYPE[11]
    assert read_value(record, 0, bytes.fromhex("0000002b00"))[0].shape == "4.0.0"
    with pytest.raises(CorruptError):
        read_value(record, 0, bytes.fromhex("0000002b01000101"))


def test_the_newest_layout_gives_the_error() -> None:
    with pytest.raises(CorruptError) as caught:
        read_value(BY_KEY_TYPE[11], 0, bytes.fromhex("0000002b0000000000"), 0, "value")
    assert caught.value.path == "value.metadata_hash"
