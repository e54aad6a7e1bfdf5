"""Every format of every command, on every set: what a person or a spreadsheet gets is what JSON lines hold."""

from __future__ import annotations

import io
import json
import re
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import csv

from offdecode.cli import cli
from offdecode.model import Column, Kind
from offdecode.schemas.rows import row_type
from offdecode.sinks.text.lines import columns_of
from tests.command import CLASSIC, ENVIRONMENT, rows_of, run
from tests.segment_builder import batch, commit
from tests.terminals import on_terminal
from tests.test_hostile import hostile_names
from tests.truth import FIXTURES, LogSet, Row, log_sets, set_id

# Of those in the fixtures the ones that have every kind of row; all where more are given.
_SAMPLE = {"kafka-4.4.0-all-groups", "kafka-4.4.0-transactions-tv1", "kafka-3.9.1-classic", "kafka-2.8.2-versions"}
SETS = [one for one in log_sets() if one.folder.name in _SAMPLE or FIXTURES not in one.folder.parents]
ALL_GROUPS = FIXTURES / "kafka-4.4.0-all-groups"
TIMELINE = ("explain", "--notable")
# Commands whose table has a line a row, and the columns of a row that its line must show.
LISTED: dict[tuple[str, ...], tuple[str, ...]] = {
    ("decode",): ("type", "log_offset"),
    ("explain",): ("log_offset",),
    ("generations",): ("log_offset", "state"),
    ("generations", "--summary"): ("rebalances", "joins"),
    ("transactions",): ("producer_id", "status"),
    ("groups",): ("group_type", "commits"),
}
IN_CSV = (
    "decode", "explain", "generations", "generations --summary", "transactions", "groups", "lag", "growth",
    "state --timestamps iso",
)  # fmt: skip
WITHOUT_TYPE = {"explain": "movement", "growth": "growth"}  # of their row types the one that CSV holds


Asked = Callable[..., bytes]


@pytest.fixture
def asked(tmp_path: Path) -> Asked:
    """What a command of this process writes."""

    def ask(*words: str | Path) -> bytes:
        place = tmp_path / "out"
        given = (
            *words,
            *(("--jobs", "1") if words[0] == "decode" else ()),
            "-o",
            place,
            "--problems",
            tmp_path / "err",
        )
        assert cli.main([str(word) for word in given], standalone_mode=False) in (0, 1)
        return place.read_bytes()

    return ask


@pytest.mark.parametrize("log_set", SETS, ids=set_id)
def test_a_timeline_of_notable_movements_has_each(log_set: LogSet, asked: Asked) -> None:
    rows = [row for row in rows_of(asked(*TIMELINE, log_set.log)) if row["type"] == "movement"]
    lines = asked(*TIMELINE, log_set.log, "--format", "text").decode().split("\n")
    places = [line.rpartition("[")[2] for line in lines if line.endswith("]")]
    assert sorted(places) == sorted(f"{row['log_partition']}:{row['log_offset']}]" for row in rows)


def csv_rows(data: bytes) -> list[dict[str, str | None]]:
    """The values of a CSV as texts, None where nothing stands."""
    first = data.partition(b"\n")[0].decode().split(",")
    options = csv.ConvertOptions(
        column_types=dict.fromkeys(first, pa.string()), strings_can_be_null=True, quoted_strings_can_be_null=False,
        null_values=[""],
    )  # fmt: skip
    found: list[dict[str, str | None]] = csv.read_csv(io.BytesIO(data), convert_options=options).to_pylist()
    return found


def assert_says(column: Column, text: str | None, row: Row) -> None:
    value = row.get(column.name)
    if value is None or text is None:
        assert text is value
    elif column.kind in (Kind.LIST, Kind.STRUCT, Kind.EMBEDDED, Kind.JSON):
        assert json.loads(text) == value
    elif column.kind is Kind.DOUBLE:
        assert float(text) == value
    elif isinstance(value, str):
        escaped = "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in value)
        assert text == ("'" if escaped[:1] in tuple("=+-@") else "") + escaped
    else:
        assert text == json.dumps(value)


@pytest.mark.parametrize("command", IN_CSV)
@pytest.mark.parametrize("log_set", SETS, ids=set_id)
def test_csv_equals_json_lines(log_set: LogSet, command: str, asked: Asked) -> None:
    name, *options = command.split()
    words = (name, *options, log_set.log)
    rows: dict[str, list[Row]] = {}
    for row in rows_of(asked(*words)):
        rows.setdefault(row["type"], []).append(row)
    for row_type_name, expected in rows.items():
        chosen = ("--type", row_type_name) if name in ("decode", "state") else ()
        if row_type_name != WITHOUT_TYPE.get(name, row_type_name):
            continue
        columns = row_type(row_type_name).columns
        found = csv_rows(asked(*words, *chosen, "--format", "csv"))
        assert len(found) == len(expected)
        for texts, row in zip(found, expected, strict=True):
            assert list(texts) == [column.name for column in columns]
            for column in columns:
                assert_says(column, texts[column.name], row)


