"""What a report's page holds against what the commands tell row by row, and against Kafka's own reading."""

from __future__ import annotations

import hashlib
import html
import re
import shlex
from collections import Counter, defaultdict
from functools import cache
from pathlib import Path
from typing import Any

import pytest

import offdecode
from tests.command import run
from tests.questions.test_explain import Move, replay, retention_minutes
from tests.reporting.pages import Shown, as_word
from tests.truth import LogSet, log_sets, set_id

Row = dict[str, Any]
SETS = log_sets()
_PLAIN = {"first", "advance", "repeat"}
_NO_EFFECT = {"aborted", "pending", "overtaken"}


@pytest.fixture(params=SETS, ids=set_id)
def log_set(request: pytest.FixtureRequest) -> LogSet:
    found: LogSet = request.param
    return found


@cache
def shown(log_set: LogSet) -> Shown:
    return Shown(offdecode.report(log_set.log, offsets_retention_minutes=retention_minutes(log_set)).html)


@cache
def rows_of(command: str, log_set: LogSet) -> list[Row]:
    retention = ("--offsets-retention-minutes", str(retention_minutes(log_set)))
    asked = retention if command in ("groups", "explain") else ()
    return run(command, *asked, log_set.log).rows


@cache
def by_group(log_set: LogSet) -> dict[str, Row]:
    page = shown(log_set)
    return {row["group"]: page.of(number) for number, row in enumerate(page.groups)}


def without_nulls(row: Row) -> Row:
    return {name: value for name, value in row.items() if value is not None}


def test_groups_are_those_of_groups(log_set: LogSet) -> None:
    told = {as_word(row["group"]): row | {"group": as_word(row["group"])} for row in rows_of("groups", log_set)}
    page = shown(log_set)
    assert {row["group"] for row in page.groups} == set(told)
    for row in map(dict, page.groups):
        asked = told[row["group"]]
        assert row.pop("deleted") == sum(asked["tombstones"].values())
        assert row.pop("without_effect") == asked["aborted"] + asked["pending"] + asked["overtaken"]
        row.pop("log")
        assert without_nulls(row) == {name: asked[name] for name in row if asked.get(name) is not None}
    kinds = [(row["rewinds"] > 0) + (row["reset_likes"] > 0) + (row["jumps"] > 0) > 0 for row in page.groups]
    assert not kinds or kinds[0] >= kinds[-1]


def test_marks_are_the_movements_out_of_the_ordinary(log_set: LogSet) -> None:
    expected: Counter[str] = Counter()
    page = shown(log_set)
    for row in rows_of("explain", log_set):
        if row["type"] == "movement" and row["kind"] not in _PLAIN:
            told = {name: row.get(name) for name in page.page["mark_fields"]}
            told["owner"] = row["owner"]["member_id"] if row.get("owner") else None
            told["topic"] = as_word(row["topic"])
            expected[str((as_word(row["group"]), sorted(told.items(), key=str)))] += 1
    found = Counter(
        str((group, sorted(mark.items(), key=str)))
        for group, data in by_group(log_set).items()
        for mark in data["marks"]
    )
    assert found == expected


def test_generations_are_those_of_generations(log_set: LogSet) -> None:
    told: dict[str, list[Row]] = defaultdict(list)
    for row in rows_of("generations", log_set):
        told[as_word(row["group"])].append(row)
    for group, data in by_group(log_set).items():
        assert len(data["generations"]) == len(told[group])
        for found, row in zip(data["generations"], told[group], strict=True):
            assert (found["generation"], found["log_offset"], found["log_timestamp"], found["state"]) == (
                row.get("generation"), row["log_offset"], row.get("log_timestamp"), row["state"])  # fmt: skip
            assert found["members"] == len(row["members"])
            assert (found["joined"], found["joined_count"]) == (row["joined"][:10], len(row["joined"]))
            assert (found["left"], found["left_count"]) == (
                [one["member_id"] for one in row["left"]][:10], len(row["left"]))  # fmt: skip
            counts = len(row["replaced"]), len(row["changed"]), row["missing_before"], row.get("since_previous_ms")
            names = ("replaced_count", "changed_count", "missing_before", "since_previous_ms")
            assert tuple(found[name] for name in names) == counts


