"""Values of options from what people give for them: words of a command line, or Python's own values.

Imported before `--help` is printed, like the declarations.
"""

from __future__ import annotations

import operator
import os
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import fields
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from offdecode.errors import UsageError
from offdecode.options import LARGEST_INT64, Option, OptionKind, options_of

T = TypeVar("T")

LARGEST_INT32 = (1 << 31) - 1
_MOST_DIGITS = 20
_UNIT_BITS = {"": 0, "k": 10, "m": 20, "g": 30}
_UNIT_MS = {"s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def from_values(group: type[T], values: dict[str, Any]) -> T:
    """A group from values as Python users give them; takes what is the group's out of `values`.

    Raises UsageError where a value cannot be what the option takes.
    """
    given = {item.name: values.pop(item.name) for item in fields(group) if item.name in values}  # type: ignore[arg-type]
    given = {name: value for name, value in given.items() if value is not None}  # the default
    known = {item.name: declared for item, declared in options_of(group)}
    return group(**{
        name: _value(name, known[name], value) if name in known else value for name, value in given.items()
    })  # fmt: skip


def _value(name: str, declared: Option, value: Any) -> Any:
    try:
        if declared.repeatable:
            many = isinstance(value, Iterable) and not isinstance(value, (str, bytes))
            return tuple(_one(declared, one) for one in (value if many else (value,)))
        return _one(declared, value)
    except UsageError as error:
        raise UsageError(f"{name}: {error}") from None


def _one(declared: Option, value: Any) -> Any:
    found = _VALUES[declared.kind](value)
    if declared.choices and found not in declared.choices:
        raise UsageError(f"{value!r} is not one of {', '.join(declared.choices)}")
    return found


def milliseconds(value: object) -> int:
    """A moment in milliseconds since 1970 UTC: a number of them, RFC 3339 text, a datetime or date. No zone = UTC.

    Raises UsageError for anything else.
    """
    if isinstance(value, str):
        match = re.fullmatch(r"(-?)0*(\d+)", value)
        try:
            value = datetime.fromisoformat(value) if match is None else int(match[1] + match[2][:_MOST_DIGITS])
        except ValueError:
            raise _no_time(value) from None
    if isinstance(value, date):
        moment = value if isinstance(value, datetime) else datetime(value.year, value.month, value.day)
        moment = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
        try:
            return round((moment - _EPOCH).total_seconds() * 1000)
        except ValueError:  # pandas.NaT is a datetime
            raise _no_time(value) from None
    if (number := _index(value)) is None:
        raise _no_time(value)
    return max(-LARGEST_INT64, min(number, LARGEST_INT64))  # no record is beyond


def _index(value: object) -> int | None:
    """A whole number, None for anything else: True is none."""
    try:
        return None if isinstance(value, bool) else operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        return None


def _no_time(value: object) -> UsageError:
    return UsageError(f"{value!r} is neither RFC 3339 (2026-11-23T14:03:00Z) nor milliseconds since 1970")


def duration(value: object) -> int:
    """A length of time in milliseconds: a number of them, a timedelta, or text as 90s, 30m, 12h, 7d.

    Raises UsageError for anything else.
    """
    if isinstance(value, str):
        match = re.fullmatch(r"(\d{1,9})(s|m|h|d)", value)
        number = None if match is None else int(match[1]) * _UNIT_MS[match[2]]
    else:
        number = round(value / timedelta(milliseconds=1)) if isinstance(value, timedelta) else _index(value)
    if number is not None and number >= 0:
        return min(number, LARGEST_INT64)
    raise UsageError(f"{value!r} is no length of time: 90s, 30m, 12h, 7d")


def size_bytes(value: object) -> int:
    """A size in bytes: a number of them, or text as 64MB. Raises UsageError for anything else."""
    if isinstance(value, str):
        if match := re.fullmatch(r"([1-9]\d{0,8}) *(k|m|g|)b", value.lower()):
            return int(match[1]) << _UNIT_BITS[match[2]]
    elif (number := _index(value)) is not None:
        return number
    raise UsageError(f"{value!r} is no size: 64MB, 1GB")


def log_place(value: object) -> tuple[int, int]:
    """A place in the offsets topic, (partition, offset): these numbers, or text as 17:123456.

    Raises UsageError for anything else.
    """
    if isinstance(value, str):
        if match := re.fullmatch(r"(\d{1,10}):(\d{1,19})", value):
            return int(match[1]), int(match[2])
    elif isinstance(value, Sequence) and not isinstance(value, bytes) and len(value) == 2:
        partition, offset = map(_index, value)
        if partition is not None and offset is not None and partition >= 0 and offset >= 0:
            return partition, offset
    raise UsageError(f"{value!r} is not a place in the offsets topic: PARTITION:OFFSET, as 17:123456")


def checked_regex(value: object) -> str:
    """The text of a regular expression. Raises UsageError where it is none."""
    text = _text(value)
    try:
        re.compile(text)
    except (re.error, OverflowError) as error:
        raise UsageError(f"{text!r} is not a regular expression: {error}") from None
    except RecursionError:
        raise UsageError("that is not a regular expression: it is nested too deeply") from None
    return text


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise UsageError(f"{value!r} is no text")
    return value


def _path(value: object) -> Path:
    text = os.fspath(value) if isinstance(value, (str, os.PathLike)) else None
    if not isinstance(text, str) or "\0" in text:
        raise UsageError(f"{value!r} is no path")
    return Path(text)


def _flag(value: object) -> bool:
    if type(value).__name__ not in ("bool", "bool_"):  # numpy's too
        raise UsageError(f"{value!r} is neither True nor False")
    return bool(value)


def _whole(value: object, least: int | None = None, most: int | None = None) -> int:
    if (number := _index(value)) is None:
        raise UsageError(f"{value!r} is no whole number")
    if (least is not None and number < least) or (most is not None and number > most):
        raise UsageError(f"{number} is not in the range from {least}" + ("" if most is None else f" to {most}"))
    return number


_VALUES: dict[OptionKind, Callable[[object], object]] = {
    OptionKind.FLAG: _flag,
    OptionKind.TEXT: _text,
    OptionKind.CHOICE: _text,
    OptionKind.INTEGER: _whole,
    OptionKind.PARTITION: partial(_whole, least=0, most=LARGEST_INT32),
    OptionKind.COUNT: partial(_whole, least=0),
    OptionKind.POSITIVE: partial(_whole, least=1),
    OptionKind.TIME: milliseconds,
    OptionKind.PLACE: log_place,
    OptionKind.DURATION: duration,
    OptionKind.SIZE: size_bytes,
    OptionKind.REGEX: checked_regex,
    OptionKind.FILE: _path,
}
