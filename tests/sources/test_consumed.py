"""What kcat and rpk print of the offsets topic gives the rows of its log, null where they do not tell."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.structs import OffsetAndMetadata

import offdecode
from tests.brokers import StartBroker
from tests.segment_builder import commit
from tests.truth import FIXTURES, LogSet, Row, log_sets, set_id

CONSUMED = FIXTURES.parent / "printed" / "consumed"
KCAT, RPK, RPK_HEX = (CONSUMED / name for name in ("kcat.jsonl", "rpk.json", "rpk-hex.jsonl"))
Place = tuple[int, int, int | None]


def rows_of(path: Path, **options: Any) -> tuple[list[Row], list[offdecode.Problem]]:
    problems: list[offdecode.Problem] = []
    return list(offdecode.decode(path, on_problem=problems.append, **options).rows()), problems


def by_place(rows: list[Row]) -> dict[tuple[int, int], Row]:
    return {(row["log_partition"], row["log_offset"]): row for row in rows}


def differences(told: Any, true: Any, path: str = "") -> list[str]:
    """Where a row says what is not so; null says nothing."""
    if told is None:
        return []
    if isinstance(told, dict) and isinstance(true, dict):
        return [where for name, value in told.items() for where in differences(value, true[name], f"{path}.{name}")]
    if isinstance(told, list) and isinstance(true, list) and len(told) == len(true):
        return [where for one, other in zip(told, true, strict=True) for where in differences(one, other, path)]
    return [] if told == true else [path]


def json_text(data: bytes) -> bytes:
    """Bytes in a JSON string as yajl writes them: as they are, but for what JSON must escape."""
    escaped = {ord('"'): b'\\"', ord("\\"): b"\\\\"}
    return b'"%s"' % b"".join(
        escaped.get(one, b"\\u%04X" % one if one < 0x20 else bytes([one])) for one in data
    )  # fmt: skip


def kcat_line(place: Place, key: bytes | None, value: bytes | None) -> bytes:
    partition, offset, time = place
    stamp = b"" if time is None else b',"tstype":"create","ts":%d' % time
    pair = tuple(b"null" if data is None else json_text(data) for data in (key, value))
    head = b'{"topic":"__consumer_offsets","partition":%d,"offset":%d%s,"broker":1' % (partition, offset, stamp)
    return head + b',"key":%s,"payload":%s}\n' % pair


def rpk_object(place: Place, key: bytes | None, value: bytes | None) -> str:
    """As Go's encoder writes it: U+FFFD for each byte that is no UTF-8, and nothing where there is nothing."""
    partition, offset, time = place
    told: dict[str, Any] = {"topic": "__consumer_offsets"}
    for name, data in (("key", key), ("value", value)):
        if data:
            text = data.decode("utf-8", "surrogateescape")
            told[name] = "".join("\ufffd" if "\udc80" <= one <= "\udcff" else one for one in text)
    return json.dumps({**told, "timestamp": time or 0, "partition": partition, "offset": offset}, indent=2) + "\n"


def data_of(text: str | None) -> bytes | None:
    return None if text is None else bytes.fromhex(text)


@pytest.mark.parametrize("path", [KCAT, RPK_HEX], ids=lambda path: path.stem)
def test_bytes_that_are_told_give_the_rows_of_the_log(path: Path) -> None:
    rows, problems = rows_of(path, raw=True)
    wanted, _ = rows_of(CONSUMED / "__consumer_offsets-2", raw=True)
    assert problems == []
    assert by_place(rows) == by_place(wanted)
    assert len(rows) == len(wanted) == 39


def test_of_lost_bytes_the_rest_is_told() -> None:
    rows, problems = rows_of(RPK, raw=True)
    wanted = by_place(rows_of(CONSUMED / "__consumer_offsets-2", raw=True)[0])
    for place, row in by_place(rows).items():
        assert differences(row, wanted[place]) == []
        names = ("group", "topic", "partition", "metadata", "value_version", "generation", "protocol")
        assert [row.get(name) for name in names] == [wanted[place].get(name) for name in names]
        # A byte below 0x80 is never lost.
        if row["type"] == "offset_commit":
            lost = any(byte > 0x7F for byte in wanted[place]["offset"].to_bytes(8))
            assert (row["offset"] is None) == lost
    assert {problem.kind for problem in problems} == {"bad_export_line"}
    assert (len(rows), len(problems)) == (33, 6)


