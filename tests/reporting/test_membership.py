"""Who held what when, against a model that follows each partition of each member by itself."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from offdecode.history.groups.generations import GenerationRows
from offdecode.history.groups.images import EMPTY, STABLE, Assigned, Assignment, Generation, GroupImage, Member
from offdecode.reporting.membership import Membership
from offdecode.reporting.stories import Stories

TOPICS = ("orders", "payments", "clicks")
Shown = tuple[str, int, str, int, int | None, int | None]  # topic, partition, member, first, last, generation


def generation(number: int, time: int, members: list[Member]) -> Generation:
    image = GroupImage(
        0, "g", "classic", STABLE if members else EMPTY, number, None, "consumer", "range", None, None, tuple(members),
        number, time,
    )  # fmt: skip
    return Generation(image, None, number, time)


def assignment(rnd: random.Random) -> Assignment | None:
    """What a member holds; some name a topic twice, or nothing of it."""
    if rnd.random() < 0.05:
        return None
    topics = rnd.choices(TOPICS, k=rnd.randrange(4))
    return tuple(Assigned(topic, None, None, tuple(rnd.sample(range(6), rnd.randrange(4)))) for topic in topics)


@pytest.mark.parametrize("since", [None, 700])
@pytest.mark.parametrize("seed", range(10))
def test_each_partition_is_held_as_generations_say(seed: int, since: int | None) -> None:
    rnd = random.Random(seed)
    membership = Membership(GenerationRows({}), {}, since, Stories())
    expected: Counter[Shown] = Counter()
    held: dict[tuple[str, str, int], tuple[int, int]] = {}  # member, topic, partition: since when, which generation
    members: dict[str, Assignment | None] = {}
    gained = []

    def end(key: tuple[str, str, int], last: int | None) -> None:
        first, number = held.pop(key)
        if since is None or last is None or last >= since:
            expected[key[1], key[2], key[0], first, last, number] += 1

    for number in range(1, 60):
        time = number * 25
        for name in ("a", "b", "c", "d"):
            match rnd.randrange(5):
                case 0:
                    members.pop(name, None)
                case 1 | 2:
                    members[name] = assignment(rnd)
        now = {
            (name, item.topic or "", partition)
            for name, items in members.items() for item in items or () for partition in item.partitions
        }  # fmt: skip
        for key in set(held) - now:
            end(key, time)
        if since is None or time >= since:
            gained.append(len(now - set(held)))
        held |= dict.fromkeys(now - set(held), (time, number))
        membership.tell(generation(number, time, [Member(name, assignment=items) for name, items in members.items()]))
    for key in list(held):
        end(key, None)
    membership.finish()
    story = membership.story("g")
    found = Counter(
        (bar.topic, at, bar.member.member_id, bar.first, bar.last, bar.generation)
        for bar in story.bars for at in bar.partitions
    )  # fmt: skip
    assert found == expected
    assert [row["gained"] for row in story.generations] == gained
    assert all(bar.log_offset == bar.generation for bar in story.bars)


def test_a_member_id_that_stands_twice_loses_nothing() -> None:
    membership = Membership(GenerationRows({}), {}, None, Stories())
    twice = [Member("a", assignment=(Assigned("orders", None, None, (at, 7)),)) for at in (1, 2)]
    membership.tell(generation(1, 10, twice))
    membership.finish()
    bars = {(at, bar.first, bar.last) for bar in membership.story("g").bars for at in bar.partitions}
    assert bars == {(1, 10, 10), (2, 10, None), (7, 10, None)}
