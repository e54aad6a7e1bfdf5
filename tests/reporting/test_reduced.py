"""What is reduced for the eye keeps its extremes, its sums, and says what it leaves out."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest

from offdecode.history.groups.images import Member
from offdecode.history.movements.movement import MOVEMENT, MovementKind
from offdecode.model import ABSENT
from offdecode.reporting.counts import WIDTHS_MS, Counts
from offdecode.reporting.marks import Marks
from offdecode.reporting.points import Points
from offdecode.reporting.stories import MOST_GROUPS, Bar, Stories, Story, fair
from offdecode.schemas.history_rows import MOVEMENT_ROW
from offdecode.schemas.rows import row_type

Point = tuple[int, int, int, int]  # key, time, log offset, offset


def steps(points: list[Point]) -> dict[str, np.ndarray]:
    """As Moves tells of commits: by key, within it as they take effect."""
    points = sorted(points, key=lambda point: point[0])
    found = {name: np.zeros(len(points), np.int64) for name in MOVEMENT.names or ()}
    found["kind"][:] = MovementKind.ADVANCE
    found["decided_timestamp"][:] = ABSENT
    for at, (key, time, place, offset) in enumerate(points):
        found["key"][at], found["log_timestamp"][at], found["log_offset"][at], found["after"][at] = (
            key,
            time,
            place,
            offset,
        )
    return found


@pytest.mark.parametrize("most", [64, 500, 5000])
@pytest.mark.parametrize("seed", range(4))
def test_each_span_keeps_its_first_last_least_and_greatest(most: int, seed: int) -> None:
    rnd = random.Random(seed)
    every: list[Point] = []
    points = Points(most_held=most)
    for number in range(40):
        chunk: list[Point] = []
        for _ in range(rnd.randrange(100)):
            offset = rnd.randrange(-50, 1 << rnd.randrange(1, 50))
            time = number * 1000 + rnd.randrange(1000) if seed % 2 else len(every) * 7 + len(chunk)
            chunk.append((rnd.randrange(5), time, len(every) + len(chunk), offset))
        chunk.sort(key=lambda point: point[1])
        every += chunk
        points.add(steps(chunk), np.ones(len(chunk), np.bool_), 0)
    found = {tuple(point) for point in points.of(np.arange(5), most).tolist()}
    assert found <= set(every)
    spans: dict[tuple[int, int], list[Point]] = defaultdict(list)
    for point in every:
        spans[point[0], point[1] // points.span_ms].append(point)
    for own in spans.values():
        offsets = [point[3] for point in own]
        kept = [point for point in own if point in found]
        assert {own[0], own[-1]} <= set(kept)
        assert (min(point[3] for point in kept), max(point[3] for point in kept)) == (min(offsets), max(offsets))
    assert len(found) <= max(most, 20)
    assert points.span_ms > 1 or len(found) == len(every)


def test_keys_that_nobody_asks_for_and_commits_without_a_time() -> None:
    points = Points()
    chunk = steps([(1, 10, 0, 5), (2, ABSENT, 1, 6), (3, 12, 2, 7)])
    points.add(chunk, np.array([True, True, False]), 100)
    assert points.of(np.array([101, 103]), 10).tolist() == [(101, 10, 0, 5)]
    assert points.untimed == 1


@pytest.mark.parametrize("reach", [0, 1, 999, 10**6, 10**10, 1 << 45])
def test_bars_add_up(reach: int) -> None:
    rnd = random.Random(reach)
    counts, expected = Counts(most_held=200), Counter[str]()
    for _ in range(30):
        times = np.array([rnd.randint(-reach, reach) for _ in range(rnd.randrange(1, 50))], np.int64)
        name = rnd.choice(("commit", "rewind"))
        counts.add(name, times)
        expected[name] += len(times)
    bars = counts.bars(50)
    assert {name: int(own.sum()) for name, own in bars.counts.items()} == expected
    assert len(bars.starts) <= 51
    assert (bars.starts % bars.width_ms == 0).all()
    assert bars.width_ms in WIDTHS_MS


def test_widths_divide_each_other() -> None:
    assert all(wide % narrow == 0 for narrow, wide in pairwise(WIDTHS_MS))


def movements(kinds: list[str], first: int) -> pa.RecordBatch:
    schema = row_type(MOVEMENT_ROW).arrow_schema
    rows = [{"kind": kind, "log_offset": first + at} for at, kind in enumerate(kinds)]
    return pa.RecordBatch.from_pylist(rows, schema=schema)


def test_rare_marks_stay_and_frequent_ones_are_thinned_evenly() -> None:
    marks = Marks(most=100)
    for first in range(0, 10_000, 100):
        marks.add(movements(["aborted"] * 99 + ["rewind" if first % 1000 == 0 else "aborted"], first), 3)
    rows = marks.table().to_pylist()
    assert len(rows) <= 100
    assert Counter(row["kind"] for row in rows)["rewind"] == 10
    kept = [row["log_offset"] for row in rows if row["kind"] == "aborted"]
    assert marks.kinds["aborted"].count == 9990
    assert marks.kinds["aborted"].one_in == 128
    assert len(kept) == -(-9990 // 128)
    assert max(right - left for left, right in pairwise(kept)) <= 130
    assert {row["log"] for row in rows} == {3}


def test_few_marks_are_all_there() -> None:
    marks = Marks(most=100)
    marks.add(movements(["rewind"] * 99, 0), 0)
    assert marks.table().num_rows == 99
    assert marks.kinds["rewind"].one_in == 1


def test_generations_are_thinned_and_counted() -> None:
    story = Story()
    for number in range(10_000):
        story.add_generation({"generation": number})
    story.thin(100)
    numbers = [row["generation"] for row in story.generations]
    assert (story.count, len(numbers) <= 100, numbers[0]) == (10_000, True, 0)
    assert numbers == list(range(0, 10_000, story.one_in))


def bars_of(story: Story) -> list[tuple[int, int]]:
    """Of each partition that has a bar: which one, and when the bar begins."""
    return sorted((partition, bar.first) for bar in story.bars for partition in bar.partitions)


def test_the_shortest_bars_are_told_together() -> None:
    story, member = Story(), Member("m")
    for number in range(20_000):
        story.add_bar(Bar("orders", frozenset([number % 3]), member, number, number + number % 97, number, 1))
    story.cut(100)
    assert story.bar_count == len(bars_of(story)) == 100
    assert {bar.length for bar in story.bars} == {96}
    hidden = story.hidden()
    assert sum(one.count for one in hidden.values()) == 20_000 - 100
    assert {key: (one.first, one.last >= 19_900) for key, one in hidden.items()} == {
        ("orders", 0): (0, True), ("orders", 1): (1, True), ("orders", 2): (2, True)}  # fmt: skip


@pytest.mark.parametrize("seed", range(6))
def test_bars_of_several_partitions_count_for_each(seed: int) -> None:
    rnd = random.Random(seed)
    story, member, every = Story(), Member("m"), []
    for number in range(3000):
        partitions = frozenset(rnd.sample(range(40), rnd.randrange(1, 9)))
        first, length = rnd.randrange(10**6), rnd.choice((rnd.randrange(50), number))
        every += [("orders", partition, first, first + length) for partition in partitions]
        story.add_bar(Bar("orders", partitions, member, first, first + length, number, 1))
        if number % 500 == 499:
            story.cut(700)
    story.cut(500)
    assert story.bar_count == len(bars_of(story)) == 500
    kept = Counter((bar.topic, at, bar.first, bar.first + bar.length) for bar in story.bars for at in bar.partitions)
    rest = Counter(every) - kept
    assert kept <= Counter(every)
    assert min(last - first for _, _, first, last in kept) >= max(last - first for _, _, first, last in rest)
    for key, hidden in story.hidden().items():
        own = [(first, last) for topic, at, first, last in rest.elements() if (topic, at) == key]
        assert (hidden.first, hidden.last, hidden.count) == (
            min(first for first, _ in own), max(last for _, last in own), len(own))  # fmt: skip
    assert sum(hidden.count for hidden in story.hidden().values()) == rest.total()


@pytest.mark.parametrize("seed", range(4))
def test_what_is_cut_early_would_be_cut_in_the_end(seed: int) -> None:
    rnd = random.Random(seed)
    few, all_of_it = Stories(most_bars=60, most_generations=50), Stories()
    stories = [(few.begin(), all_of_it.begin()) for _ in range(8)]
    lengths = rnd.sample(range(10**6), 4000)  # distinct, so it is certain which are the longest
    held = []
    for number, length in enumerate(lengths):
        for story, mine in zip((few, all_of_it), stories[int(rnd.random() ** 3 * 8)], strict=True):
            story.add_bar(mine, Bar("orders", frozenset([0]), Member("m"), number, number + length, number, 1))
            story.add_generation(mine, {"generation": mine.count})
        held.append(sum(len(story.bars) + len(story.generations) for story, _ in stories))
    assert max(held) <= 4 * (60 + 50)
    few.choose([story for story, _ in stories])
    each = fair([len(whole.bars) for _, whole in stories], 60)
    for cut, whole in stories:
        whole.cut(each)
        assert bars_of(cut) == bars_of(whole)
        assert [row["generation"] for row in cut.generations] == list(range(0, cut.count, cut.one_in))
    assert 50 // 2 - 8 <= sum(len(story.generations) for story, _ in stories) <= 50


def test_a_busy_group_keeps_its_history_beside_very_many_small_ones() -> None:
    stories = Stories(most_bars=10_000)
    busy, small = stories.begin(), []
    for number in range(20_000):
        small.append(stories.begin())
        for at in range(2):
            stories.add_generation(small[-1], {"generation": at})
            stories.add_bar(small[-1], Bar("orders", frozenset([at]), Member("m"), number, number + 1, number, 1))
        if number % 10 == 0:
            stories.add_generation(busy, {"generation": number})
            stories.add_bar(busy, Bar("orders", frozenset([0]), Member("m"), number, number + 1, number, 1))
    assert (busy.one_in, len(busy.generations), len(busy.bars)) == (1, 2000, 2000)
    stories.choose([busy, *small[: MOST_GROUPS - 1]])
    assert (busy.one_in, len(busy.generations), len(busy.bars)) == (1, 2000, 2000)


def test_what_is_held_does_not_grow_with_the_groups() -> None:
    stories, every, most = Stories(most_bars=1000, most_generations=1000), [], 0
    for number in range(30_000):
        every.append(stories.begin())
        for at in range(10):
            stories.add_generation(every[-1], {"generation": at})
            stories.add_bar(every[-1], Bar("orders", frozenset([at]), Member("m"), 0, number + at, at, 1))
        if number % 1000 == 0:
            most = max(most, sum(len(story.generations) + story.bar_count for story in every) - 2 * number)
    assert most <= 2 * 4 * 1000 * 6


def test_of_very_many_groups_each_keeps_something_without_cutting_over_and_over() -> None:
    stories, before, cuts = Stories(most_bars=10, most_generations=10), 0, 0
    every = []
    for number in range(6000):
        every.append(stories.begin())
        for at in range(3):
            stories.add_bar(every[-1], Bar("orders", frozenset([at]), Member("m"), 0, number, number, 1))
        now = every[0].bar_count + every[-1].bar_count
        cuts, before = cuts + (now < before), now
    assert all(story.bar_count for story in every)
    assert sum(story.bar_count for story in every) < 6000 * 3
    assert cuts < 20


@pytest.mark.parametrize(("counts", "most", "each"), [
    ([], 10, 1), ([5, 5], 10, 5), ([100, 1], 10, 9), ([100, 100, 100], 10, 3), ([7] * 20, 10, 1), ([3], 10, 3),
])  # fmt: skip
def test_what_there_is_room_for_is_shared(counts: list[int], most: int, each: int) -> None:
    assert fair(counts, most) == each
