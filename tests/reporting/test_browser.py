"""The page in a real browser: what it draws, what it answers to, and what it never does."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

import offdecode
from tests.bench.measure import FOLDER
from tests.bench.shapes_groups import GROUP_SHAPES
from tests.command import on_path, run
from tests.reporting.pages import Shown, as_word
from tests.reporting.test_page import HOSTILE, write
from tests.segment_builder import Header, batch, commit
from tests.truth import FIXTURES

pytestmark = pytest.mark.slow
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
if "OFFDECODE_REQUIRE_BROWSER" not in os.environ:
    pytest.importorskip("playwright", reason="pip install 'offdecode[browser]'")
    if CHROMIUM is None:
        pytest.skip("there is no Chromium", allow_module_level=True)

Row = dict[str, Any]
GROUPS = FIXTURES / "kafka-4.4.0-all-groups" / "log"
CLASSIC = FIXTURES / "kafka-3.9.1-classic" / "log"
TRANSACTIONS = FIXTURES / "kafka-4.4.0-transactions-tv1" / "log"
_FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
_SERIES = """(name) => charts.flatMap(({ chart }) => chart.getOption().series.filter((one) => one.name === name)
    .map((one) => one.data.map((point) => point.value ?? point)))"""


@dataclass
class Looked:
    """A page that is open. heard: what the console said; asked: every request."""

    page: Any
    heard: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def text(self, selector: str) -> str:
        found: str = self.page.inner_text(selector)
        return found

    def texts(self, selector: str) -> list[str]:
        found: list[str] = self.page.locator(selector).all_inner_texts()
        return found

    def wait(self, expression: str) -> None:
        """Until it is true. The page itself may evaluate nothing, so it is asked from outside."""
        for _ in range(100):
            if self.page.evaluate(expression):
                return
            self.page.wait_for_timeout(50)
        raise AssertionError(expression)

    def series(self, name: str) -> list[list[list[Any]]]:
        """The points of all series of a name, as they are drawn now."""
        found: list[list[list[Any]]] = self.page.evaluate(_SERIES, name)
        return found

    def ranges(self) -> list[list[int]]:
        """What part of time each picture shows."""
        script = "charts.map(({ chart }) => chart.getOption().dataZoom[0]).map((at) => [at.startValue, at.endValue])"
        found: list[list[int]] = self.page.evaluate(script)
        return found


Open = Callable[..., Looked]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=_FLAGS)
        yield started
        started.close()


@pytest.fixture
def look(browser: Any, tmp_path: Path) -> Iterator[Open]:
    """Opens a log's page, or a file; at the end nothing must have been asked for or complained about."""
    opened: list[tuple[Looked, str]] = []

    def open_page(log: Path, part: str = "", **asked: Any) -> Looked:
        if log.suffix != ".html":
            page_file = tmp_path / f"{len(opened)}.html"
            offdecode.report(log, on_problem=lambda problem: None, **asked).save(page_file)
            log = page_file
        context = browser.new_context(
            viewport={"width": 1280, "height": 900}, timezone_id="Asia/Kolkata", color_scheme="light",
            reduced_motion="reduce",  # a place that was measured while the page still glides is another one
        )  # fmt: skip
        looked = Looked(context.new_page())
        looked.page.on("console", lambda message: looked.heard.append(message.text))
        looked.page.on("pageerror", lambda error: looked.heard.append(str(error)))
        looked.page.on("request", lambda request: looked.asked.append(request.url))
        looked.page.goto(f"{log.as_uri()}{part}")
        looked.page.wait_for_selector("html[data-ready]", timeout=20_000)
        opened.append((looked, log.as_uri()))
        return looked

    yield open_page
    for looked, address in opened:
        assert looked.heard == []
        assert {url.partition("#")[0] for url in looked.asked} == {address}
        looked.page.context.close()


def shown(log: Path) -> Shown:
    return Shown(offdecode.report(log, on_problem=lambda problem: None).html)


@pytest.mark.parametrize("log", [GROUPS, CLASSIC, TRANSACTIONS], ids=lambda log: log.parent.name)
def test_bars_of_time_are_the_counts(look: Open, log: Path) -> None:
    page = look(log)
    bars = shown(log).page["bars"]
    for kind, counts in bars["counts"].items():
        drawn = page.series(kind)
        assert sum(point[3] for series in drawn for point in series) == sum(counts)
        assert all(point[2] - point[1] == point[3] for series in drawn for point in series)
    assert page.texts("#overview-legend .key") == [
        text for text in page.texts("#overview-legend .key") if re.match(r"\s*[\d,]+ \w", text)
    ]


