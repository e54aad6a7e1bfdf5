"""Exported records give the rows of the segments that they came from."""

from __future__ import annotations

import base64
import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from offdecode.errors import SourceError
from offdecode.model import Problem
from offdecode.request import Request
from offdecode.sinks.jsonl import JsonLinesSink
from tests import command
from tests.asking import a_request, decode
from tests.containers import COMPRESS
from tests.truth import LogSet, Row, log_sets, set_id


def rows_of(request: Request) -> tuple[list[Row], list[Problem]]:
    problems: list[Problem] = []
    stream = io.BytesIO()
    sink = JsonLinesSink(stream, request.columns)
    for chunk in decode(request, problems.append):
        sink.write(chunk)
    return [json.loads(line) for line in stream.getvalue().split(b"\n")[:-1]], problems


def exported(path: Path, lines: list[Any]) -> Request:
    path.write_bytes(b"".join(json.dumps(line).encode() + b"\n" for line in lines))
    return a_request(path, input_format="records-jsonl")


def as_hex(record: Row) -> Row:
    return {name: record[name] for name in ("key_hex", "value_hex")}


def as_base64(record: Row) -> Row:
    def encoded(text: str | None) -> str | None:
        return None if text is None else base64.b64encode(bytes.fromhex(text)).decode()

    return {"key_base64": encoded(record["key_hex"]), "value_base64": encoded(record["value_hex"])}


@pytest.mark.parametrize("suffix", ["", *COMPRESS])
def test_an_export_by_its_url_and_by_pipe(suffix: str, tmp_path: Path) -> None:
    lines = [{**as_hex(record), "offset": number} for number, record in enumerate(log_sets()[0].records[:200])]
    plain = exported(tmp_path / "export.jsonl", lines)
    (path,) = plain.source.paths
    wanted = command.run("decode", path, "--input-format", "records-jsonl").stdout
    assert wanted.count(b"\n") == len(lines)
    if suffix:
        path.write_bytes(COMPRESS[suffix](path.read_bytes()))
    found = command.run("decode", path.as_uri(), "--input-format", "records-jsonl")
    assert (found.status, found.stdout) == (0, wanted)
    found = command.shell(f'"$@" decode - --input-format records-jsonl < {path}')
    assert (found.status, found.stdout) == (0, wanted)
    found = command.shell(f'cat {path} | "$@" decode - --input-format records-jsonl')
    assert (found.status, found.stdout) == (0, wanted)


@pytest.mark.parametrize("suffix", COMPRESS)
def test_a_compressed_export(suffix: str, tmp_path: Path) -> None:
    """Told by its content; what stands before damage comes first."""
    lines = [{**as_hex(record), "offset": number} for number, record in enumerate(log_sets()[0].records)]
    plain = exported(tmp_path / "export.jsonl", lines)
    data = COMPRESS[suffix](plain.source.paths[0].read_bytes())
    wanted = rows_of(plain)
    plain.source.paths[0].write_bytes(data)
    assert rows_of(plain) == wanted
    plain.source.paths[0].write_bytes(data[:-3])
    with pytest.raises(SourceError, match=f"is damaged or cut short: .*, at byte {len(data) - 3}"):
        rows_of(plain)


@pytest.mark.parametrize("encode", [as_hex, as_base64])
@pytest.mark.parametrize("log_set", log_sets(), ids=set_id)
def test_rows_equal_those_of_the_segments(log_set: LogSet, encode: Any, tmp_path: Path) -> None:
    """Markers too, which old clients hand out; without a batch nothing tells whose they are."""
    rows, _ = rows_of(a_request(log_set.log))
    lines, wanted = [], []
    for row, record in zip(rows, log_set.records, strict=True):
        lines.append({
            **encode(record), "partition": record["log_partition"], "offset": record["log_offset"],
            "timestamp": None if record["magic"] == 0 else record["log_timestamp"],
        })  # fmt: skip
        without = {"producer_epoch": -1} if record["control"] is not None else {}
        wanted.append({**row, "producer_id": -1, "transaction": None, **without})
    assert rows_of(exported(tmp_path / "export.jsonl", lines)) == (wanted, [])


KEY = "0001000567726f75700005746f70696300000003"
VALUE = "00030000000000000001ffffffff00056669727374000001a2077855bd"


def test_what_is_not_known_is_null(tmp_path: Path) -> None:
    (row,), problems = rows_of(exported(tmp_path / "export.jsonl", [{"key_hex": KEY, "value_hex": VALUE}]))
    assert problems == []
    assert [row[name] for name in ("log_partition", "log_offset", "log_timestamp")] == [None, None, None]
    assert (row["group"], row["topic"], row["partition"], row["offset"]) == ("group", "topic", 3, 1)


