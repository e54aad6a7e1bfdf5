"""What a report keeps of groups' histories: generations, and who held what when, as much as a page can show."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from operator import attrgetter
from typing import Any, NamedTuple

from offdecode.history.groups.images import Member
from offdecode.model import LARGEST_INT64

MOST_GROUPS = 2500  # on a page
_MOST_GENERATIONS, _MOST_BARS = 10_000, 25_000  # on a page
_GENERATIONS_OF_A_GROUP, _BARS_OF_A_GROUP = 4000, 8000
_AHEAD = 4  # so many times as many are held before they are cut
_PAGES_OF_OTHERS = 10  # what the stories share that are not among the largest
_MOST_TOGETHER = 64  # sets of partitions: members of a group often hold the same ones again

Row = dict[str, Any]


class Bar(NamedTuple):
    """A member held partitions of a topic from a generation on. last: when that ended; None = where the evidence ends.

    Times: milliseconds since 1970 UTC. log_offset: of the record by which it was so. On the page each partition has a
    bar.
    """

    topic: str
    partitions: frozenset[int]
    member: Member
    first: int
    last: int | None
    log_offset: int | None
    generation: int | None

    @property
    def length(self) -> int:
        return length(self.first, self.last)


def length(first: int, last: int | None) -> int:
    """How long something lasted: what has no end, longest."""
    return LARGEST_INT64 if last is None else last - first


@dataclass(slots=True)
class Hidden:
    """Bars of a partition that are not kept: how many, from the first one's begin to the last one's end."""

    first: int
    last: int
    count: int = 0

    def add(self, first: int, last: int, count: int) -> None:
        if first < self.first:
            self.first = first
        if last > self.last:
            self.last = last
        self.count += count


@dataclass(slots=True)
class Story:
    """What is kept of one group.

    generations: one in so many; bar_count: each partition's; least: only longer bars can be kept to the end.
    """

    generations: list[Row] = field(default_factory=list)
    one_in: int = 1
    count: int = 0
    bars: list[Bar] = field(default_factory=list)
    bar_count: int = 0
    least: int = -LARGEST_INT64
    _hidden: dict[tuple[str, int], Hidden] = field(default_factory=dict)  # by topic and partition
    _short: dict[tuple[str, frozenset[int]], Hidden] = field(default_factory=dict)  # of partitions held together

    def add_generation(self, row: Row) -> int:
        """How many more are kept now."""
        self.count += 1
        if (self.count - 1) % self.one_in:
            return 0
        self.generations.append(row)
        return 1

    def thin(self, most: int) -> None:
        """Keep every second, every fourth generation, until there are at most so many."""
        while len(self.generations) > most:
            self.generations = self.generations[::2]
            self.one_in *= 2

    def add_bar(self, bar: Bar) -> None:
        self.bars.append(bar)
        self.bar_count += len(bar.partitions)

    def cut(self, most: int) -> None:
        """Keep the longest bars, at most so many."""
        if self.bar_count <= most:
            return
        ordered = sorted(self.bars, key=attrgetter("length"), reverse=True)
        ends = list(accumulate(len(bar.partitions) for bar in ordered))
        whole = bisect_right(ends, most)
        self.bars, self.bar_count = ordered[:whole], most
        room = most - (ends[whole - 1] if whole else 0)
        if room:
            bar = ordered[whole]
            shown = frozenset(sorted(bar.partitions)[:room])
            self.bars.append(bar._replace(partitions=shown))
            ordered[whole] = bar._replace(partitions=bar.partitions - shown)
        for bar in ordered[whole:]:
            self.hide(bar.topic, bar.partitions, bar.first, bar.last)
        self.least = self.bars[-1].length

    def hide(self, topic: str, partitions: frozenset[int], first: int, last: int | None) -> None:
        """Count bars that are not kept."""
        end = LARGEST_INT64 if last is None else last
        together = topic, partitions
        known = self._short.get(together)
        if known is None:
            if len(self._short) >= _MOST_TOGETHER:
                self._count_short()
            known = self._short[together] = Hidden(first, end)
        known.add(first, end, 1)

    def hidden(self) -> dict[tuple[str, int], Hidden]:
        """Bars that are not kept, by topic and partition."""
        self._count_short()
        return self._hidden

    def _count_short(self) -> None:
        for (topic, partitions), short in self._short.items():
            for partition in partitions:
                known = self._hidden.get((topic, partition))
                if known is None:
                    known = self._hidden[topic, partition] = Hidden(short.first, short.last)
                known.add(short.first, short.last, short.count)
        self._short.clear()


class Stories:
    """The stories of all groups of a report. Those that a page may show hold together some times as much as it shows.

    The more there is, the less each of them may keep: so of as many groups as a page has room for, what is cut early
    would be cut in the end. Of more groups the largest stories are those that may be shown; the others share as much as
    some pages.
    """

    def __init__(self, most_bars: int = _MOST_BARS, most_generations: int = _MOST_GENERATIONS) -> None:
        self._every: list[Story] = []
        self._bars = _Room(most_bars, _BARS_OF_A_GROUP, attrgetter("bar_count"), Story.cut)
        self._generations = _Room(
            most_generations, _GENERATIONS_OF_A_GROUP, lambda story: len(story.generations), Story.thin
        )

    def begin(self) -> Story:
        """The story of one more group."""
        self._every.append(Story())
        return self._every[-1]

    def add_generation(self, story: Story, row: Row) -> None:
        self._generations.take(story.add_generation(row), self._every)

    def add_bar(self, story: Story, bar: Bar) -> None:
        """bar: longer than `least` of the story."""
        story.add_bar(bar)
        self._bars.take(len(bar.partitions), self._every)

    def choose(self, shown: Sequence[Story]) -> None:
        """Cut what is shown to what a page has room for."""
        self._bars.share(shown)
        self._generations.share(shown)


class _Room:
    """For so many things of all stories, and of one of them. count: what a story has; cut: makes it keep so many."""

    def __init__(
        self, most: int, of_a_story: int, count: Callable[[Story], int], cut: Callable[[Story, int], None]
    ) -> None:
        self._most = most
        self._of_a_story = of_a_story
        self._count = count
        self._cut = cut
        self._held = 0
        self._limit = _AHEAD * most

    def take(self, added: int, stories: Sequence[Story]) -> None:
        """A story has so many more."""
        self._held += added
        if self._held > self._limit:
            self.share(stories, _AHEAD // 2)
            self._held = sum(map(self._count, stories))
            # Each keeps one at least: of very many it would be cut over and over.
            self._limit = max(_AHEAD * self._most, 2 * self._held)

    def share(self, stories: Sequence[Story], times: int = 1) -> None:
        """Let no story keep more than all of a page can, if there is room for so many times as many."""
        ordered = sorted(stories, key=self._count, reverse=True)
        largest, others = ordered[:MOST_GROUPS], ordered[MOST_GROUPS:]
        each = min(fair(list(map(self._count, largest)), self._most * times), self._of_a_story)
        for story in largest:
            self._cut(story, each)
        few = min(each, max(self._most * _PAGES_OF_OTHERS // max(len(others), 1), 1))
        for story in others:
            self._cut(story, few)


def fair(counts: Sequence[int], most: int) -> int:
    """How many each may have at most, so that all together have no more than `most`; at least one."""
    low, high = 1, max([1, *counts])
    while low < high:
        middle = (low + high + 1) // 2
        if sum(min(count, middle) for count in counts) <= most:
            low = middle
        else:
            high = middle - 1
    return low