@pytest.mark.parametrize("log", [GROUPS, CLASSIC, TRANSACTIONS], ids=lambda log: log.parent.name)
def test_lines_and_marks_of_every_group_are_the_rows(look: Open, log: Path) -> None:
    page = look(log)
    told: dict[tuple[str, str, int], list[Row]] = {}
    for row in run("explain", log).rows:
        if row["type"] == "movement":
            told.setdefault((as_word(row["group"]), as_word(row["topic"]), row["partition"]), []).append(row)
    every = shown(log)
    for number, group in enumerate(every.groups[:40]):
        page.page.evaluate("(at) => { location.hash = '#g' + at; }", number)
        page.wait(f"chosen.group === {number}")
        data = every.of(number)
        lines = data["lines"][:6]
        drawn = page.series("committed")
        assert len(drawn) == len(lines)
        for (topic, partition, points, _, _), line in zip(lines, drawn, strict=True):
            marks = [row for row in data["marks"] if (row["topic"], row["partition"]) == (topic, partition)]
            expected = {(time, committed, str(place)) for time, committed, place in points}
            found = {(point[0], int(point[3]), str(point[2])) for point in line if point[1] is not None}
            assert expected <= found
            late = max((point[0] for point in line), default=0)
            moved = {str(row["log_offset"]) for row in marks}
            assert {point[2] for point in found - expected if point[0] < late} <= moved
            assert sum(point[1] is None for point in line) == sum(
                row["after"] is None and row["log_timestamp"] is not None for row in marks
            )
            own = [row["kind"] for row in told[group["group"], topic, partition]]
            assert sum(kind not in ("first", "advance", "repeat") for kind in own) == len(marks)
        at = {place for series in page.series("marks") for _, _, place in series}
        timed = {
            place for place, row in enumerate(data["marks"])
            if row["log_timestamp"] is not None and any((row["topic"], row["partition"]) == line[:2] for line in lines)
        }  # fmt: skip
        assert at == timed


def test_bars_of_members_are_what_generations_tell(look: Open) -> None:
    page = look(GROUPS)
    every = shown(GROUPS)
    for number, group in enumerate(every.groups[:30]):
        page.page.evaluate("(at) => { location.hash = '#g' + at; }", number)
        page.wait(f"chosen.group === {number}")
        data = every.of(number)
        partitions = sorted({(topic, partition) for topic, partition, *_ in data["bars"]})
        (drawn,) = page.series("held") or [[]]
        expected = [
            [partitions.index((topic, partition)), first, last or every.page["to"]]
            for topic, partition, _, first, last, _, _ in data["bars"] if len(partitions) <= 40
        ]  # fmt: skip
        if len(partitions) <= 40:
            assert sorted(bar[:3] for bar in drawn) == sorted(expected), group["group"]
        for series in page.series("members"):
            if series and len(series[0]) == 2:
                assert series == [
                    [one["log_timestamp"], one["members"]]
                    for one in data["generations"]
                    if one["log_timestamp"] is not None
                ]


def test_one_range_zooms_all(look: Open) -> None:
    page = look(CLASSIC)
    whole = page.ranges()
    assert len(whole) == 3
    assert len({tuple(one) for one in whole}) == 1
    page.page.click("#closer")
    near = page.ranges()
    assert len({tuple(one) for one in near}) == 1
    assert near[0][1] - near[0][0] == pytest.approx((whole[0][1] - whole[0][0]) / 2, abs=2)
    page.page.focus("#offsets-chart")
    page.page.keyboard.press("ArrowRight")
    assert page.ranges()[0][0] > near[0][0]
    page.page.keyboard.press("0")
    assert page.ranges() == whole
    page.page.evaluate("scrollTo({ top: 0, behavior: 'instant' })")
    for _ in range(5):  # a busy machine may have drawn the handle anew when the button went down
        box = page.page.locator("#overview-chart").bounding_box()
        below = box["y"] + box["height"] - 14
        page.page.mouse.move(box["x"] + box["width"] - 16, below)
        page.page.wait_for_timeout(100)
        page.page.mouse.down()
        for step in range(1, 9):
            page.page.mouse.move(box["x"] + box["width"] - 16 - step * box["width"] / 16, below)
            page.page.wait_for_timeout(50)
        page.page.mouse.up()
        page.page.wait_for_timeout(500)
        if page.page.evaluate("range.to < page.to"):
            break
    page.wait("range.to < page.to")
    dragged = page.ranges()
    assert len({tuple(one) for one in dragged}) == 1
    assert dragged[0][1] < whole[0][1]
    page.page.click("#group-zoom")
    assert page.ranges()[0] != dragged[0]


