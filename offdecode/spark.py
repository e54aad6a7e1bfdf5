"""Offsets logs as a data source of Spark 4: `spark.read.format("offdecode").option("type", ...).load(PATH)`.

    from offdecode.spark import OffsetsLogs
    spark.dataSource.register(OffsetsLogs)

Options are the command line's, without dashes in front: `group`, `since`, `as-of`. One that can be repeated takes a
value, or several as a JSON list. `type` is a row type of any question (default offset_commit), or `problem`: what
could not be read where the question of option `question` is asked (default decode). `most-bytes` and `alone` are those
of `Answer.pieces`: each piece is a task. `push-filters`: groups and topics that Spark filters by are all that is read;
spark.sql.python.filterPushdown.enabled must be true then.

Reference: pyspark.sql.datasource, SPARK-44076.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import pyarrow as pa
from pyspark.sql.datasource import DataSource, DataSourceReader, EqualTo, In, InputPartition
from pyspark.sql.datasource import Filter as SparkFilter
from pyspark.sql.pandas.types import from_arrow_schema
from pyspark.sql.types import StructType

from offdecode.api import TAKEN, Answer, decode, explain, generations, groups, growth, lag, state, transactions
from offdecode.errors import UsageError
from offdecode.model import Problem
from offdecode.options import Option, OptionKind
from offdecode.pieces import MOST_BYTES
from offdecode.schemas.growth_rows import GROWTH_ROW_TYPES
from offdecode.schemas.history_rows import (
    GENERATION_ROW,
    GENERATION_SUMMARY_ROW,
    GROUP_OVERVIEW_ROW,
    HIDDEN_RANGE_ROW,
    MOVEMENT_ROW,
)
from offdecode.schemas.registry import DEFAULT_ROW_TYPE
from offdecode.schemas.rows import row_type_names
from offdecode.schemas.state_rows import LAG_ROW, STATE_ROW_TYPES, TRANSACTION_ROW

PROBLEM_ROW = "problem"
_PROBLEM = pa.schema([
    ("type", pa.string()), ("kind", pa.string()), ("source", pa.string()), ("log_partition", pa.int32()),
    ("position", pa.int64()), ("length", pa.int64()), ("log_offset", pa.int64()), ("message", pa.string()),
])  # fmt: skip
_MOST_PROBLEMS = 1 << 14  # in a batch

_QUESTIONS: dict[str, Callable[..., Answer]] = {
    "decode": decode, "state": state, "generations": generations, "explain": explain, "groups": groups, "lag": lag,
    "growth": growth, "transactions": transactions,
}  # fmt: skip
_ASKED: dict[str, tuple[str, dict[str, Any]]] = {
    **{name: ("decode", {"row_types": (name,)}) for name in row_type_names()},
    **{name: ("state", {"types": (name,)}) for name in STATE_ROW_TYPES},
    **dict.fromkeys((MOVEMENT_ROW, HIDDEN_RANGE_ROW), ("explain", {})),
    **dict.fromkeys(GROWTH_ROW_TYPES, ("growth", {})),
    GENERATION_ROW: ("generations", {}),
    GENERATION_SUMMARY_ROW: ("generations", {"summary": True}),
    GROUP_OVERVIEW_ROW: ("groups", {}),
    LAG_ROW: ("lag", {}),
    TRANSACTION_ROW: ("transactions", {}),
}
_DECLARED: dict[str, tuple[str, Option]] = {
    flag.lstrip("-"): (item.name, declared)
    for question in _QUESTIONS for item, declared in TAKEN[question] for flag in declared.flags if flag != "--type"
}  # fmt: skip
_WHOLE_NUMBERS = (OptionKind.INTEGER, OptionKind.PARTITION, OptionKind.COUNT, OptionKind.POSITIVE)
# Of the columns that Spark filters by: the option that wants the same. Spark filters what comes all the same.
_PUSHED = {"group": "groups", "topic": "topics"}


class OffsetsLogs(DataSource):
    """The data source `offdecode`: see the module. Raises UsageError for an option that there is not."""

    @classmethod
    def name(cls) -> str:
        return "offdecode"

    def schema(self) -> StructType:
        """Spark's types of the columns that the Parquet files of the row type have."""
        return from_arrow_schema(_Asked(dict(self.options)).schema())

    def reader(self, schema: StructType) -> DataSourceReader:
        """Of the columns of a schema, which may be some of the source's own, in any order."""
        asked = _Asked(dict(self.options))
        _check(schema, from_arrow_schema(asked.schema()), asked.row_type)
        return (_FilteringReader if asked.push_filters else _Reader)(asked, schema.names)


class _Reader(DataSourceReader):
    def __init__(self, asked: _Asked, columns: Sequence[str]) -> None:
        self._asked = asked
        self._columns = columns

    def partitions(self) -> Sequence[InputPartition]:
        return [InputPartition(piece) for piece in self._asked.pieces()]

    def read(self, partition: InputPartition) -> Iterator[pa.RecordBatch]:
        piece: Answer = partition.value
        for batch in _problems(piece) if self._asked.row_type == PROBLEM_ROW else self._rows(piece):
            columns = [batch.column(name) for name in self._columns]
            yield pa.RecordBatch.from_arrays([column.cast(_plain(column.type)) for column in columns], self._columns)

    def _rows(self, piece: Answer) -> Iterator[pa.RecordBatch]:
        return (batch for name, batch in piece if name == self._asked.row_type and len(batch))


