"""Generations of groups, and who held which partition when, as generations tell it: reduced for the eye."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from operator import attrgetter
from typing import Any, NamedTuple

from offdecode.history.groups.generations import GenerationRows
from offdecode.history.groups.images import Assignment, Generation, Member
from offdecode.model import LARGEST_INT64

_MOST_GENERATIONS = 2000  # of a group
_MOST_BARS = 4000  # of a group
_MOST_NAMED = 10  # members of a list that are named

Row = dict[str, Any]
_ByTopic = dict[str, frozenset[int]]  # by the topic's name, or its id, or the subtopology of a streams group
_NONE: frozenset[int] = frozenset()
_NOTHING: tuple[Assignment | None, _ByTopic] = (None, {})
_NOBODY = Member("")


class _Since(NamedTuple):
    """From here on a member held something. time None: the record has none."""

    time: int | None
    log_offset: int | None
    generation: int | None
    member: Member


@dataclass(frozen=True, slots=True)
class Bar:
    """A member held a partition from a generation on. last: when that ended; None = where the evidence ends.

    Times: milliseconds since 1970 UTC. log_offset: of the record by which it was so.
    """

    topic: str
    partition: int
    member: Member
    first: int
    last: int | None
    log_offset: int | None
    generation: int | None
    length: int


@dataclass(slots=True)
class Hidden:
    """Bars of a partition that are not kept: how many, from the first one's begin to the last one's end."""

    first: int
    last: int
    count: int = 0


@dataclass(slots=True)
class Story:
    """What is kept of one group. generations: one in so many; hidden: the shortest bars, by topic and partition."""

    generations: list[Row] = field(default_factory=list)
    one_in: int = 1
    count: int = 0
    bars: list[Bar] = field(default_factory=list)
    hidden: dict[tuple[str, int], Hidden] = field(default_factory=dict)
    least: int = -LARGEST_INT64  # so many bars are longer than this that no shorter one will be kept
    held: dict[str, tuple[Assignment | None, _ByTopic]] = field(default_factory=dict)  # by member id
    open: dict[tuple[str, str], dict[int, _Since]] = field(default_factory=dict)  # by member id and topic; by partition

    def add_generation(self, row: Row) -> None:
        if self.count % self.one_in == 0:
            self.generations.append(row)
        self.count += 1
        if len(self.generations) > 2 * _MOST_GENERATIONS:
            self.thin(_MOST_GENERATIONS)

    def thin(self, most: int) -> None:
        """Keep every second, every fourth generation, until there are at most so many."""
        while len(self.generations) > most:
            self.generations = self.generations[::2]
            self.one_in *= 2

    def add_bar(self, bar: Bar) -> None:
        self.bars.append(bar)
        if len(self.bars) > 2 * _MOST_BARS:
            self.cut(_MOST_BARS)

    def cut(self, most: int) -> None:
        """Keep the longest bars."""
        if len(self.bars) > most:
            ordered = sorted(self.bars, key=attrgetter("length"), reverse=True)
            self.bars = ordered[:most]
            self.least = self.bars[-1].length
            for bar in ordered[most:]:
                self.hide(bar.topic, bar.partition, bar.first, bar.last)

    def hide(self, topic: str, partition: int, first: int, last: int | None) -> None:
        """Count a bar that is not kept."""
        end = LARGEST_INT64 if last is None else last
        known = self.hidden.get((topic, partition))
        if known is None:
            known = self.hidden[topic, partition] = Hidden(first, end)
        known.first, known.last, known.count = min(known.first, first), max(known.last, end), known.count + 1


class Membership:
    """Is told of each generation of one log. since: of those before, only what was still held then is shown."""

    def __init__(self, rows: GenerationRows, topic_names: dict[str, str], since: int | None) -> None:
        self._rows = rows
        self._names = topic_names
        self._since = since
        self._stories: dict[str, Story] = {}  # by group

    def tell(self, event: Generation) -> Row | None:
        """Its row, without members; None where it was before `since`."""
        image = event.image
        row = self._rows.row(event, assignments=False)
        story = self._stories.setdefault(image.group, Story())
        time = image.log_timestamp if image.log_timestamp is not None else event.log_timestamp
        gained = self._hold(story, event, time)
        if self._since is not None and event.log_timestamp is not None and event.log_timestamp < self._since:
            return None
        story.add_generation(_shown(row, len(image.members), gained))
        return row

    def finish(self) -> None:
        """The log is through: what is held stays so."""
        for story in self._stories.values():
            for (_, topic), held in story.open.items():
                for partition, since in held.items():
                    self._end(story, topic, partition, since, None)
            story.open.clear()
            story.held.clear()

    def story(self, group: str) -> Story:
        """What is kept of a group, when the log is through."""
        return self._stories.get(group, Story())

    def name_topics(self, story: Story) -> None:
        """Name topics that were known by id, when all logs are through: any of them may have told the name."""
        names = self._names
        story.bars = [replace(bar, topic=names[bar.topic]) if bar.topic in names else bar for bar in story.bars]
        story.hidden = {(names.get(topic, topic), at): hidden for (topic, at), hidden in story.hidden.items()}

    def _hold(self, story: Story, event: Generation, time: int | None) -> int:
        """End what is no longer held, and begin what is: how many partitions come to a member."""
        image = event.image
        held: dict[str, tuple[Assignment | None, _ByTopic]] = {}
        gained = 0
        for member in image.members:
            name, assignment = member.member_id, member.assignment
            before = story.held.pop(name, _NOTHING)
            if before[0] is assignment:
                held[name] = before
                continue
            held[name] = assignment, self._by_topic(assignment)
            since = _Since(time, image.log_offset, image.generation, member)
            gained += self._change(story, name, before[1], held[name][1], since)
        for name, (_, had) in story.held.items():
            self._change(story, name, had, {}, _Since(time, None, None, _NOBODY))
        story.held = held
        return gained

    def _change(self, story: Story, name: str, had: _ByTopic, has: _ByTopic, since: _Since) -> int:
        """The same for one member, by what it had and what it has since then."""
        gained = 0
        for topic in {**had, **has} if had else has:
            before, after = had.get(topic, _NONE), has.get(topic, _NONE)
            if before == after:
                continue
            held = story.open.setdefault((name, topic), {})
            for partition in before - after:
                if partition in held:
                    self._end(story, topic, partition, held.pop(partition), since.time)
            won = after - before
            held.update(dict.fromkeys(won, since))
            gained += len(won)
            if not held:
                del story.open[name, topic]
        return gained

    def _by_topic(self, assignment: Assignment | None) -> _ByTopic:
        found: _ByTopic = {}
        for item in assignment or ():
            topic = item.topic
            if topic is None:
                known = None if item.topic_id is None else self._names.get(item.topic_id, item.topic_id)
                topic = known or f"subtopology {item.subtopology}"
            found[topic] = found.get(topic, _NONE).union(item.partitions)
        return found

    def _end(self, story: Story, topic: str, partition: int, since: _Since, last: int | None) -> None:
        """Keep a bar, unless it has no times, or ended before what is shown."""
        first = since.time
        if first is None or (self._since is not None and last is not None and last < self._since):
            return
        length = LARGEST_INT64 if last is None else last - first
        if length <= story.least:
            story.hide(topic, partition, first, last)
            return
        story.add_bar(Bar(topic, partition, since.member, first, last, since.log_offset, since.generation, length))


def _shown(row: Row, members: int, gained: int) -> Row:
    """What is shown of a generation's row. gained: partitions that came to another member, or to a first one."""
    names = {name: row.pop(name) for name in ("joined", "left", "replaced", "changed")}
    joined, left = names["joined"], [member.member_id for member, _, _ in names["left"]]
    return {
        **row,
        "members": members,
        "joined": joined[:_MOST_NAMED],
        "joined_count": len(joined),
        "left": left[:_MOST_NAMED],
        "left_count": len(left),
        "replaced_count": len(names["replaced"]),
        "changed_count": len(names["changed"]),
        "gained": gained,
    }
