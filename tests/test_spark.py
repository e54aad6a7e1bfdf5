"""The Spark data source: its rows are those of each question, however they are cut, and where tasks fail."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import offdecode
from offdecode import Answer, Problem
from tests.truth import FIXTURES, log_sets

pytestmark = pytest.mark.slow
if "OFFDECODE_REQUIRE_BROKER" not in os.environ:
    pytest.importorskip("pyspark", reason="pip install 'offdecode[spark]'")

GROUPS = FIXTURES / "kafka-4.4.0-all-groups" / "log"
TRANSACTIONS = FIXTURES / "kafka-4.4.0-transactions-tv1" / "log"
EVERY = [one.log for one in log_sets()] if os.environ.get("OFFDECODE_SEGMENTS") else [GROUPS, TRANSACTIONS]


@pytest.fixture(scope="module")
def spark() -> Iterator[Any]:
    from pyspark.sql import SparkSession

    from offdecode.spark import OffsetsLogs

    os.environ["PYSPARK_PYTHON"] = sys.executable
    settings = {
        "spark.ui.enabled": "false", "spark.sql.session.timeZone": "UTC", "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.host": "127.0.0.1", "spark.ui.showConsoleProgress": "false",
    }  # fmt: skip
    builder = SparkSession.builder.master("local[2,3]").appName("offdecode")
    for name, value in settings.items():
        builder = builder.config(name, value)
    session = builder.getOrCreate()
    session.sparkContext.setLogLevel("OFF")
    session.dataSource.register(OffsetsLogs)
    yield session
    session.stop()


def loaded(spark: Any, row_type: str, path: Path | list[Path], **options: Any) -> Any:
    reader = spark.read.format("offdecode").option("type", row_type)
    for name, value in options.items():
        reader = reader.option(name.replace("_", "-"), value)
    return reader.load([*map(str, path)] if isinstance(path, list) else str(path))


def told(rows: list[dict[str, Any]]) -> Counter[str]:
    return Counter(repr(sorted(row.items())) for row in rows)


def told_problems(path: Path) -> list[dict[str, Any]]:
    found: list[Problem] = []
    assert list(offdecode.decode(path, on_problem=found.append).rows())
    return [one.as_dict() for one in found]


def of_spark(frame: Any) -> Counter[str]:
    return told(frame.toArrow().to_pylist())


def of_python(answer: Answer, row_type: str) -> Counter[str]:
    return told(answer.table(row_type).to_pylist())


@pytest.mark.parametrize("log", EVERY, ids=lambda log: str(log.relative_to(log.parents[1])))
def test_rows_of_every_type_are_those_of_its_question(log: Path, spark: Any) -> None:
    from offdecode.schemas.rows import row_type_names
    from offdecode.spark import OffsetsLogs

    answers = {
        "": (offdecode.decode(log), row_type_names()),
        "state": (offdecode.state(log), ("committed_offset", "pending_offset", "group")),
        "generations": (offdecode.generations(log), ("generation",)),
        "summary": (offdecode.generations(log, summary=True), ("generation_summary",)),
        "explain": (offdecode.explain(log), ("movement", "hidden_range")),
        "groups": (offdecode.groups(log), ("group_overview",)),
        "growth": (offdecode.growth(log), ("growth", "compaction")),
        "lag": (offdecode.lag(log), ("lag",)),
        "transactions": (offdecode.transactions(log), ("transaction",)),
    }
    for answer, names in answers.values():
        tables = answer.tables()
        for name in names:
            if tables[name].num_rows:
                assert of_spark(loaded(spark, name, log, most_bytes=50_000)) == told(tables[name].to_pylist()), name
            else:  # a job that finds nothing takes as long as another
                assert OffsetsLogs({"type": name, "path": str(log)}).schema().names == tables[name].column_names


@pytest.mark.parametrize("parts", [1, 2, 7, 50])
def test_transactions_across_every_cut(parts: int, spark: Any) -> None:
    size = sum(file.stat().st_size for file in (TRANSACTIONS / "__consumer_offsets-3").glob("*.log"))
    frame = loaded(spark, "offset_commit", TRANSACTIONS, log_partition=3, most_bytes=-(-size // parts))
    assert frame.rdd.getNumPartitions() == parts
    answer = offdecode.decode(TRANSACTIONS, row_types=["offset_commit"], log_partitions=[3])
    assert of_spark(frame) == of_python(answer, "offset_commit")


def test_options_and_filters_are_those_of_the_command_line(spark: Any) -> None:
    some = sorted(offdecode.decode(GROUPS).table("offset_commit").column("group").to_pylist())[::500]
    answer = offdecode.decode(GROUPS, row_types=["offset_commit"], groups=some, with_generation=True)
    listed = "[" + ", ".join(f'"{name}"' for name in some) + "]"
    frame = loaded(spark, "offset_commit", GROUPS, group=listed, with_generation="true")
    assert of_spark(frame) == of_python(answer, "offset_commit")
    spark.conf.set("spark.sql.python.filterPushdown.enabled", "true")
    frame = loaded(spark, "offset_commit", GROUPS, push_filters="true")
    wanted = offdecode.decode(GROUPS, row_types=["offset_commit"], groups=some[:2]).table("offset_commit")
    assert of_spark(frame.filter(frame["group"].isin(some[:2]))) == told(wanted.to_pylist())
    one = offdecode.explain(GROUPS, groups=[some[0]]).table("movement")
    frame = loaded(spark, "movement", [GROUPS], push_filters="true")
    assert of_spark(frame.filter(frame["group"] == some[0])) == told(one.to_pylist())
    spark.conf.unset("spark.sql.python.filterPushdown.enabled")
    moment = "2026-11-23T07:59:20Z"
    frame = loaded(spark, "committed_offset", TRANSACTIONS, as_of=moment)
    assert frame.rdd.getNumPartitions() == 4
    assert of_spark(frame) == of_python(offdecode.state(TRANSACTIONS, as_of=moment), "committed_offset")


def test_a_filter_has_only_what_it_wants_read() -> None:
    from pyspark.sql.datasource import EqualTo
    from pyspark.sql.datasource import Filter as SparkFilter

    from offdecode.spark import OffsetsLogs

    source = OffsetsLogs({"type": "offset_commit", "push-filters": "true", "path": str(GROUPS)})
    reader = source.reader(source.schema())
    name = offdecode.decode(GROUPS).table("offset_commit").column("group")[0].as_py()
    wanted: list[SparkFilter] = [EqualTo(("group",), name), EqualTo(("offset",), 1)]
    assert list(reader.pushFilters(wanted)) == wanted
    rows = sum(len(batch) for task in reader.partitions() for batch in reader.read(task))
    assert rows == offdecode.decode(GROUPS, row_types=["offset_commit"], groups=[name]).table("offset_commit").num_rows


def test_a_schema_has_the_columns_that_are_wanted(tmp_path: Path, spark: Any) -> None:
    wanted = offdecode.decode(GROUPS, row_types=["offset_commit"]).table("offset_commit").select(["offset", "group"])
    reader = spark.read.format("offdecode")
    found = reader.schema("offset long, group string").load(str(GROUPS)).toArrow()
    assert found.column_names == wanted.column_names
    assert told(found.to_pylist()) == told(wanted.to_pylist())
    (log, *_) = sorted(GROUPS.glob("*/*.log"), key=lambda path: -path.stat().st_size)
    (tmp_path / log.name).write_bytes(log.read_bytes() + b"x" * 100)
    problems = reader.option("type", "problem").schema("kind string, message string").load(str(tmp_path))
    kinds = [one["kind"] for one in told_problems(tmp_path)]
    assert kinds
    assert [row["kind"] for row in problems.collect()] == kinds
    for schema, words in (("lag long", "no column 'lag' of offset_commit"), ("offset int", "bigint, not int")):
        with pytest.raises(Exception, match=words):
            spark.read.format("offdecode").schema(schema).load(str(GROUPS)).collect()


def test_problems_are_rows(tmp_path: Path, spark: Any) -> None:
    damaged = tmp_path / "__consumer_offsets-3"
    damaged.mkdir()
    for file in (TRANSACTIONS / "__consumer_offsets-3").glob("*.log"):
        data = bytearray(file.read_bytes())
        for at in range(500, len(data), 3_000):
            data[at] ^= 0xFF
        (damaged / file.name).write_bytes(data)
    problems: list[Problem] = []
    rows = list(offdecode.decode(tmp_path, on_problem=problems.append).rows())
    assert rows
    expected = told([{"type": "problem", **problem.as_dict()} for problem in problems])
    for most_bytes in (1 << 30, 4_000):
        assert of_spark(loaded(spark, "problem", tmp_path, most_bytes=most_bytes)) == expected


@pytest.mark.filterwarnings("ignore:PySpark does not yet fully support pandas")
def test_a_task_that_dies_is_done_again(tmp_path: Path, spark: Any) -> None:
    died = tmp_path / "died"

    def die_once(batches: Iterator[Any]) -> Iterator[Any]:
        for batch in batches:
            yield batch
            if not died.exists():
                died.touch()
                os._exit(1)

    frame = loaded(spark, "offset_commit", TRANSACTIONS, most_bytes=5_000)
    found = of_spark(frame.mapInArrow(die_once, frame.schema))
    assert died.exists()
    assert found == of_python(offdecode.decode(TRANSACTIONS, row_types=["offset_commit"]), "offset_commit")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"type": "offset_comit"}, "there is no row type 'offset_comit'"),
        ({"grup": "x"}, "there is no option 'grup'"),
        ({"as-of": "2026-11-23"}, "as_of"),
        ({"with-batch": "perhaps"}, "true or false"),
        ({"partition": "one"}, "whole number"),
        ({"type": "problem", "question": "why"}, "there is no question 'why'"),
        ({"path": ""}, "which log"),
    ],
)  # fmt: skip
def test_wrong_options_are_named(options: dict[str, str], words: str) -> None:
    from offdecode.spark import OffsetsLogs

    with pytest.raises(offdecode.UsageError, match=words):
        OffsetsLogs({"path": str(GROUPS), **options}).schema()
