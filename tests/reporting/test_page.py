"""The page as a file: nothing is loaded, nothing of the log runs, and what it is asked for is what it shows."""

from __future__ import annotations

import base64
import hashlib
import html
import os
import re
import shlex
import shutil
import struct
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

import offdecode
from offdecode import UsageError
from offdecode.errors import SourceError
from offdecode.options import ExplainOptions, Filter, ReportOptions, Source, TopicIds
from offdecode.reporting.page import ECHARTS_VERSION
from offdecode.reporting.walk import report
from offdecode.request import Request
from offdecode.run import Run
from tests.command import run
from tests.questions.test_lag import evidence, orders
from tests.reporting.pages import Shown, read
from tests.segment_builder import BASE_TIME_MS, Header, Pair, batch, commit, marker, text
from tests.truth import FIXTURES

CLASSIC = FIXTURES / "kafka-3.9.1-classic" / "log"
GROUPS = FIXTURES / "kafka-4.4.0-all-groups" / "log"
HOSTILE = (
    "</script><script>hacked=1</script>", "<img src=x onerror=hacked=1>", "\u202egnp.exe", "<!--<script>", "'; rm ~",
    "a\x00b\x1b[31m", "{{ 7*7 }}", "x" * 30_000, "\u2028\u2029", "&lt;b&gt;",
)  # fmt: skip


def write(folder: Path, *batches: bytes, partition: int = 0) -> Path:
    log = folder / f"__consumer_offsets-{partition}" / f"{0:020}.log"
    log.parent.mkdir(parents=True)
    log.write_bytes(b"".join(batches))
    return folder


def page(*arguments: str | Path, status: int = 0) -> Shown:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "page.html"
        done = run("report", *arguments, "-o", path)
        assert done.status == status, done.stderr
        return read(path)


def test_only_what_is_named_by_its_hash_may_run() -> None:
    shown = Shown(offdecode.report(CLASSIC).html)
    (policy,) = [named["content"] for tag, named in shown.elements if tag == "meta" and "http-equiv" in named]
    assert policy is not None
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    hashes = {
        base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in (*shown.scripts, *shown.styles)
    }
    assert set(re.findall(r"'sha256-([^']+)'", policy)) == hashes
    assert len(hashes) == 3


def test_nothing_leads_elsewhere() -> None:
    for tag, named in Shown(offdecode.report(CLASSIC).html).elements:
        assert "src" not in named
        assert "style" not in named
        assert not any(name.startswith("on") for name in named)
        assert (named.get("href") or "#").startswith("#"), tag


def test_hostile_names_stay_text(tmp_path: Path) -> None:
    pairs = [commit(name, name, at, 7) for at, name in enumerate(HOSTILE)]
    hostile = write(tmp_path / "hostile", batch(pairs, Header(0)))
    plain = write(tmp_path / "plain", batch([commit(f"g{at}", f"t{at}", at) for at in range(len(HOSTILE))], Header(0)))
    shown, other = page(hostile), page(plain)
    assert [tag for tag, _ in shown.elements if tag != "rect"] == [tag for tag, _ in other.elements if tag != "rect"]
    assert shown.scripts == other.scripts
    assert {row["group"] for row in shown.groups} == {
        name if len(name) < 300 else f"{'x' * 300}… (30,000 characters)" for name in HOSTILE
    }
    assert len(shown.html) < len(other.html) + 20_000


def test_hostile_paths_and_titles_stay_text(tmp_path: Path) -> None:
    folder = write(tmp_path / "<b>\u202e{{ x }}&", batch([commit("g")], Header(0)))
    shown = page(folder, "--title", "<script>hacked=1</script>")
    assert "<title>&lt;script&gt;" in shown.html
    assert "<b>" not in shown.html.replace("<b>\\u202e", "")
    assert "\u202e" not in shown.html
    assert len(shown.scripts) == 2


def test_large_offsets_are_exact(tmp_path: Path) -> None:
    large = (1 << 63) - 1
    pairs = [commit("g", "orders", 0, offset) for offset in (large, large - 1, 7)]
    (data,) = [page(write(tmp_path, batch(pairs, Header(0)))).of(0)]
    assert [point[1] for point in data["lines"][0][2]] == [large, large - 1, 7]
    assert [(mark["before"], mark["after"]) for mark in data["marks"]] == [(large, large - 1), (large - 1, 7)]