def test_groups_are_sorted_and_found(look: Open) -> None:
    page = look(GROUPS)
    rows = shown(GROUPS).groups
    page.page.click("#groups-head [data-column=commits] button")
    commits = [int(text.replace(",", "")) for text in page.texts("#groups-body tr td:nth-child(7)")]
    assert commits == sorted((row["commits"] for row in rows), reverse=True)[:50]
    assert page.page.get_attribute("#groups-head [data-column=commits]", "aria-sort") == "descending"
    page.page.click("#groups-head [data-column=group] button")
    order = page.page.evaluate("[...document.querySelectorAll('#groups-body tr')].map((row) => row.dataset.group)")
    assert [rows[int(at)]["group"] for at in order] == sorted((row["group"] for row in rows), key=str.lower)[:50]
    page.page.keyboard.press("/")
    page.page.keyboard.type("reset")
    found = page.texts("#groups-body a")
    assert found
    assert len(found) == sum("reset" in f"{row['group']}\n{row['why'] or ''}".lower() for row in rows)
    assert f"{len(found)} of " in page.text("#groups-count")
    page.page.keyboard.press("Control+A")
    page.page.keyboard.press("Backspace")
    page.page.click("#groups-more")
    assert len(page.texts("#groups-body tr")) == len(rows)


def test_a_group_is_reached_by_keys_alone(look: Open) -> None:
    page = look(CLASSIC)
    page.page.focus("#groups-body tr:nth-child(3) a")
    page.page.keyboard.press("Enter")
    page.wait("chosen.group === 2")
    assert page.page.evaluate("document.activeElement.id") == "group-title"
    for _ in range(60):
        page.page.keyboard.press("Tab")
        if page.page.evaluate("document.activeElement.id") == "offsets-chart":
            break
    else:
        pytest.fail("the picture of offsets is not reached")
    label = page.page.get_attribute("#offsets-chart", "aria-label")
    assert "committed offsets over time" in label
    unlabelled = """[...document.querySelectorAll('input, select, button')].filter((one) =>
        !(one.labels?.length || one.textContent.trim() || one.ariaLabel)).map((one) => one.outerHTML)"""
    assert page.page.evaluate(unlabelled) == []


def test_a_link_picks_the_row_for_jq(look: Open, tmp_path: Path) -> None:
    page = look(CLASSIC, "#g0m3")
    mark = shown(CLASSIC).of(0)["marks"][3]
    assert page.page.locator("tr.picked").count() == 1
    explain, decode = page.texts("tr.picked-more code")
    env = on_path(tmp_path)
    rows = []
    for command in (explain, decode):
        done = subprocess.run(["bash", "-c", command], capture_output=True, check=True, env=env)
        rows.append([json.loads(line) for line in done.stdout.splitlines()])
    (movement,), (record,) = rows
    assert (movement["kind"], movement["before"], movement["after"], movement["log_offset"]) == (
        mark["kind"], mark["before"], mark["after"], mark["log_offset"])  # fmt: skip
    assert (record["log_offset"], record["offset"]) == (mark["log_offset"], mark["after"])
    assert f"log offset {mark['log_offset']}" in page.text("tr.picked-more")


def test_hovering_tells_the_row_and_both_times(look: Open) -> None:
    page = look(CLASSIC)
    place = page.page.evaluate(
        """() => { const { chart } = charts.find(({ box }) => box.id === 'offsets-chart');
        const at = chart.getOption().series.findIndex((one) => one.name === 'marks' && one.data.length);
        const { value } = chart.getOption().series[at].data[0]; const box = chart.getDom().getBoundingClientRect();
        chart.getDom().scrollIntoView({ block: 'start', behavior: 'instant' });
        const [x, y] = chart.convertToPixel({ seriesIndex: at }, value); return [x, y, value[2]]; }"""
    )
    box = page.page.locator("#offsets-chart").bounding_box()
    page.page.mouse.move(box["x"] + place[0] - 3, box["y"] + place[1])
    page.page.mouse.move(box["x"] + place[0], box["y"] + place[1], steps=3)
    page.page.wait_for_selector(".tip:visible")
    told = page.text(".tip")
    offset = re.search(r"log offset (\d+)", told)
    assert offset
    (mark,) = [one for one in shown(CLASSIC).of(0)["marks"] if one["log_offset"] == int(offset[1])]
    assert f"{mark['before']} → {mark['after']}" in told  # several may lie over each other: one of them is told
    assert re.search(r"Z = 2026-11-\d\d \d\d:\d\d:\d\d\.\d{3}\+05:30", told)


def test_local_time_has_its_offset(look: Open) -> None:
    page = look(CLASSIC)
    assert page.text("#range").endswith("Z")
    page.page.select_option("#zone", "local")
    assert page.text("#range").endswith("+05:30")
    assert "+05:30" in page.text("#marks-body tr:first-child td:first-child")


def test_dark_and_light(look: Open) -> None:
    page = look(CLASSIC)
    background = "getComputedStyle(document.body).backgroundColor"
    light = page.page.evaluate(background)
    page.page.click("#theme")
    assert page.page.evaluate(background) != light
    assert page.page.evaluate("document.documentElement.dataset.theme") == "dark"