@pytest.mark.parametrize("log_set", log_sets(), ids=set_id)
def test_records_of_every_log(log_set: LogSet, tmp_path: Path) -> None:
    """Written as kcat and rpk would have; of the second no field is wrong, and no place of a record."""
    records: list[tuple[Place, bytes | None, bytes | None]] = []
    for one in log_set.records:
        if not one.get("control"):
            time = one["log_timestamp"] if one["log_timestamp"] != -1 else None  # of message format 0
            place = one["log_partition"], one["log_offset"], time
            records.append((place, data_of(one["key_hex"]), data_of(one["value_hex"])))
    if len(records) > 4000:
        records = records[:: len(records) // 4000]
    wanted = by_place(rows_of(log_set.log)[0])
    path = tmp_path / "printed"
    path.write_bytes(b"".join(kcat_line(*one) for one in records))
    rows, problems = rows_of(path)
    assert problems == [] or {problem.kind for problem in problems} == {"undecodable_record"}
    assert len(rows) == len(records)
    untold = {"producer_id": -1, "transaction": None, "headers": None}
    for at, row in by_place(rows).items():
        assert {**row, **untold} == {**wanted[at], **untold}
    path.write_text("".join(rpk_object(*one) for one in records), "utf-8")
    rows, problems = rows_of(path)
    assert {problem.kind for problem in problems} <= {"bad_export_line", "undecodable_record"}
    assert len(rows) + sum(problem.kind == "bad_export_line" for problem in problems) == len(records)
    for at, row in by_place(rows).items():
        if row["type"] not in ("unknown", "undecodable"):
            assert differences({**row, **untold, "log_timestamp": None}, {**wanted[at], **untold}) == []


def test_a_name_that_itself_holds_the_sign_of_a_lost_byte(tmp_path: Path) -> None:
    """kcat writes it as it is, beside bytes that are no text; where all are text, it cannot be told from a lost one."""
    path = tmp_path / "printed"
    key, value = commit("a\ufffdb", offset=200)
    path.write_bytes(kcat_line((1, 2, 3), key, value))
    rows, problems = rows_of(path)
    assert [(row["group"], row["offset"]) for row in rows] == [("a\ufffdb", 200)]
    assert problems == []
    path.write_bytes(kcat_line((1, 2, 3), key, None))
    rows, problems = rows_of(path)
    assert rows == []
    assert [problem.kind for problem in problems] == ["bad_export_line"]


@pytest.mark.parametrize("line", [
    b'{"topic":"t","partition":0,"offset":1,"key":"\xff","payload":',
    b'{"topic":"t","partition":0,"key":7,"payload":null}',
    b'{"topic":"t","timestamp":1,"key":"\\u0000","value_size":9}',
    b'{"topic":"t","partition":"x","key":"k","payload":null}',
    b'{"topic":"t","key":"\xff' + b"[" * 5000, b"{\n" + b"x\n" * 100, b"}", b'{\n"topic":"t"\n}',
])  # fmt: skip
def test_what_is_no_record_costs_nothing_else(line: bytes, tmp_path: Path) -> None:
    good = kcat_line((0, 1, 2), *commit("g"))
    path = tmp_path / "printed"
    path.write_bytes(
        good + good + (b"" if line.startswith(b"{\n") and not line.endswith(b"}") else line + b"\n") + good
    )
    rows, problems = rows_of(path)
    assert len(rows) == 3
    assert {problem.kind for problem in problems} <= {"bad_export_line"}
    path.write_bytes(good + line)
    rows, problems = rows_of(path)
    assert len(rows) == 1
    assert [(problem.kind, problem.position, problem.length) for problem in problems] == [
        ("bad_export_line", len(good), len(line.removesuffix(b"\n")))
    ]


def test_an_object_over_several_lines_that_does_not_end(tmp_path: Path) -> None:
    path = tmp_path / "printed"
    texts = [rpk_object((0, number, 5), *commit(f"g{number}", offset=7)) for number in range(4)]
    torn = texts[1].rpartition("\n}")[0][:-20] + "\n"
    path.write_text(texts[0] + torn + texts[2] + texts[3], "utf-8")
    rows, problems = rows_of(path)
    assert [row["group"] for row in rows] == ["g0", "g2", "g3"]
    assert [(problem.kind, problem.position) for problem in problems] == [("bad_export_line", len(texts[0]))]


def test_objects_that_jq_has_spread(tmp_path: Path) -> None:
    """What the console consumer or kcat printed, a key a line. jq, too, puts U+FFFD for bytes that are no text."""
    if shutil.which("jq") is None:
        pytest.skip("needs jq")
    printed = CONSUMED.parent / "console-consumer-4.3.1.json"
    path = tmp_path / "printed"
    path.write_bytes(subprocess.run(["jq", "."], input=printed.read_bytes(), capture_output=True, check=True).stdout)
    assert rows_of(path) == rows_of(printed)
    path.write_bytes(subprocess.run(["jq", "."], input=KCAT.read_bytes(), capture_output=True, check=True).stdout)
    rows, problems = rows_of(path)
    wanted = by_place(rows_of(CONSUMED / "__consumer_offsets-2")[0])
    assert len(rows) + len(problems) == len(wanted)
    assert len(rows) > 25
    for place, row in by_place(rows).items():
        assert differences(row, wanted[place]) == []


def test_a_large_value_is_no_list_of_values(tmp_path: Path) -> None:
    """A megabyte of commas and brackets in a text is one value; hostile ones outside of texts are refused."""
    path = tmp_path / "printed"
    key, _ = commit("g")
    value = commit("g")[1]
    path.write_bytes(kcat_line((0, 1, 2), key, value) + kcat_line((0, 2, 2), key, b"\0\3,[{\xff" * 200_000))
    rows, _ = rows_of(path)
    assert [row["type"] for row in rows] == ["offset_commit", "undecodable"]
    path.write_bytes(kcat_line((0, 1, 2), key, value) + b'{"payload":"","a":[' + b"[]," * 50_000 + b"]}\n")
    rows, problems = rows_of(path)
    assert len(rows) == 1
    assert "more than" in problems[0].message


@pytest.mark.slow
@pytest.mark.broker
def test_a_real_kcat_on_a_real_broker(start_broker: StartBroker, tmp_path: Path) -> None:
    if shutil.which("kcat") is None:
        reason = "needs kcat"
        if os.environ.get("OFFDECODE_REQUIRE_BROKER") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    broker = start_broker("4.4.0")
    asyncio.run(_commit_some(broker.bootstrap))
    words = ["kcat", "-C", "-J", "-e", "-q", "-b", broker.bootstrap, "-t", "__consumer_offsets", "-o", "beginning"]
    done = subprocess.run(words, capture_output=True, timeout=60, check=True)
    (tmp_path / "printed").write_bytes(done.stdout)
    broker.stop()
    rows, problems = rows_of(tmp_path / "printed", raw=True)
    wanted = by_place(rows_of(broker.data, raw=True)[0])
    assert problems == []
    assert {row["type"] for row in rows} >= {"offset_commit", "group_metadata"}
    for place, row in by_place(rows).items():
        assert row == wanted[place]
    assert len(rows) >= 12


async def _commit_some(bootstrap: str) -> None:
    for group in ("shop", "Zoë"):
        consumer = AIOKafkaConsumer("orders", bootstrap_servers=bootstrap, group_id=group, enable_auto_commit=False)
        await consumer.start()
        while not consumer.assignment():
            await asyncio.sleep(0.1)
        for offset, text in ((3, ""), (200, 'a\n"\\\t\ufffd'), (1 << 40, "ü")):
            partition = TopicPartition("orders", 0)
            await consumer.commit({partition: OffsetAndMetadata(offset, text)})
        await consumer.stop()
