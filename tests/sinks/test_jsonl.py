"""JSON lines by Arrow kernels equal a plain rendering of the same values."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from offdecode.model import DecodedChunk
from offdecode.schemas.rows import RowOptions, row_type
from offdecode.sinks.jsonl import JsonLinesSink, Timestamps

TEXTS = [
    "", "plain", 'quote " and \\ backslash', "nul \x00 inside", "tab\tand\nnewline\r", "\x1b[31mescape", "\x7f del",
    "消费者组", "emoji 🎉", "\u2028 line separator \u2029", "\u0085", "a" * 40_000, '"', "\\", "\x1f", "</script>", "é",
]  # fmt: skip


def batch_of(name: str, rows: list[dict[str, Any]]) -> pa.RecordBatch:
    schema = row_type(name).arrow_schema
    return pa.RecordBatch.from_arrays(
        [pa.array([row.get(item.name) for row in rows], item.type) for item in schema], schema=schema
    )


def written(batches: dict[str, pa.RecordBatch], order: list[int], timestamps: Timestamps = "ms") -> list[str]:
    stream = io.BytesIO()
    chunk = DecodedChunk(batches, np.asarray(order, np.int64))
    JsonLinesSink(stream, RowOptions(), timestamps).write(chunk)
    lines = stream.getvalue().decode("utf-8").split("\n")
    assert lines.pop() == ""
    return lines


def commit(**fields: Any) -> dict[str, Any]:
    return {"type": "offset_commit", "log_offset": 1, "tombstone": False, "group": "g", "topic": "t", **fields}


@pytest.mark.parametrize("text", TEXTS, ids=range(len(TEXTS)))
def test_text_is_exact_and_unescaped(text: str) -> None:
    (line,) = written({"offset_commit": batch_of("offset_commit", [commit(metadata=text)])}, [0])
    assert json.loads(line)["metadata"] == text
    assert f'"metadata":{json.dumps(text, ensure_ascii=False)}' in line or "\x7f" in text


def test_every_text_in_one_column() -> None:
    rows = [commit(metadata=text, group=text) for text in TEXTS]
    lines = written({"offset_commit": batch_of("offset_commit", rows)}, list(range(len(rows))))
    assert [json.loads(line)["metadata"] for line in lines] == TEXTS
    assert [json.loads(line)["group"] for line in lines] == TEXTS


@pytest.mark.parametrize("number", [0, -1, 2**53 + 1, 2**63 - 1, -(2**63), 1712238412889623552])
def test_integers_are_exact(number: int) -> None:
    (line,) = written({"offset_commit": batch_of("offset_commit", [commit(offset=number)])}, [0])
    assert json.loads(line)["offset"] == number


@pytest.mark.parametrize("timestamps", ["ms", "iso"])
@pytest.mark.parametrize(
    "times",
    [[5, 6, 7, 8, 9], [7] * 9, [7] * 9 + [-8] * 9, [None] * 9 + [7] * 9, [0] * 5 + [None] * 9, [2**63 - 1] * 5 + [7]],
)
def test_numbers_that_repeat(times: list[int | None], timestamps: Timestamps) -> None:
    rows = [commit(expire_timestamp=time, offset=time) for time in times]
    lines = written({"offset_commit": batch_of("offset_commit", rows)}, list(range(len(rows))), timestamps)
    alone = [
        line for row in rows for line in written({"offset_commit": batch_of("offset_commit", [row])}, [0], timestamps)
    ]
    assert lines == alone
    assert [json.loads(line)["offset"] for line in lines] == times


MEMBER = {
    "member_id": "m", "group_instance_id": None, "client_id": 'c"', "client_host": "/h", "rebalance_timeout": 1,
    "session_timeout": -1,
}  # fmt: skip
EMPTY_PART = {"version": None, "topics": None, "user_data": None, "owned_partitions": None, "generation_id": None}


def test_nested_values() -> None:
    decoded = {
        "version": 1, "topics": ["a", 'b"'], "user_data": None,
        "owned_partitions": [{"topic": "a", "partitions": [1, 2]}, {"topic": "é", "partitions": []}],
        "generation_id": None, "rack_id": None,
    }  # fmt: skip
    opaque = {"hex": "00ff"}
    rows = [
        {"type": "group_metadata", "log_offset": 1, "tombstone": False, "members": members}
        for members in (
            None,
            [],
            [{**MEMBER, "subscription": decoded, "assignment": opaque}, {**MEMBER, "subscription": opaque}],
            [{**MEMBER, "subscription": None, "assignment": {"version": 0, "assigned_partitions": []}}],
        )
    ]
    lines = [json.loads(line) for line in written({"group_metadata": batch_of("group_metadata", rows)}, [0, 1, 2, 3])]
    assert lines[0]["members"] is None
    assert lines[1]["members"] == []
    first, second = lines[2]["members"]
    assert first == {**MEMBER, "subscription": decoded, "assignment": opaque}
    assert second == {**MEMBER, "subscription": opaque, "assignment": None}
    (third,) = lines[3]["members"]
    assert third["assignment"] == {"version": 0, "assigned_partitions": [], "user_data": None}


LISTS: list[list[list[int] | None]] = [
    [[0]], [[]], [None], [[], [2, 2, 0], None, [1], []], [None, [0, 1, 2, 0, 1], [2]], [[1, 1]] * 300, [[], [], []],
]  # fmt: skip


@pytest.mark.parametrize("lists", LISTS, ids=range(len(LISTS)))
@pytest.mark.parametrize("skipped", [0, 1])
def test_elements_by_number_are_written_as_the_elements(lists: list[list[int] | None], skipped: int) -> None:
    column = next(item for item in row_type("group_metadata").columns if item.name == "members")
    members: list[Any] = [{**MEMBER, "member_id": text} for text in ("m", 'quote "', "")]
    kind = row_type("group_metadata").arrow_schema.field("members").type
    plain = pa.array([items and [members[one] for one in items] for items in lists], kind)[skipped:]
    numbers = pa.array(lists, pa.list_(pa.int32()))
    elements = pa.DictionaryArray.from_arrays(numbers.values, pa.array(members, kind.value_type))
    mask = pa.array([items is None for items in lists])
    coded = pa.ListArray.from_arrays(numbers.offsets, elements, mask=mask)[skipped:]
    sink = JsonLinesSink(io.BytesIO(), RowOptions())
    texts = sink.text(column, coded).to_pylist()
    assert texts == sink.text(column, plain).to_pylist()
    ids = [text and [member["member_id"] for member in json.loads(text) or []] for text in texts]
    assert ids == [[members[one]["member_id"] for one in items or []] for items in lists[skipped:]]


def test_optional_columns_only_where_there_is_something() -> None:
    rows = [
        commit(),
        commit(unknown_tagged_fields=[{"tag": 9, "hex": "00"}], invalid_text=["group"]),
        commit(headers=[{"key": "k", "value": None}]),
    ]
    lines = [json.loads(line) for line in written({"offset_commit": batch_of("offset_commit", rows)}, [0, 1, 2])]
    assert [sorted(line.keys() & {"unknown_tagged_fields", "invalid_text", "headers"}) for line in lines] == [
        [], ["invalid_text", "unknown_tagged_fields"], ["headers"],
    ]  # fmt: skip
    assert lines[1]["unknown_tagged_fields"] == [{"tag": 9, "hex": "00"}]
    assert lines[2]["headers"] == [{"key": "k", "value": None}]


def test_rows_of_several_types_come_in_log_order() -> None:
    commits = batch_of("offset_commit", [commit(log_offset=offset) for offset in (1, 4)])
    groups = batch_of("group_metadata", [{"type": "group_metadata", "log_offset": offset} for offset in (2, 3)])
    lines = written({"offset_commit": commits, "group_metadata": groups}, [0, 2, 3, 1])
    assert [json.loads(line)["log_offset"] for line in lines] == [1, 2, 3, 4]


@pytest.mark.parametrize("milliseconds", [0, -1, 1, 999, 1_700_000_000_123, 253_402_300_799_999, -62_135_596_800_000])
def test_iso_times(milliseconds: int) -> None:
    (line,) = written({"offset_commit": batch_of("offset_commit", [commit(expire_timestamp=milliseconds)])}, [0], "iso")
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=milliseconds)
    assert json.loads(line)["expire_timestamp"] == moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


@pytest.mark.parametrize("milliseconds", [2**63 - 1, -(2**63), 253_402_300_800_000, -62_135_596_800_001])
def test_iso_prints_the_number_outside_the_calendar(milliseconds: int) -> None:
    (line,) = written({"offset_commit": batch_of("offset_commit", [commit(expire_timestamp=milliseconds)])}, [0], "iso")
    assert json.loads(line)["expire_timestamp"] == milliseconds


def test_an_empty_chunk_writes_nothing() -> None:
    assert written({}, []) == []