class _FilteringReader(_Reader):
    """Spark refuses a reader that takes filters where its setting says that they are not to be pushed down."""

    def pushFilters(self, filters: list[SparkFilter]) -> Iterable[SparkFilter]:
        """Have only the groups and topics read that are wanted. All filters are left to Spark too."""
        for wanted in filters:
            if isinstance(wanted, (EqualTo, In)) and len(wanted.attribute) == 1:
                values = (wanted.value,) if isinstance(wanted, EqualTo) else wanted.value
                self._asked.narrow(wanted.attribute[0], [value for value in values if value is not None])
            yield wanted


class _Asked:
    """What the options of a source ask for."""

    def __init__(self, options: dict[str, str]) -> None:
        given = {name.lower().replace("_", "-"): text for name, text in options.items()}
        self._paths = _paths(given)
        self.row_type = given.pop("type", DEFAULT_ROW_TYPE)
        self._most_bytes = _whole_number("most-bytes", given.pop("most-bytes", str(MOST_BYTES)))
        self._alone = _flag("alone", given.pop("alone", "false"))
        self.push_filters = _flag("push-filters", given.pop("push-filters", "false"))
        if self.row_type == PROBLEM_ROW:
            question, fixed = given.pop("question", "decode"), dict[str, Any]()
        elif self.row_type in _ASKED:
            question, fixed = _ASKED[self.row_type]
        else:
            raise UsageError(f"there is no row type {self.row_type!r}; there are {', '.join((*_ASKED, PROBLEM_ROW))}")
        if question not in _QUESTIONS:
            raise UsageError(f"there is no question {question!r}; there are {', '.join(_QUESTIONS)}")
        self._question = question
        self._options = fixed | dict(_option(name, text) for name, text in given.items())

    def narrow(self, column: str, values: list[Any]) -> None:
        """Only these values of a column are wanted, where an option can say so."""
        name = _PUSHED.get(column)
        taken = {item.name for item, _ in TAKEN[self._question]} - self._options.keys()
        if name in taken and values and self.row_type not in (PROBLEM_ROW, HIDDEN_RANGE_ROW):
            self._options[name] = values

    def schema(self) -> pa.Schema:
        if self.row_type == PROBLEM_ROW:
            return _PROBLEM
        return pa.schema([
            pa.field(item.name, _plain(item.type)) for item in self._answer().schema(self.row_type)
        ])  # fmt: skip

    def pieces(self) -> list[Answer]:
        return self._answer().pieces(self._most_bytes, alone=self._alone)

    def _answer(self) -> Answer:
        return _QUESTIONS[self._question](self._paths, **self._options)


def _check(schema: StructType, own: StructType, row_type: str) -> None:
    """Raises UsageError where a schema is no part of the source's own."""
    kinds = {field.name: field.dataType.simpleString() for field in own}
    for field in schema:
        name, kind = field.name, field.dataType.simpleString()
        if name not in kinds:
            raise UsageError(f"there is no column {name!r} of {row_type}; there are {', '.join(kinds)}")
        if kind != kinds[name]:
            raise UsageError(f"{name} of {row_type} is {kinds[name]}, not {kind}; Spark can cast it: .withColumn()")


def _problems(piece: Answer) -> Iterator[pa.RecordBatch]:
    """The problems of a piece, as they are met; its rows are read for them."""
    found: list[Problem] = []
    piece.on_problem = found.append
    for _ in piece:
        if len(found) >= _MOST_PROBLEMS:
            yield _batch_of(found)
            found.clear()
    if found:
        yield _batch_of(found)


def _batch_of(problems: list[Problem]) -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist([{"type": PROBLEM_ROW, **one.as_dict()} for one in problems], _PROBLEM)


def _plain(kind: pa.DataType) -> pa.DataType:
    """A type without what Spark does not take: dictionaries, and times in other units than microseconds."""
    if pa.types.is_dictionary(kind):
        return kind.value_type
    if pa.types.is_timestamp(kind):
        return pa.timestamp("us", kind.tz)
    if pa.types.is_list(kind):
        return pa.list_(_plain(kind.value_type))
    if pa.types.is_struct(kind):
        return pa.struct([pa.field(item.name, _plain(item.type)) for item in kind])
    return kind


def _paths(given: dict[str, str]) -> list[str]:
    paths = [*json.loads(given.pop("paths", "[]")), *filter(None, (given.pop("path", ""),))]
    if not paths:
        raise UsageError("which log? Give load(PATH) a path, or several in a list")
    return [*map(str, paths)]


def _option(name: str, text: str) -> tuple[str, Any]:
    """An option of the command line as the API's function takes it."""
    if name not in _DECLARED:
        raise UsageError(f"there is no option {name!r}")
    argument, declared = _DECLARED[name]
    if declared.repeatable:
        texts = json.loads(text) if text.startswith("[") else [text]
        return argument, [_whole_number(name, one) for one in texts] if declared.kind in _WHOLE_NUMBERS else texts
    match declared.kind:
        case OptionKind.FLAG:
            return argument, _flag(name, text)
        case OptionKind.PLACE:
            partition, _, offset = text.partition(":")
            return argument, (_whole_number(name, partition), _whole_number(name, offset))
        case kind if kind in _WHOLE_NUMBERS:
            return argument, _whole_number(name, text)
    return argument, text


def _whole_number(name: str, text: str | int) -> int:
    try:
        return int(text)
    except ValueError:
        raise UsageError(f"{name} is {text!r}; it is a whole number") from None


def _flag(name: str, text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise UsageError(f"{name} is {text!r}; it is true or false")
    return text.lower() == "true"