@pytest.mark.parametrize("words", LISTED, ids=" ".join)
@pytest.mark.parametrize("log_set", SETS, ids=set_id)
def test_a_table_has_a_line_for_each_row(log_set: LogSet, words: tuple[str, ...], asked: Asked) -> None:
    rows = rows_of(asked(*words, log_set.log))
    title, *lines = asked(*words, log_set.log, "--format", "table").decode().splitlines() or [""]
    assert title.isupper() == bool(rows)
    assert len(lines) == len(rows)
    for line, row in zip(lines, rows, strict=True):
        shown = line.replace(",", "")
        assert all(str(row[name]) in shown for name in LISTED[words] if row.get(name) is not None), (line, row)


@pytest.mark.parametrize("words", [
    "explain --notable", "explain --kind tombstone", "decode --type transaction_marker", "decode --group nosuch",
    "explain --group nosuch", "generations --group nosuch", "transactions --group nosuch --open",
])  # fmt: skip
def test_a_table_of_a_choice(words: str, asked: Asked) -> None:
    """Chunks of which nothing is left have no line."""
    chosen = (*words.split(), ALL_GROUPS / "log")
    lines = asked(*chosen, "--format", "table").splitlines()
    rows = rows_of(asked(*chosen))
    assert len(lines) == len(rows) + bool(rows)
    assert bool(rows) != ("nosuch" in words) or "decode" in words  # markers pass the filters on keys


def test_a_table_of_commits_says_who_held_the_partition() -> None:
    words = ("decode", CLASSIC / "log", "--with-generation", "--type", "offset_commit")
    owners = [row["owner"] for row in run(*words).rows]
    lines = run(*words, "--format", "table").stdout.decode().splitlines()[1:]
    told = [None if owner is None else owner["member_id"] for owner in owners]
    assert [line.partition(" owner=")[2] or None for line in lines] == told
    assert len({*told}) > 2


def test_csv_of_names_that_want_to_be_more(tmp_path: Path) -> None:
    names = [
        "=cmd|' /C calc'!A0",
        "+1",
        "-1",
        "@sum",
        'a"b',
        "a,b",
        "line\nbreak",
        "\x1b[31m",
        "\u202egpj",
        " ",
        "",
        "\\n",
    ]
    folder = tmp_path / "__consumer_offsets-0"
    folder.mkdir()
    (folder / f"{0:020}.log").write_bytes(batch([commit(name, name) for name in names]))
    data = run("decode", folder, "--type", "offset_commit", "--format", "csv").stdout
    assert len(data.splitlines()) == len(names) + 1
    groups = ["'=cmd|' /C calc'!A0", "'+1", "'-1", "'@sum", 'a"b', "a,b", "line\\nbreak", "\\x1b[31m", "\\u202egpj",
              " ", "", "\\n"]  # fmt: skip
    assert [row["group"] for row in csv_rows(data)] == groups
    assert pd.read_csv(io.BytesIO(data), keep_default_na=False)["topic"].tolist() == groups


def test_csv_is_the_same_for_all_jobs(tmp_path: Path) -> None:
    folder = tmp_path / "__consumer_offsets-0"
    folder.mkdir()
    commits = [commit(f"group-{number % 7}", offset=number) for number in range(200)]
    (folder / f"{0:020}.log").write_bytes(batch(commits) * 1500)
    asked = ("decode", tmp_path, "--type", "offset_commit", "--format", "csv")
    alone = run(*asked, "--jobs", "1").stdout
    assert len(alone.splitlines()) == 1 + 200 * 1500
    assert run(*asked, "--jobs", "3").stdout == alone


@pytest.mark.parametrize("command", ["decode", "tail --bootstrap-server localhost:1 --wait-topic"])
def test_csv_holds_one_row_type(command: str) -> None:
    paths = () if "tail" in command else (CLASSIC / "log",)
    for types in ((), ("--type", "offset_commit", "--type", "group_metadata")):
        done = run(*command.split(), *paths, *types, "--format", "csv")
        assert done.status == 2
        assert "CSV holds rows of one type" in done.words


