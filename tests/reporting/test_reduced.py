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
from offdecode.reporting.choice import fair
from offdecode.reporting.counts import WIDTHS_MS, Counts
from offdecode.reporting.marks import Marks
from offdecode.reporting.membership import Bar, Story
from offdecode.reporting.points import Points
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


def test_the_shortest_bars_are_told_together() -> None:
    story, member = Story(), Member("m")
    for number in range(20_000):
        length = number % 97
        story.add_bar(Bar("orders", number % 3, member, number, number + length, number, 1, length))
    story.cut(100)
    assert len(story.bars) == 100
    assert {bar.length for bar in story.bars} == {96}
    assert sum(hidden.count for hidden in story.hidden.values()) == 20_000 - 100
    assert {key: (hidden.first, hidden.last >= 19_900) for key, hidden in story.hidden.items()} == {
        ("orders", 0): (0, True), ("orders", 1): (1, True), ("orders", 2): (2, True)}  # fmt: skip


@pytest.mark.parametrize(("counts", "most", "each"), [
    ([], 10, 1), ([5, 5], 10, 5), ([100, 1], 10, 9), ([100, 100, 100], 10, 3), ([7] * 20, 10, 1), ([3], 10, 3),
])  # fmt: skip
def test_what_there_is_room_for_is_shared(counts: list[int], most: int, each: int) -> None:
    assert fair(counts, most) == each