def test_hostile_names_are_inert(look: Open, tmp_path: Path) -> None:
    log = write(
        tmp_path / "evidence", batch([commit(name, name, at, 7) for at, name in enumerate(HOSTILE)] * 2, Header(0))
    )
    page = look(log)
    for number in range(len(HOSTILE)):
        page.page.evaluate("(at) => { location.hash = '#g' + at; }", number)
        page.wait(f"chosen.group === {number}")
        assert page.page.evaluate("typeof hacked") == "undefined"
    text = page.text("body")
    assert "\u202e" not in text
    assert "\\u202egnp.exe" in text
    assert "<script>hacked=1</script>" in text
    assert page.page.evaluate("document.querySelectorAll('img, iframe, object, embed').length") == 0


def test_commands_for_hostile_names_name_them(look: Open, tmp_path: Path) -> None:
    names = [name for name in HOSTILE if len(name) < 300 and "\x00" not in name]
    log = write(
        tmp_path / "evi'dence", batch([commit(name, name, 1, at) for at in (9, 3) for name in names], Header(0))
    )  # fmt: skip
    page = look(log)
    env = on_path(tmp_path)
    for number in range(len(names)):
        page.page.evaluate("(at) => { location.hash = '#g' + at + 'm0'; }", number)
        page.page.wait_for_selector(f"#g{number}m0.picked")
        done = subprocess.run(
            ["bash", "-c", page.texts("tr.picked-more code")[0]], capture_output=True, check=True,
            env=env,
        )  # fmt: skip
        (row,) = [json.loads(line) for line in done.stdout.splitlines()]
        assert (row["kind"], row["group"] in names) == ("rewind", True)


def test_it_prints(look: Open, tmp_path: Path) -> None:
    page = look(CLASSIC)
    page.page.click("#theme")
    data = page.page.pdf(path=tmp_path / "page.pdf")
    assert data.startswith(b"%PDF")
    assert len(re.findall(rb"/Type\s*/Page\b", data)) >= 3
    page.page.emulate_media(media="print")
    assert not page.page.is_visible("nav")
    order = ["overview", "groups", "group", "evidence", "method"]
    tops = [page.page.locator(f"#{name}").bounding_box()["y"] for name in order]
    assert tops == sorted(tops)
    assert page.page.evaluate("document.documentElement.dataset.theme") == "dark"


def test_damage_is_seen(look: Open, tmp_path: Path) -> None:
    log = tmp_path / "log"
    shutil.copytree(CLASSIC, log)
    segment = max(log.glob("*/*.log"), key=lambda path: path.stat().st_size)
    data = segment.read_bytes()
    segment.write_bytes(data[: len(data) // 2] + b"\xff" * 700 + data[len(data) // 2 + 700 :])
    page = look(log)
    assert page.page.locator("#completeness rect.span-damaged").count() == 1
    bands = page.page.evaluate(
        "charts.flatMap(({ chart }) => chart.getOption().series.map((one) => one.markArea?.data ?? []))"
    )
    assert any(bands)
    assert "could be hidden" in page.text("#offsets")


def test_a_notebook_shows_the_page_in_a_frame(look: Open, tmp_path: Path) -> None:
    notebook = tmp_path / "notebook.html"
    notebook.write_text(f"<html data-ready><body>{offdecode.report(CLASSIC)._repr_html_()}</body></html>")
    page = look(notebook)
    (frame,) = page.page.main_frame.child_frames
    frame.wait_for_selector("html[data-ready]")
    assert frame.locator("#groups-body tr").count() == len(shown(CLASSIC).groups)
    page.asked = [url for url in page.asked if url != "about:srcdoc"]


def test_a_million_commits_of_two_thousand_groups_are_usable(look: Open, tmp_path: Path) -> None:
    log = GROUP_SHAPES["fleet"].write(FOLDER, 1_000_000)
    path = tmp_path / "fleet.html"
    offdecode.report(log).save(path)
    assert path.stat().st_size <= 10_000_000
    page = look(path)
    ready = page.page.evaluate("performance.now()")
    started = page.page.evaluate("performance.getEntriesByName('ready')[0].startTime")
    assert started <= min(ready, 2000), started
    assert len(Shown(path.read_text("utf-8")).groups) == 2000
    begin = page.page.evaluate("performance.now()")
    page.page.evaluate("showGroup(1500)")
    assert page.page.evaluate("performance.now()") - begin < 2000
    print(f"{path.stat().st_size:,} bytes, ready in {started:.0f} ms")


def test_the_words_of_a_command_are_those_of_a_shell() -> None:
    (command,) = re.findall(r'<code id="command">(.*?)</code>', offdecode.report(CLASSIC).html)
    assert shlex.split(command)[:3] == ["offdecode", "report", str(CLASSIC)]