def test_the_report_of_a_check_is_told_in_two_formats() -> None:
    log = CLASSIC / "log"
    assert run("check", log, "--format", "jsonl").stdout == run("check", log, "--json").stdout
    assert run("check", log, "--format", "text").stdout == run("check", log).stdout


def shown_by(words: tuple[str | Path, ...], columns: int, environment: Mapping[str, str], status: int = 0) -> str:
    """What a terminal of so many columns is sent."""
    variables = {name: value for name, value in ENVIRONMENT.items() if name not in ("COLUMNS", "NO_COLOR")}
    variables |= {"TERM": "xterm", **environment}
    data, ended = on_terminal(*words, columns=columns, environment=variables, stderr=subprocess.DEVNULL)
    assert ended in (status, 1)
    return data.decode()


def uncoloured(text: str) -> str:
    for style in ("1", "31", "33", "0"):
        text = text.replace(f"\x1b[{style}m", "")
    return text


@pytest.mark.parametrize("words", [
    ("groups", "--format", "table"), ("explain", "--format", "table"), ("explain", "--format", "text"), ("check",),
    ("state", "--format", "table"), ("generations", "--format", "text"), ("transactions", "--format", "text"),
], ids=" ".join)  # fmt: skip
@pytest.mark.parametrize("quiet", [{}, {"NO_COLOR": "1"}, {"TERM": "dumb"}], ids=str)
def test_a_terminal_is_sent_colours_unless_it_wants_none(
    words: tuple[str, ...], quiet: dict[str, str], tmp_path: Path
) -> None:
    folder = tmp_path / "__consumer_offsets-0"
    folder.mkdir()
    (folder / f"{0:020}.log").write_bytes(hostile_names())
    shown = shown_by((*words, folder), 500, quiet).replace("\r\n", "\n")
    piped = run(*words, folder).stdout.decode()
    if not quiet:
        assert "\x1b[1m" in shown or words[0] == "transactions"
        assert "\x1b[33m" in shown or "\x1b[31m" in shown or words[0] == "generations"
    assert ("\x1b" in shown) == (not quiet)
    assert re.sub(" +", " ", uncoloured(shown)) == re.sub(" +", " ", piped)  # long cells are padded for eyes only
    assert all(one.isprintable() or one == "\n" for one in uncoloured(shown))


@pytest.mark.parametrize("columns", [200, 110, 60, 1])
def test_a_table_fits_the_terminal(columns: int) -> None:
    for words in (
        ("groups",),
        ("explain",),
        ("decode",),
        ("generations",),
        ("state", "--type", "committed_offset"),
        ("lag",),
    ):
        shown = uncoloured(shown_by((*words, "--format", "table", CLASSIC / "log"), columns, {}))
        lines = shown.split("\r\n")
        assert len(lines) > 3
        tables = [line for line in lines if words[0] != "state" or line.startswith(" ")]  # no name of a group
        assert all(columns_of(line) <= columns for line in tables), words


@pytest.mark.parametrize(("command", "column"), [("explain", "OFFSETS"), ("lag", "LAG"), ("decode", "VALUES")])
def test_eighty_columns_have_room_for_what_was_asked(command: str, column: str) -> None:
    """Names are cut before what the table is about falls off its end, and times keep their minute."""
    lines = uncoloured(shown_by((command, "--format", "table", CLASSIC / "log"), 80, {})).split("\r\n")
    assert f"  {column}  " in f"{lines[0]}  "
    assert re.search(r"2026-11-\d\dT\d\d:\d\d", lines[1])


def test_wide_characters_take_two_columns(tmp_path: Path) -> None:
    folder = tmp_path / "__consumer_offsets-0"
    folder.mkdir()
    names = ["消费者组" * 5, "e\u0301" * 20, "plain"]
    (folder / f"{0:020}.log").write_bytes(batch([commit(name, name) for name in names]))
    shown = uncoloured(shown_by(("groups", "--format", "table", folder), 120, {})).split("\r\n")[:-1]
    assert len({columns_of(line.partition("simple")[0]) for line in shown[1:]}) == 1
    assert all(columns_of(line) <= 120 for line in shown)


def test_what_goes_to_a_file_has_no_colours(tmp_path: Path) -> None:
    place = tmp_path / "table"
    assert shown_by(("groups", "--format", "table", CLASSIC / "log", "-o", place), 60, {}) == ""
    assert place.read_bytes() == run("groups", "--format", "table", CLASSIC / "log").stdout


def test_a_page_is_not_poured_over_a_terminal() -> None:
    assert shown_by(("report", CLASSIC / "log"), 80, {}, status=2) == ""