def test_groups_and_times_that_are_asked_for(tmp_path: Path) -> None:
    whole = Shown(offdecode.report(GROUPS).html)
    name = whole.groups[0]["group"]
    middle = (whole.page["from"] + whole.page["to"]) // 2
    shown = page(GROUPS, "--group", name)
    assert [row["group"] for row in shown.groups] == [name]
    assert shown.of(0)["marks"] == whole.of(0)["marks"]
    assert sum(shown.page["bars"]["counts"]["commit"]) == whole.groups[0]["commits"]
    assert sum(whole.page["bars"]["counts"]["generation"]) == sum(row["generations"] for row in whole.groups) > 0
    since, until = (page(GROUPS, option, str(middle)) for option in ("--since", "--until"))
    assert since.page["bars"]["starts"][0] + since.page["bars"]["width"] > middle
    for number in range(len(since.groups)):
        data = since.of(number)
        assert all(point[0] >= middle for line in data["lines"] for point in line[2])
        assert all((one["log_timestamp"] or middle) >= middle for one in data["generations"])
        assert all(last is None or last >= middle for *_, last, _, _ in data["bars"])
    for number in range(len(until.groups)):
        data = until.of(number)
        assert all(point[0] <= middle for line in data["lines"] for point in line[2])
        assert all((one["log_timestamp"] or middle) <= middle for one in data["marks"])


def test_damage_is_told_and_the_rest_is_shown(tmp_path: Path) -> None:
    log = tmp_path / "log"
    shutil.copytree(CLASSIC, log)
    _damaged(log)
    asked = run("decode", log)
    shown = page(log, status=1)
    problems = [[cell.strip() for cell in row] for row in shown.tables["problems"][1:]]
    assert [(row[0], row[1], row[2].replace(",", ""), row[3]) for row in problems] == [
        (one["kind"], one["source"], "" if one["position"] is None else str(one["position"]), one["message"])
        for one in asked.problems
    ]
    spans = {tuple(span[:3]) for one in shown.page["logs"] for span in one["spans"]}
    assert {state for state, _, _ in spans} & {"damaged", "missing"}
    assert all(row["complete"] in (True, False) for row in shown.groups)
    assert {row["complete"] for row in shown.groups} == {True, False}


def _as_it_is(log: Path) -> None:
    pass


