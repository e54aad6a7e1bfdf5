"""Group images against what live brokers' admin clients said just before they stopped, and rare turns of a group."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from offdecode.history.groups.group_records import (
    GROUP_ROW_TYPES,
    ClassicGeneration,
    Epoch,
    GroupRecord,
    Held,
    Role,
    Told,
)
from offdecode.history.groups.images import Assignment, Generation, GroupEvent, GroupImage, GroupType, Holding, Standing
from offdecode.history.groups.replay import GroupReplay
from offdecode.history.topic_names import TopicNames
from tests.asking import a_request, decode
from tests.truth import LogSet, log_sets, set_id

Row = dict[str, Any]


def described(log_set: LogSet) -> dict[str, Row]:
    """{group: its description}, where the broker gave one."""
    path = log_set.truth / "state.json"
    state = json.loads(path.read_text("utf-8")) if path.exists() else {}
    groups = state.get("groups", {})
    if isinstance(groups, dict):  # the older sets
        found = {name: entry["describe"] for name, entry in groups.items() if entry.get("describe")}
        return {name: row for name, row in found.items() if row.get("state") in ("Empty", "Stable")}
    return {row["group"]: row for row in groups if "state" in row}


def topic_names(log_set: LogSet) -> dict[str, str]:
    state = json.loads((log_set.truth / "state.json").read_text("utf-8"))
    return {topic["topic_id"]: topic["name"] for topic in state.get("topics", []) if "topic_id" in topic}


SETS = [log_set for log_set in log_sets() if described(log_set)]


def replayed(log_set: LogSet, names: dict[str, str]) -> tuple[GroupReplay, list[Generation]]:
    events: list[GroupEvent] = []
    replay = GroupReplay(events.append, TopicNames(names))
    for chunk in decode(a_request(log_set.log, row_types=GROUP_ROW_TYPES), lambda problem: None):
        replay.apply(chunk)
    replay.finish()
    return replay, [event for event in events if isinstance(event, Generation)]


def flat(assignment: Assignment | None) -> list[str]:
    return sorted(f"{item.topic}-{partition}" for item in assignment or () for partition in item.partitions)


def image_differences(image: GroupImage, row: Row) -> Iterator[str]:
    """Where an image differs from the broker's description."""
    pairs: dict[str, tuple[Any, Any]] = {
        "type": (image.group_type, row.get("type", "classic").lower()),
        "state": (image.state, row["state"]),
        "epoch": (image.generation, row.get("group_epoch", image.generation)),
        "target epoch": (image.assignment_epoch, row.get("target_assignment_epoch", image.assignment_epoch)),
    }
    theirs = {member["member_id"]: member for member in row.get("members", ()) if "member_id" in member}
    ours = {member.member_id: member for member in image.members}
    if theirs or row["state"] == "Empty":  # 4.0's set has no members
        pairs["members"] = sorted(ours), sorted(theirs)
    for name in ours.keys() & theirs.keys():
        member, other = ours[name], theirs[name]
        pairs[f"{name} client"] = (member.client_id, member.client_host), (other["client_id"], other["host"])
        pairs[f"{name} instance"] = member.instance_id, other.get("instance_id", member.instance_id)
        if "assignment" in other and member.assignment is not None:
            pairs[f"{name} assignment"] = flat((*member.assignment, *member.revoking)), sorted(other["assignment"])
        if "target_assignment" in other:
            pairs[f"{name} target"] = flat(member.target), sorted(other["target_assignment"])
    return (f"{what}: {a!r} for {b!r}" for what, (a, b) in pairs.items() if a != b)


