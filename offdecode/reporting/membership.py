"""Who held which partition when, as one log's generations tell it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from offdecode.history.groups.generations import GenerationRows
from offdecode.history.groups.images import Assignment, Generation, Member
from offdecode.reporting.stories import Bar, Row, Stories, Story, length

_MOST_NAMED = 10  # members of a list that are named

_Partitions = dict[str, frozenset[int]]  # by the topic's name, or its id, or the subtopology of a streams group
_NONE: frozenset[int] = frozenset()


class _Since(NamedTuple):
    """From here on a member held something. time None: the record has none."""

    time: int | None
    log_offset: int | None
    generation: int | None
    member: Member


class _Part(NamedTuple):
    """Partitions of a topic that a member came to hold together."""

    topic: str
    partitions: frozenset[int]
    since: _Since


class _Holding(NamedTuple):
    """What a member holds, by its assignment."""

    assignment: Assignment | None
    parts: list[_Part]


@dataclass(frozen=True, slots=True)
class _Group:
    story: Story
    held: dict[str, _Holding] = field(default_factory=dict)  # by member id


class Membership:
    """Is told of each generation of one log. since: of those before, only what was still held then is shown."""

    def __init__(self, rows: GenerationRows, topic_names: dict[str, str], since: int | None, stories: Stories) -> None:
        self._rows = rows
        self._names = topic_names
        self._since = since
        self._stories = stories
        self._groups: dict[str, _Group] = {}

    def tell(self, event: Generation) -> Row | None:
        """Its row, without members; None where it was before `since`."""
        image = event.image
        row = self._rows.row(event, assignments=False)
        group = self._groups.get(image.group)
        if group is None:
            group = self._groups[image.group] = _Group(self._stories.begin())
        time = image.log_timestamp if image.log_timestamp is not None else event.log_timestamp
        gained = self._hold(group, event, time)
        if self._since is not None and event.log_timestamp is not None and event.log_timestamp < self._since:
            return None
        self._stories.add_generation(group.story, _shown(row, len(image.members), gained))
        return row

    def finish(self) -> None:
        """The log is through: what is held stays so."""
        for group in self._groups.values():
            self._leave(group, None)

    def story(self, group: str) -> Story:
        """What is kept of a group, when the log is through."""
        found = self._groups.get(group)
        return Story() if found is None else found.story

    def _hold(self, group: _Group, event: Generation, time: int | None) -> int:
        """End what is no longer held, and begin what is: how many partitions come to a member."""
        image = event.image
        held: dict[str, _Holding] = {}
        gained = 0
        for member in image.members:
            name, assignment = member.member_id, member.assignment
            before = group.held.pop(name, None) or held.get(name)
            if before is not None and before.assignment is assignment:
                held[name] = before
                continue
            won = self._by_topic(assignment)
            parts = [] if before is None else self._still(group.story, before.parts, won, time)
            since = _Since(time, image.log_offset, image.generation, member)
            for topic, partitions in won.items():
                if partitions:
                    parts.append(_Part(topic, partitions, since))
                    gained += len(partitions)
            held[name] = _Holding(assignment, parts)
        self._leave(group, time)
        group.held.update(held)
        return gained

    def _still(self, story: Story, parts: list[_Part], has: _Partitions, time: int | None) -> list[_Part]:
        """What of these parts is held on; it is taken out of `has`. The rest has ended."""
        found = []
        for part in parts:
            topic, partitions, since = part
            on = partitions & has.get(topic, _NONE)
            if len(on) < len(partitions):
                self._end(story, topic, partitions - on, since, time)
                part = _Part(topic, on, since)
            if on:
                found.append(part)
                has[topic] = has[topic] - on
        return found

    def _leave(self, group: _Group, time: int | None) -> None:
        """All that is held ends. time: None = it does not, as far as the evidence tells."""
        for holding in group.held.values():
            for topic, partitions, since in holding.parts:
                self._end(group.story, topic, partitions, since, time)
        group.held.clear()

    def _by_topic(self, assignment: Assignment | None) -> _Partitions:
        found: _Partitions = {}
        for item in assignment or ():
            topic = item.topic
            if topic is None:
                known = None if item.topic_id is None else self._names.get(item.topic_id, item.topic_id)
                topic = known or f"subtopology {item.subtopology}"
            found[topic] = found.get(topic, _NONE).union(item.partitions)
        return found

    def _end(self, story: Story, topic: str, partitions: frozenset[int], since: _Since, last: int | None) -> None:
        """Keep a bar, unless it has no times, or ended before what is shown."""
        first, log_offset, generation, member = since
        if first is None or (self._since is not None and last is not None and last < self._since):
            return
        if length(first, last) > story.least:
            self._stories.add_bar(story, Bar(topic, partitions, member, first, last, log_offset, generation))
        else:
            story.hide(topic, partitions, first, last)


def _shown(row: Row, members: int, gained: int) -> Row:
    """What is shown of a generation's row. gained: partitions that came to another member, or to a first one."""
    names = {name: row.pop(name) for name in ("joined", "left", "replaced", "changed")}
    joined, left = names["joined"], [member.member_id for member in names["left"].members]
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
