"""The Python API beside the command line: the same rows, options by the same names, streams and tables."""

from __future__ import annotations

import inspect
import json
import warnings
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import offdecode
from offdecode import Answer, Problem, ProblemWarning, UsageError
from offdecode.options import Filter, Source, options_of
from tests.command import rows_of, run
from tests.truth import FIXTURES

LOG = FIXTURES / "kafka-4.4.0-all-groups" / "log"
TRANSACTIONS = FIXTURES / "kafka-4.4.0-transactions-tv1" / "log"

ASKED: dict[str, tuple[Callable[..., Answer], dict[str, Any], tuple[str, ...]]] = {
    "decode": (offdecode.decode, {}, ()),
    "decode-topics": (offdecode.decode, {"topics": ["orders"], "with_generation": True},
                      ("--topic", "orders", "--with-generation")),
    "state": (offdecode.state, {"as_of_offset": (1, 50)}, ("--as-of-offset", "1:50")),
    "generations": (offdecode.generations, {"group_regex": "^b"}, ("--group-regex", "^b")),
    "generations-summary": (offdecode.generations, {"summary": True}, ("--summary",)),
    "explain": (offdecode.explain, {"partitions": [0]}, ("--partition", "0")),
    "explain-kinds": (offdecode.explain, {"kinds": ("rewind", "tombstone", "first"), "notable": True},
                      ("--kind", "rewind", "--kind", "tombstone", "--kind", "first", "--notable")),
    "lag-as-of": (offdecode.lag, {"as_of": 1795420750000}, ("--as-of", "1795420750000")),
    "lag-every": (offdecode.lag, {"every": "10s"}, ("--every", "10s")),
    "state-lag": (offdecode.state, {"with_lag": True}, ("--with-lag",)),
    "lag": (offdecode.lag, {"topics": ["orders"]}, ("--topic", "orders")),
    "growth": (offdecode.growth, {"by": ["topic", "hour"]}, ("--by", "topic", "--by", "hour")),
    "groups": (offdecode.groups, {"notable": True}, ("--notable",)),
    "transactions": (offdecode.transactions, {"only_open": True}, ("--open",)),
    "transactions-status": (offdecode.transactions, {"statuses": ["aborted", "open"]},
                            ("--status", "aborted", "--status", "open")),
}  # fmt: skip


def rows(answer: Answer) -> list[dict[str, Any]]:
    return [*answer.rows()]