@pytest.mark.parametrize("log_set", SETS, ids=set_id)
def test_images_are_what_the_broker_described(log_set: LogSet) -> None:
    replay, told = replayed(log_set, topic_names(log_set))
    partitions = {int(path.name.rpartition("-")[2]) for path in log_set.log.glob("__consumer_offsets-*")}
    images = {image.group: image for image in replay.images()}
    rows = described(log_set)
    assert images.keys() <= rows.keys()
    found = {name: list(image_differences(image, rows[name])) for name, image in images.items()}
    if "captured_at" not in json.loads((log_set.truth / "state.json").read_text("utf-8")):
        # The older sets do not say where the log ended: a member may have timed out behind the description.
        before = {event.image.group: event.previous for event in told}
        for name in [name for name in found if found[name] and images[name].state == "Empty"]:
            previous = before[name]
            found[name] = list(image_differences(previous, rows[name])) if previous else ["no generation before"]
    found = {name: differences for name, differences in found.items() if differences}
    assert found == {}
    assert all(image.complete for image in images.values())
    if len(partitions) == 4:  # nothing left out: who is missing never had a group record
        assert {name for name, row in rows.items() if row["state"] != "Empty"} <= images.keys()


def record(group_type: GroupType, role: Role, offset: int, told: Told | None) -> GroupRecord:
    """told: None = a tombstone."""
    return GroupRecord(group_type, role, 0, offset, 1000 * (offset // 10), "g", told)


def classic(offset: int, generation: int) -> GroupRecord:
    told = ClassicGeneration("consumer", generation, protocol="range", leader=None, since=7)
    return record(GroupType.CLASSIC, Role.GENERATION, offset, told)


def told(*records: GroupRecord) -> list[tuple[str, str, int | None, int | None]]:
    events: list[GroupEvent] = []
    replay = GroupReplay(events.append, TopicNames({}))
    for item in records:
        replay.apply_record(item)
    replay.finish()
    return [
        (event.image.group_type, event.image.state, event.image.generation, event.log_offset)
        for event in events
        if isinstance(event, Generation)
    ]


def test_a_tombstone_is_a_deletion_unless_another_type_follows_in_the_same_append() -> None:
    gone = record(GroupType.CLASSIC, Role.GENERATION, 11, None)
    epoch = record(GroupType.CONSUMER, Role.EPOCH, 12, Epoch(4))
    target = record(GroupType.CONSUMER, Role.TARGET_EPOCH, 13, Epoch(4))
    turned = [("classic", "Empty", 3, 10), ("consumer", "Empty", 4, 12)]
    assert told(classic(10, 3), gone, epoch, target) == turned
    later = record(GroupType.CONSUMER, Role.EPOCH, 25, Epoch(4))
    dead = ("classic", "Dead", None, 11)
    assert told(classic(10, 3), gone, later, target) == [turned[0], dead, ("consumer", "Empty", 4, 25)]
    assert told(classic(10, 3), gone, classic(12, 1)) == [turned[0], dead, ("classic", "Empty", 1, 12)]
    assert told(classic(10, 3), gone) == [turned[0], dead]


def test_the_tombstones_of_a_former_type_end_nothing() -> None:
    stale = record(GroupType.CONSUMER, Role.EPOCH, 12, None)
    assert told(classic(10, 3), stale, classic(13, 4)) == [("classic", "Empty", 3, 10), ("classic", "Empty", 4, 13)]


def test_a_generation_that_is_written_again_is_told_once() -> None:
    assert told(classic(10, 3), classic(12, 3)) == [("classic", "Empty", 3, 10)]


def test_an_image_without_the_record_of_its_epoch_is_incomplete() -> None:
    events: list[GroupEvent] = []
    replay = GroupReplay(events.append, TopicNames({}))
    held = record(GroupType.CONSUMER, Role.HELD, 5, Held(2, 0, ()))._replace(member_id="m")
    replay.apply_record(held)
    assert [type(event) for event in events] == [Holding, Standing]
    image = replay.image(0, "g")
    assert image is not None
    assert not image.complete
    assert (image.generation, image.state) == (None, "Assigning")


@pytest.mark.parametrize("missing", [False, True])
def test_the_end_of_a_group_whose_records_are_gone_is_told_once(missing: bool) -> None:
    """Where records may be missing; else a tombstone without a record before it is that of a simple group."""
    events: list[GroupEvent] = []
    replay = GroupReplay(events.append, TopicNames({}))
    replay.records_missing = missing
    for offset in (4, 9):
        replay.apply_record(record(GroupType.CLASSIC, Role.GENERATION, offset, None))
    replay.finish()
    told = [event.image.state for event in events if isinstance(event, Generation)]
    assert told == (["Dead"] if missing else [])