def test_bars_are_what_generations_give(log_set: LogSet) -> None:
    """Played through from one generation's rows to the next; a bar begins where its generation had settled."""
    held: dict[tuple[str, str, str, int], tuple[int | None, int | None]] = {}
    expected: Counter[tuple[Any, ...]] = Counter()
    names = {row["topic_id"]: row["topic"] for row in rows_of("decode", log_set) if row.get("topic_id")}
    unsettled = {as_word(row["group"]) for row in rows_of("generations", log_set)
                 if row.get("settled_log_offset") is None and row["state"] != "Dead"}  # fmt: skip
    for row in rows_of("generations", log_set):
        group, time = as_word(row["group"]), row.get("settled_timestamp", row.get("log_timestamp"))
        now = {
            (group, member["member_id"], _topic(item, names), number)
            for member in row["members"]
            for item in member.get("assignment") or ()
            for number in item["partitions"]
        }
        for key in [key for key in held if key[0] == group and key not in now]:
            first, generation = held.pop(key)
            expected[(*key, first, time, generation)] += first is not None
        for key in now:
            held.setdefault(key, (time, row.get("generation")))
    for key, (first, generation) in held.items():
        expected[(*key, first, None, generation)] += first is not None
    found = Counter(
        (group, member, topic, partition, first, last, generation)
        for group, data in by_group(log_set).items()
        for topic, partition, member, first, last, _, generation in data["bars"]
    )
    checked = {bar: count for bar, count in expected.items() if bar[0] not in unsettled and count}
    assert {bar: count for bar, count in found.items() if bar[0] not in unsettled} == checked
    assert sum(count for bar, count in found.items() if bar[0] in unsettled) > 0 or not unsettled


def _topic(item: Row, names: dict[str, str]) -> str:
    """Commits name topics too, of which group records have the id only."""
    topic = item.get("topic") or names.get(item.get("topic_id") or "") or item.get("topic_id")
    return str(topic or f"subtopology {item['subtopology']}")


def test_lines_go_through_what_took_effect(log_set: LogSet) -> None:
    """By Kafka's own reading: of each millisecond the first, last, least and greatest; a marker's time counts."""
    moves = replay(log_set)
    own_moves: dict[tuple[str, str, int], dict[int, Move]] = defaultdict(dict)
    for place, move in moves.items():
        own_moves[as_word(move.key[1]), as_word(move.key[2]), move.key[3]][place[1]] = move
    for group, data in by_group(log_set).items():
        for topic, partition, points, _, _ in data["lines"]:
            own = own_moves[group, topic, partition]
            effective = {at: move.after for at, move in own.items() if move.effective and move.after is not None}
            assert {offset: effective.get(offset) for _, committed, offset in points} == {
                offset: committed for _, committed, offset in points
            }
            assert points == sorted(points, key=lambda point: point[0])
            timed = {at for at in effective if own[at].timestamp is not None}
            drawn = {offset for _, _, offset in points}
            assert drawn <= timed
            for at in timed - drawn:  # in a millisecond of more than four
                assert sum(own[other].timestamp == own[at].timestamp for other in timed) > 4
            if timed:
                assert {min(timed), max(timed)} & drawn


def test_counts_over_time_are_of_all_records(log_set: LogSet) -> None:
    page = shown(log_set).page
    moves = [move for move in replay(log_set).values() if move.timestamp is not None]
    counts = {name: sum(values) for name, values in page["bars"]["counts"].items()}
    assert counts.get("commit", 0) == sum(move.after is not None for move in moves)
    assert counts.get("tombstone", 0) <= sum(move.after is None for move in moves)
    told: Counter[str] = Counter()
    for row in rows_of("explain", log_set):
        if row["type"] == "movement" and row.get("log_timestamp") is not None:
            told[row["kind"]] += row["commits"]
    assert {name: counts.get(name, 0) for name in set(told) - _PLAIN} == {
        name: count for name, count in told.items() if name not in _PLAIN
    }


def test_files_have_their_checksums(log_set: LogSet) -> None:
    rows = [[cell.strip() for cell in row] for row in shown(log_set).tables["files"][1:]]
    files = {row[0]: row for row in rows}
    segments = [path for path in log_set.log.rglob("__consumer_offsets-*/*.log") if path.stat().st_size]
    assert segments
    for path in segments:
        row = files[str(path)]
        assert row[2] == hashlib.sha256(path.read_bytes()).hexdigest()
        assert row[1] == f"{path.stat().st_size:,}"


def test_what_could_be_hidden_is_told(log_set: LogSet) -> None:
    """The ranges that explain names are those that are shaded."""
    page = shown(log_set)
    hidden = {(row.get("log_partition"), row.get("first_log_offset"))
              for row in rows_of("explain", log_set) if row["type"] == "hidden_range"}  # fmt: skip
    partitions = {row["log"]: row["log_partition"] for row in page.groups}
    shaded = {
        (partitions[number], first)
        for number, log in enumerate(page.page["logs"]) if number in partitions for _, first, *_ in log["spans"]
    }  # fmt: skip
    assert {one for one in hidden if one[0] in partitions.values()} <= shaded


def test_the_command_of_the_page_gives_it_again(log_set: LogSet, tmp_path: Path) -> None:
    page = shown(log_set)
    found = re.search(r'<code id="command">(.*?)</code>', page.html)
    assert found
    words = shlex.split(html.unescape(found[1]))
    assert words[0] == "offdecode"
    words[words.index("report.html")] = str(tmp_path / "again.html")
    run(*words[1:])
    again = Shown((tmp_path / "again.html").read_text("utf-8"))
    assert again.data == page.data