def plain(row: dict[str, Any]) -> dict[str, Any]:
    """A row as JSON may show it: without columns that are null, times in milliseconds."""
    found = {}
    for name, value in row.items():
        if isinstance(value, datetime):
            value = round((value - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds() * 1000)
        found[name] = int(value) if isinstance(value, float) and value.is_integer() else value
    free = ("metadata", "streams_metadata")
    return {name: value for name, value in found.items() if isinstance(value, (int, float, str)) and name not in free}


@pytest.mark.parametrize("name", ASKED)
@pytest.mark.parametrize("log", [LOG, TRANSACTIONS], ids=["groups", "transactions"])
def test_the_rows_are_the_command_lines(name: str, log: Path) -> None:
    ask, options, arguments = ASKED[name]
    lines = rows_of(run(name.split("-")[0], *arguments, log).stdout)
    answer = ask(log, **options)
    ours = sorted(json.dumps(plain(row), sort_keys=True) for row in answer.rows())
    assert ours == sorted(json.dumps(plain(line), sort_keys=True) for line in lines)
    assert {row["type"] for row in answer.rows()} <= set(answer.row_types)


def test_a_stream_of_one_type_feeds_other_engines() -> None:
    reader = offdecode.decode(LOG).reader("offset_commit")
    assert isinstance(reader, pa.RecordBatchReader)
    with duckdb.connect() as connection:
        (count,) = connection.execute("select count(*) from reader").fetchone() or (0,)
    assert count == offdecode.read_table(LOG).num_rows > 0


def test_tables_by_row_type_have_the_schema_of_each() -> None:
    answer = offdecode.state(LOG, types=["group", "committed_offset"])
    tables = answer.tables()
    assert list(tables) == ["group", "committed_offset"]
    assert tables["group"].num_rows > 0
    assert answer.table("group").schema == tables["group"].schema
    with pytest.raises(UsageError, match="which row type"):
        answer.table()


def test_times_may_be_numbers_texts_or_datetimes() -> None:
    times = [row["log_timestamp"] for row in offdecode.decode(LOG, row_types=["offset_commit"]).rows()]
    middle = sorted(times)[len(times) // 2]
    number = round(middle.timestamp() * 1000)
    counts = {
        offdecode.read_table(LOG, since=since).num_rows
        for since in (number, str(number), middle, middle.isoformat(), middle.replace(tzinfo=None))
    }
    assert len(counts) == 1
    assert 0 < counts.pop() < len(times)


def test_problems_are_warnings_or_reported(tmp_path: Path) -> None:
    directory = tmp_path / "__consumer_offsets-0"
    directory.mkdir()
    (directory / f"{0:020}.log").write_bytes(next(LOG.rglob("*.log")).read_bytes() + b"\xff" * 99)
    problems: list[Problem] = []
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        list(offdecode.explain(tmp_path, on_problem=problems.append))
    assert [problem.kind for problem in problems] == ["garbage_tail"]
    with pytest.warns(ProblemWarning, match="99 bytes"):
        list(offdecode.explain(tmp_path))


def test_what_cannot_be_asked_is_said() -> None:
    with pytest.raises(UsageError, match="there is no option 'topcis'; the options are"):
        offdecode.decode(LOG, topcis=["orders"])
    with pytest.raises(UsageError, match="there is no option 'since'; the options are as_log_partition, coordinator,"):
        offdecode.groups(LOG, since=0)  # which other questions take
    with pytest.raises(UsageError, match="coordinator: 'newest' is not one of new, old-live, old-load"):
        offdecode.state(LOG, coordinator="newest")
    with pytest.raises(UsageError, match="there is no row type"):
        offdecode.decode(LOG, row_types=["offset_comit"])
    with pytest.raises(UsageError, match="neither RFC 3339"):
        offdecode.explain(LOG, since="yesterday")


@pytest.mark.parametrize(("name", "value"), [
    ("as_of", 1.5e12), ("as_of", ["2026-11-23"]), ("as_of_offset", "3"), ("as_of_offset", (0, 2.5)), ("groups", 5),
    ("groups", [b"g"]), ("partitions", "3"), ("with_lag", "no"), ("log_partitions", -1), ("log_partitions", 1 << 31),
    ("types", [None]), ("topic_ids", 5), ("topic_ids", "a\0"), ("group_regex", 5), ("group_regex", "("),
    ("group_regex", "a{99999999999}"), ("group_regex", "(" * 3000 + ")" * 3000), ("as_of", True),
    ("as_of", pd.NaT), ("as_of_offset", b"17"), ("as_of_offset", (0, -1)), ("as_of_offset", {0, 20}),
    ("as_of", np.array(["2024-01-01"], dtype="datetime64[ms]")), ("partitions", [np.array(1.5)]),
    ("with_lag", np.array([1, 2])), ("partitions", [True]),
], ids=repr)  # fmt: skip
def test_values_of_another_kind_are_refused(name: str, value: Any) -> None:
    with pytest.raises(UsageError, match=f"^{name}: "):
        offdecode.state(LOG, **{name: value})


def test_values_may_be_pythons_own() -> None:
    times = [row["log_timestamp"] for row in rows(offdecode.decode(LOG))]
    day = times[0].date()
    assert rows(offdecode.decode(LOG, until=day)) == []  # midnight, as of a text
    assert len(rows(offdecode.decode(LOG, since=day))) == len(times)
    assert rows(offdecode.state(LOG, as_of_offset="0:20")) == rows(offdecode.state(LOG, as_of_offset=[0, 20])) != []
    ends = [len(rows(offdecode.groups(LOG, idle_for=idle))) for idle in (timedelta(seconds=9), np.int64(9000), "9s")]
    assert {*ends} == {ends[0]}
    assert 0 < ends[0] < len(rows(offdecode.groups(LOG)))


@pytest.mark.parametrize(("question", "options"), [
    ("explain", {"since": -(1 << 64)}), ("lag", {"as_of": 1 << 70}), ("lag", {"every": 1 << 70}),
    ("groups", {"idle_for": timedelta.max}), ("state", {"coordinator": None}), ("decode", {"topic_name": None}),
], ids=str)  # fmt: skip
def test_values_at_the_ends_are_taken(question: str, options: dict[str, Any]) -> None:
    rows(getattr(offdecode, question)(LOG, on_problem=print, **options))


def test_a_warning_is_about_the_line_that_asked() -> None:
    asked: list[Callable[[Answer], object]] = [rows, list, Answer.tables, lambda answer: answer.table("group")]
    for ask in asked:
        with pytest.warns(UserWarning, match="is not in the evidence") as warned:
            ask(offdecode.state(LOG, groups="no such group"))
        assert {one.filename for one in warned} == {__file__}


def test_names_that_are_not_there_are_warned_of() -> None:
    with pytest.warns(UserWarning, match="group 'no such group' is not in the evidence; there are"):
        assert rows(offdecode.state(LOG, groups="no such group")) == []


def test_signatures_name_the_declared_options() -> None:
    taken = inspect.signature(offdecode.decode).parameters
    for group in (Source, Filter):
        for item, option in options_of(group):
            assert item.name in taken
            assert option.help.split(";")[0] in (offdecode.decode.__doc__ or "")


def test_check_is_the_command_lines() -> None:
    (line, *_) = rows_of(run("check", "--json", LOG).stdout)
    assert next(iter(offdecode.check(LOG))).as_dict() == line
