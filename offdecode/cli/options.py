"""The declared options as click's, and their values as groups of options again."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import Field, dataclass, replace
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from offdecode.errors import UsageError
from offdecode.option_values import LARGEST_INT32, checked_regex, duration, log_place, milliseconds, size_bytes
from offdecode.options import (
    Option,
    OptionKind,
    Output,
    Source,
    StateOptions,
    options_of,
)
from offdecode.sinks.files import open_already

Command = Callable[..., Any]
Complete = Callable[[click.Context, click.Parameter, str], list[str]]
T = TypeVar("T")

if TYPE_CHECKING:
    from click import ParamType as ParamType
else:

    class ParamType(click.ParamType):
        """click's own, which has a type argument in its newest versions only."""

        def __class_getitem__(cls, argument: object) -> type[ParamType]:
            return cls


class Parsed(ParamType[T]):
    """What a function makes of the text; its UsageError says what is wrong with it."""

    def __init__(self, name: str, parse: Callable[[str], T]) -> None:
        self.name = name
        self._parse = parse

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> T:
        try:
            return self._parse(value)
        except UsageError as error:
            self.fail(str(error), param, ctx)


def _is_inherited(descriptor: int) -> bool:
    """Whether who began the process has opened it; what Python opens is not inherited."""
    try:
        return os.get_inheritable(descriptor)
    except OSError:
        return False


class FilePath(click.Path):
    """A file. `-o -` is standard output, as without -o; an empty name, as of a variable that is not set, is none."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not str(value):
            self.fail("an empty name is no file", param, ctx)
        number = open_already(Path(value))
        if number is not None and not _is_inherited(number):
            self.fail(f"{value}: nothing is open there", param, ctx)
        is_output = param is not None and "--output" in param.opts
        return None if is_output and str(value) in ("-", "/dev/stdout") else super().convert(value, param, ctx)


_TYPES: dict[OptionKind, Callable[[], click.ParamType[Any] | type]] = {
    OptionKind.TEXT: lambda: str,
    OptionKind.INTEGER: lambda: int,
    OptionKind.PARTITION: lambda: click.IntRange(0, LARGEST_INT32),
    OptionKind.COUNT: lambda: click.IntRange(0),
    OptionKind.POSITIVE: lambda: click.IntRange(1),
    OptionKind.TIME: lambda: Parsed("time", milliseconds),
    OptionKind.PLACE: lambda: Parsed("place", log_place),
    OptionKind.DURATION: lambda: Parsed("duration", duration),
    OptionKind.SIZE: lambda: Parsed("size", size_bytes),
    OptionKind.REGEX: lambda: Parsed("regex", checked_regex),
    OptionKind.FILE: lambda: FilePath(path_type=Path),
}


@dataclass(frozen=True, slots=True)
class Taken:
    """A group of options that a command takes, all or those of these names. choices: more for an option of a name."""

    group: type
    names: tuple[str, ...] | None = None
    choices: tuple[tuple[str, tuple[str, ...]], ...] = ()

    def options(self) -> list[tuple[Field[Any], Option]]:
        more = dict(self.choices)
        return [
            (item, replace(declared, choices=(*declared.choices, *more.get(item.name, ()))))
            for item, declared in options_of(self.group, self.names)
        ]


def takes(*groups: type | Taken) -> Callable[[Command], Command]:
    """Give a command the options of these groups; it is called with a value of each group, in this order."""
    taken = [group if isinstance(group, Taken) else Taken(group) for group in groups]

    def decorate(function: Command) -> Command:
        @wraps(function)
        def command(**values: Any) -> Any:
            found = []
            for one in taken:
                names = [item.name for item, _ in one.options()]
                own = {name: values.pop(_variable(one.group, name)) for name in names}
                if one.group is Source:
                    own["paths"] = values.pop("paths", ())
                found.append(one.group(**own))
            return function(*found, **values)

        wrapped: Command = command
        for one in reversed(taken):
            for item, declared in reversed(one.options()):
                complete = _row_types(one.group) if "--type" in declared.flags else None
                wrapped = _click_option(_variable(one.group, item.name), item, declared, complete)(wrapped)
        return wrapped

    return decorate


def _variable(group: type, name: str) -> str:
    """What click calls an option's value; names of different groups may be the same."""
    return f"{group.__name__.lower()}_{name}"


def beginning(begun: str, names: Iterable[str]) -> list[str]:
    """The names that begin so, for a shell that completes them."""
    return sorted(name for name in names if name.startswith(begun))


def _row_types(group: type) -> Complete:
    """The row types that a group's --type may name, for a shell."""

    def complete(context: click.Context, parameter: click.Parameter, begun: str) -> list[str]:
        from offdecode.schemas.rows import row_type_names
        from offdecode.schemas.state_rows import STATE_ROW_TYPES

        return beginning(begun, STATE_ROW_TYPES if group is StateOptions else row_type_names())

    return complete


def _click_option(
    variable: str, item: Field[Any], declared: Option, complete: Complete | None
) -> Callable[[Command], Command]:
    if declared.kind is OptionKind.FLAG:
        return click.option(*declared.flags, variable, is_flag=True, help=declared.help)
    kind = click.Choice(declared.choices) if declared.kind is OptionKind.CHOICE else _TYPES[declared.kind]()
    return click.option(
        *declared.flags, variable, metavar=declared.metavar, type=kind, multiple=declared.repeatable,
        default=item.default, show_default=declared.show_default, help=declared.help, shell_complete=complete,
    )  # fmt: skip


def paths_argument(function: Command) -> Command:
    """The paths of the log."""
    return click.argument(
        "paths", metavar="PATH...", nargs=-1, required=True, type=click.Path(path_type=Path, allow_dash=True)
    )(function)


def report_format(json_help: str) -> Callable[[Command], Command]:
    """How a command that has no rows prints what it found: it is called with as_json. json_help: what JSON holds."""

    def decorate(function: Command) -> Command:
        @click.option("--format", "form", type=click.Choice(("text", "jsonl")), default="text", show_default=True,
                      help=json_help)  # fmt: skip
        @click.option("--json", "as_json", is_flag=True, help="The same as --format jsonl.")
        @wraps(function)
        def command(form: str, as_json: bool, **values: Any) -> Any:
            return function(as_json=as_json or form == "jsonl", **values)

        wrapped: Command = command
        return wrapped

    return decorate


def output_of(formats: Iterable[str] = (), *, jobs: bool = False, rotate: bool = True) -> Taken:
    """Where rows and problems go. formats: those beside the ones that all have.

    jobs: whether processes share the work. rotate: False where the command has an option of that name of its own.
    """
    left_out = {name for name, taken in (("jobs", jobs), ("rotate", rotate)) if not taken}
    names = [item.name for item, _ in options_of(Output) if item.name not in left_out]
    return Taken(Output, tuple(names), (("format", tuple(formats)),))