def test_with_batch_has_the_file_only(tmp_path: Path) -> None:
    request = exported(tmp_path / "export.jsonl", [{"key_hex": KEY, "value_hex": VALUE}])
    (row,), _ = rows_of(replace(request, columns=replace(request.columns, with_batch=True)))
    assert row["segment"] == str(tmp_path / "export.jsonl")
    assert [row[name] for name in ("magic", "codec", "batch_position", "crc_valid")] == [None] * 4


BAD_LINES: list[tuple[Any, str]] = [
    ("not json", "the line is no JSON object"),
    ([1], "the line is no JSON object"),
    ({}, "key: there is no key_hex and no key_base64"),
    ({"key_hex": KEY}, "value: there is no value_hex and no value_base64"),
    ({"key_hex": "0", "value_hex": None}, "key_hex: key_hex is no hex text"),
    ({"key_hex": 5, "value_hex": None}, "key_hex: key_hex is no hex text"),
    ({"key_base64": "?", "value_hex": None}, "key_base64: key_base64 is no base64 text"),
    ({"key_hex": KEY, "value_hex": VALUE, "offset": "7"}, "offset: offset is no integer of 64 bits"),
    ({"key_hex": KEY, "value_hex": VALUE, "offset": 2**63}, "offset: offset is no integer of 64 bits"),
    ({"key_hex": KEY, "value_hex": VALUE, "partition": True}, "partition: partition is no integer of 32 bits"),
]


@pytest.mark.parametrize(("line", "message"), BAD_LINES, ids=range(len(BAD_LINES)))
def test_a_bad_line_is_a_problem_and_the_rest_is_read(line: Any, message: str, tmp_path: Path) -> None:
    good = {"key_hex": KEY, "value_hex": VALUE, "partition": 4}
    rows, (problem,) = rows_of(exported(tmp_path / "export.jsonl", [good, line, good]))
    assert len(rows) == 2
    assert (problem.kind, problem.message) == ("bad_export_line", message)
    assert problem.position == len(json.dumps(good)) + 1
    assert problem.length == len(json.dumps(line))


def test_undecodable_records_are_rows_and_problems(tmp_path: Path) -> None:
    lines = [{"key_hex": KEY, "value_hex": VALUE[:-2], "offset": 8}, {"key_hex": KEY, "value_hex": None}]
    rows, (problem,) = rows_of(exported(tmp_path / "export.jsonl", lines))
    assert [row["type"] for row in rows] == ["undecodable", "offset_commit"]
    assert (problem.kind, problem.log_offset, problem.position) == ("undecodable_record", 8, None)


def test_control_records_are_markers_in_every_question(tmp_path: Path) -> None:
    """Also where an export starts with them; what is only like one is undecodable."""
    marker, other = {"key_hex": "00000001", "value_hex": "000000000007"}, {"key_hex": "00000001", "value_hex": "00"}
    lines = [marker, {"key_hex": "00000000", "value_hex": "000000000000"}, {"key_hex": KEY, "value_hex": VALUE}, other]
    rows, (problem,) = rows_of(exported(tmp_path / "export.jsonl", lines))
    assert [(row["type"], row.get("marker"), row.get("coordinator_epoch")) for row in rows] == [
        ("transaction_marker", "commit", 7), ("transaction_marker", "abort", 0), ("offset_commit", None, None),
        ("undecodable", None, None),
    ]  # fmt: skip
    assert problem.kind == "undecodable_record"
    for question in ("state", "generations", "explain", "transactions", "groups"):
        done = command.run(question, "--input-format", "records-jsonl", tmp_path / "export.jsonl")
        assert done.status in (0, 1), question
        assert {row["group"] for row in done.rows if "group" in row} <= {"group"}, question


def test_other_topics_are_refused(tmp_path: Path) -> None:
    lines = [{"key_hex": b"user-1".hex(), "value_hex": "7b7d"}] * 5
    with pytest.raises(SourceError, match="does not look like an offsets log"):
        rows_of(exported(tmp_path / "export.jsonl", lines))


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="cannot be read: No such file"):
        rows_of(a_request(tmp_path / "nothing", input_format="records-jsonl"))


@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n", b"\n\n\n"], ids=["none", "lf", "crlf", "blank"])
def test_line_ends(end: bytes, tmp_path: Path) -> None:
    path = tmp_path / "export.jsonl"
    line = json.dumps({"key_hex": KEY, "value_hex": VALUE}).encode()
    path.write_bytes(line + (b"\r\n" if end == b"\r\n" else b"\n") + line + end)
    rows, problems = rows_of(a_request(path, input_format="records-jsonl"))
    assert (len(rows), problems) == (2, [])
