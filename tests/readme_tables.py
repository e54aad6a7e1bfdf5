"""The tables of README and docs/ that follow from the code. `python -m tests.readme_tables` writes them anew."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import click

from offdecode.cli import COMMANDS, cli
from offdecode.log.offset_map import VERDICTS
from offdecode.model import Column
from offdecode.schemas.describe import _kind_text
from offdecode.schemas.history_rows import SIGNALS
from offdecode.schemas.releases import RELEASES, Release
from offdecode.schemas.rows import (
    COMMON,
    COPIES,
    COPIES_WITH_BATCH,
    TRAILING,
    WITH_BATCH,
    record_types,
    row_type,
    row_type_names,
)
from offdecode.sinks.text.words import range_words

README = Path(__file__).parent.parent / "README.md"
DOCS = README.parent / "docs"
PAGES = (README, *sorted(DOCS.glob("*.md")))
_OF_MOST = 5  # commands, and an option is told once for all of them

TABLE = re.compile(r"(?P<head><!-- table: (?P<name>[a-z -]+) -->\n)(?P<table>.*?)(?P<tail><!-- end of table -->)", re.S)


def commands() -> Iterator[tuple[str, click.Command]]:
    """Every command by its name."""
    context = click.Context(cli)
    for name in COMMANDS:
        command = cli.get_command(context, name)
        assert command is not None
        yield name, command


def options(command: click.Command) -> list[click.Option]:
    """A command's own options in the order of its help."""
    return [item for item in command.params if isinstance(item, click.Option)]


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |\n" for line in lines)


def option_table(command: click.Command) -> str:
    return _table(("option", "meaning"), (_option_row(command, option) for option in options(command)))


def _option_row(command: click.Command, option: click.Option) -> tuple[str, str]:
    context = click.Context(command)
    value = "" if option.is_flag else f" {option.make_metavar(context)}"
    names = ", ".join(f"`{name}`" for name in option.opts[:-1])
    last = f"`{option.opts[-1]}{value}`"
    default = f" Default: `{option.default}`." if option.show_default else ""
    return f"{names}, {last}" if names else last, f"{option.help or ''}{default}"


def command_table() -> str:
    """A line for each command: its page, what it does, its own options; then those that most have."""
    named = {name: [flag for option in options(command) for flag in flags_of(option)] for name, command in commands()}
    counts = Counter(flag for flags in named.values() for flag in flags)
    common = [flag for flag in counts if counts[flag] >= _OF_MOST]

    def words(flags: Iterable[str]) -> str:
        return ", ".join(f"`{flag}`" for flag in flags)

    return _table(("command", "what it does", "options of its own"), [
        *((f"[`{name}`](docs/{name}.md)", COMMANDS[name][1], words(flag for flag in flags if flag not in common))
          for name, flags in named.items()),
        ("most of them", "Which evidence, which rows, how they are written.", words(common)),
    ])  # fmt: skip


def flags_of(option: click.Option) -> list[str]:
    return [*option.opts, *option.secondary_opts]


def row_table() -> str:
    """A line for each row type: its key types, and the first sentence of what it is."""
    return _table(("row type", "key type", "what it is"), (
        (f"`{name}`", ", ".join(map(str, sorted(record.key_type for record in record_types(name)))),
         " ".join(row_type(name).doc.split("\n\n")[0].split(". ")[0].rstrip(".").split()))
        for name in row_type_names()
    ))  # fmt: skip


def column_table(columns: Iterable[Column]) -> str:
    return _table(("column", "type", "meaning"), (
        (f"`{column.name}`", _kind_text(column), column.doc) for column in columns
    ))  # fmt: skip


def verdict_table() -> str:
    return _table(("offsets", "state", "problem"), (
        (verdict.case, f"`{verdict.state}`", "`missing_offsets`" if verdict.problem else "") for verdict in VERDICTS
    ))  # fmt: skip


def release_table() -> str:
    """Which records each release of Kafka reads, from the oldest on."""
    return _table(("from", "key types, and the versions of their values", "other key types", "layouts"), (
        (".".join(map(str, one.since)), _versions(one), "skipped" if one.skips_unknown_types else "**refused**",
         "; ".join(f"{key}: that of {shape}" for key, shape in one.shapes.items()))
        for one in RELEASES
    ))  # fmt: skip


def _versions(release: Release) -> str:
    by_version: dict[int, list[int]] = {}
    for key_type, highest in sorted(release.highest.items()):
        by_version.setdefault(highest, []).append(key_type)
    return "; ".join(
        f"{range_words(types).replace(',', ', ')}: {f'0-{highest}' if highest else '0'}"
        for highest, types in sorted(by_version.items(), key=lambda item: item[1])
    )


def tables() -> dict[str, str]:
    """Every table by its name."""
    return {
        "commands": command_table(),
        **{f"options of {name}": option_table(command) for name, command in commands() if options(command)},
        "row types": row_table(),
        "columns of every row": column_table((*COMMON, *TRAILING)),
        "columns of with-batch": column_table(WITH_BATCH),
        "columns of copies": column_table((*COPIES, *COPIES_WITH_BATCH)),
        "verdicts": verdict_table(),
        "signals": _table(("signal", "meaning"), ((f"`{name}`", meaning) for name, meaning in SIGNALS.items())),
        "releases": release_table(),
    }


def main() -> None:
    found = tables()
    for page in PAGES:
        text = page.read_text("utf-8")
        page.write_text(TABLE.sub(lambda match: match["head"] + found[match["name"]] + match["tail"], text), "utf-8")


if __name__ == "__main__":
    main()