def _damaged(log: Path) -> None:
    segment = max(log.glob("*/*.log"), key=lambda path: path.stat().st_size)
    data = segment.read_bytes()
    segment.write_bytes(data[: len(data) // 2] + b"\xff" * 700 + data[len(data) // 2 + 700 : -37])


def _beside_what_is_no_offsets_log(log: Path) -> None:
    write(log, batch([(b"key", b"value")], Header(0)), partition=49)


def _with_a_leftover(log: Path) -> None:
    segment = next(log.glob("*/*.log"))
    shutil.copy(segment, f"{segment}.deleted")


def _in_two_copies(log: Path) -> None:
    shutil.copytree(log, log / "other", copy_function=shutil.copy)


@pytest.mark.parametrize("until", [None, 1 << 60], ids=["all", "until"])
@pytest.mark.parametrize(
    "change", [_as_it_is, _damaged, _beside_what_is_no_offsets_log, _with_a_leftover, _in_two_copies]
)
def test_the_evidence_is_what_check_tells(change: Callable[[Path], None], until: int | None, tmp_path: Path) -> None:
    log = tmp_path / "log"
    shutil.copytree(CLASSIC, log)
    change(log)
    told = offdecode.check(log)
    asked = Run(Request(Source((log,)), Filter(until=until)), lambda problem: None)
    seen = report(asked, ReportOptions(), ExplainOptions(), TopicIds())
    assert seen.checks == [one.as_dict() for one in told]


def test_transactions_without_an_end_and_what_they_hold_back(tmp_path: Path) -> None:
    def transaction(offset: int, producer: int) -> bytes:
        return batch([commit("g", "orders", producer)], Header(offset, 0x10, producer, 0, BASE_TIME_MS))

    write(tmp_path, transaction(0, 5), transaction(1, 6), marker(2, 6, commit=True), transaction(3, 7))
    shown = page(tmp_path)
    (table,) = [rows for rows in shown.tables.values() if rows[0][:1] == ["Producer"]]
    rows = [[cell.strip() for cell in row] for row in table[1:]]
    told = run("transactions", "--open", tmp_path).rows
    assert len(rows) == len(told) == 2
    assert [row[8] for row in rows] == [str(row["held_back_records"]) for row in told] == ["4", "1"]
    assert [row[9] for row in rows] == [row["abort_command"] for row in told]
    assert [mark["kind"] for mark in shown.of(0)["marks"]] == ["pending", "pending"]


def test_of_many_transactions_those_that_hold_back_most_are_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, *(batch([commit("g", "orders", one)], Header(one, 0x10, one, 0, BASE_TIME_MS)) for one in range(9)))
    monkeypatch.setattr("offdecode.questions.transactions._MOST_ROWS", 2)
    monkeypatch.setattr("offdecode.reporting.walk._MOST_TRANSACTIONS", 3)
    shown = Shown(offdecode.report(tmp_path).html)
    (table,) = [rows for rows in shown.tables.values() if rows[0][:1] == ["Producer"]]
    assert [row[8].strip() for row in table[1:4]] == ["9", "8", "7"]
    assert "6 more" in shown.html


def test_lag_is_that_of_lag(tmp_path: Path) -> None:
    evidence(tmp_path, {("orders", 0): 110, ("gone", 0): 3})
    orders(tmp_path, (100, [(100, 50), (150, 50)]))
    told = {(row["topic"], row["partition"]): row for row in run("lag", tmp_path).rows}
    shown = page(tmp_path)
    lines = {(topic, partition): (lag, ends) for topic, partition, _, lag, ends in shown.of(0)["lines"]}
    lag, ends = lines["orders", 0]
    asked = told["orders", 0]
    assert (lag["lag"], lag["lag_most"]) == (asked["lag"], asked["lag_most"]) == (90, 90)
    assert [shown.word(one) for one in lag["signals"]] == asked["signals"]
    assert all(least <= most for _, least, most in ends)
    assert [shown.word(one) for one in lines["gone", 0][0]["signals"]] == told["gone", 0]["signals"]


def test_a_log_without_movements_does_not_speak_of_deletions(tmp_path: Path) -> None:
    """Only logs in which offsets moved confirm each other, as explain weighs it."""
    log = tmp_path / "log"
    one = max(CLASSIC.glob("__consumer_offsets-*"), key=lambda path: _deletions(path))
    shutil.copytree(one, log / one.name)
    birth = struct.pack(">h", 2) + text("g"), struct.pack(">h", 3) + text("") + struct.pack(">ihhqi", 0, -1, -1, 1, 0)
    write(log, batch([birth], Header(0)), partition=49)
    told = [row for row in run("explain", log).rows if row.get("cause") == "topic_deleted"]
    shown = page(log)
    found = [mark for number in range(len(shown.groups)) for mark in shown.of(number)["marks"]]
    assert told
    deleted = [(mark["log_offset"], mark["confidence"]) for mark in found if mark["cause"] == "topic_deleted"]
    assert sorted(deleted) == sorted((row["log_offset"], row["confidence"]) for row in told)


def _deletions(log: Path) -> int:
    return sum(row.get("cause") == "topic_deleted" for row in run("explain", log).rows)


def test_every_command_that_the_page_names_is_one(tmp_path: Path) -> None:
    names = tmp_path / "topics"
    names.write_text("Wb27Zp_EQh2NnsewtjxCOw __consumer_offsets\n")
    options = (
        "--group", "notify-batch-32.consumer", "--since", "5", "--until", "1895422373216", "--topic-ids", names,
        "--offsets-retention-minutes", "60", "--coordinator", "old-live", "--log-partition", "2",
    )  # fmt: skip
    shown = page(GROUPS, *options)
    named = re.findall(r"<dd><code>(offdecode .*?)</code></dd>", shown.html)
    assert len(named) == 8
    for command in named:
        done = run(*shlex.split(html.unescape(command))[1:])
        assert (done.status, bool(done.stdout)) == (0, "transactions" not in command), command


def test_copies_of_a_partition_are_told(tmp_path: Path) -> None:
    one = write(tmp_path / "a", batch([commit("g", "orders", 0, 5)], Header(0)))
    other = write(tmp_path / "b", batch([commit("g", "orders", 0, 5)], Header(0)))
    together = page(one, other)
    assert [row["commits"] for row in together.groups] == [1]
    assert "copy" in together.tables["completeness"][1][0]
    apart = page(one, other, "--copies-apart", status=1)
    assert [(row["group"], row["log"]) for row in apart.groups] == [("g", 0), ("g", 1)]
    assert [len(apart.of(number)["lines"]) for number in (0, 1)] == [1, 1]


def test_exported_records_have_no_files(tmp_path: Path) -> None:
    lines = tmp_path / "records.jsonl"
    key, value = commit("g", "orders", 1, 42)
    assert key is not None
    assert value is not None
    lines.write_text(
        f'{{"key_hex":"{key.hex()}","value_hex":"{value.hex()}","partition":3,"offset":9,"timestamp":1700}}\n'
    )
    shown = page("--input-format", "records-jsonl", lines)
    assert shown.of(0)["lines"][0][2] == [(1700, 42, 9)]
    assert "files" not in shown.tables
    assert "exported records" in shown.html


@pytest.mark.parametrize("pairs", [
    [], [(b"\x00\x02\x00\x01g", None)], [commit("", "", -1, -1)],
], ids=["nothing", "a-tombstone", "empty-names"])  # fmt: skip
def test_little_is_a_page_too(tmp_path: Path, pairs: list[Pair]) -> None:
    write(tmp_path, batch(pairs, Header(0)) if pairs else b"")
    shown = page(tmp_path)
    assert len(shown.groups) == len(run("groups", tmp_path).rows)


def test_nothing_that_is_an_offsets_log(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("hello")
    done = run("report", tmp_path / "notes.txt", "-o", tmp_path / "page.html")
    assert (done.status, (tmp_path / "page.html").exists()) == (2, False)
    with pytest.raises(SourceError):
        offdecode.report(tmp_path / "notes.txt", on_problem=lambda problem: None)


def test_the_page_goes_to_stdout_and_never_over_the_evidence(tmp_path: Path) -> None:
    write(tmp_path, batch([commit("g")], Header(0)))
    assert run("report", tmp_path).stdout.startswith(b"<!DOCTYPE html>")
    done = run("report", tmp_path, "-o", tmp_path / "__consumer_offsets-0" / f"{0:020}.log")
    assert done.status == 2
    with pytest.raises(UsageError, match="never written to"):
        offdecode.report(tmp_path).save(tmp_path / "__consumer_offsets-0" / f"{0:020}.log")


def test_python_gives_the_same_page(tmp_path: Path) -> None:
    shown = page(CLASSIC, "--title", "Ours")
    made = offdecode.report(CLASSIC, title="Ours")
    made.save(tmp_path / "ours.html")
    ours = read(tmp_path / "ours.html")
    assert ours.data == shown.data
    assert re.sub("written [^ ]+", "", ours.html) == re.sub("written [^ ]+", "", shown.html)
    frame = made._repr_html_()
    assert frame.startswith('<iframe sandbox="allow-scripts"')
    assert frame.count("<") == 2
    with pytest.raises(UsageError, match="cannot be written"):
        made.save(tmp_path / "no" / "where.html")


def test_the_charting_library_is_the_release_that_the_page_names() -> None:
    assets = Path(offdecode.__file__).parent / "reporting" / "assets"
    script = (assets / "echarts.min.js").read_bytes()
    assert hashlib.sha256(script).hexdigest() == "b66b25aeb4df84e33199dc21694014d336d222cbd9deb0e5a7c14bd6aa0d0fd0"
    assert f'version="{ECHARTS_VERSION}"'.encode() in script
    assert b"Apache License" in (assets / "echarts.LICENSE").read_bytes()
    assert b"Apache ECharts" in (assets / "echarts.NOTICE").read_bytes()


def test_other_commands_do_not_wait_for_it() -> None:
    code = "import sys, offdecode.cli; offdecode.decode; print('jinja2' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env={**os.environ})
    assert done.stdout == "False\n"
