"""Group records of every kind, replayed in log order, to an image of each group and to its generations.

A classic group writes a generation as one record. The others write an epoch and what follows from it as many:
their generation is told when all members hold what it gives them, or when the next change overtakes it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from offdecode.history.groups.classic_members import ClassicMembers
from offdecode.history.groups.group_records import GroupRecord, Role, iter_group_records
from offdecode.history.groups.images import (
    ASSIGNING,
    EMPTY,
    NO_MEMBERS,
    RECONCILING,
    STABLE,
    ClassicHolding,
    Generation,
    GroupEvent,
    GroupImage,
    GroupType,
    Holding,
    Member,
    Standing,
)
from offdecode.history.groups.members import MemberRecords
from offdecode.model import DecodedChunk
from offdecode.schemas.history_rows import DEAD

_Place = tuple[int | None, int | None]  # log offset, log timestamp


class GroupReplay:
    """Replays chunks; they must hold all group records of the wanted groups, in log order.

    topic_names: {topic id: name}, to which the names in the log are added. Log partitions are kept apart.
    records_missing: whether records before the next ones may be missing; then the tombstone of a group that has no
    record before it is told. tells: whether Generations are wanted.
    """

    def __init__(self, topic_names: dict[str, str] | None = None, *, tells: bool = True) -> None:
        self.topic_names: dict[str, str] = {} if topic_names is None else topic_names
        self.tells = tells
        self.classic_members = ClassicMembers()
        self._groups: dict[tuple[int | None, str], _Group] = {}
        self.records_missing = False
        self._dead: set[tuple[int | None, str]] = set()  # groups whose end was told
        self._ended: dict[int | None, _Group] = {}  # by log partition, a group whose tombstone was the last record

    def apply(self, chunk: DecodedChunk) -> list[GroupEvent]:
        """Replay a chunk's group records: what they make happen."""
        records = iter_group_records(chunk, self.classic_members)
        return [event for record in records for event in self._apply(record)]

    def apply_record(self, record: GroupRecord) -> list[GroupEvent]:
        """Replay one record."""
        return list(self._apply(record))

    def _apply(self, record: GroupRecord) -> Iterator[GroupEvent]:
        values = record.values
        if record.role is Role.TOPICS:
            self._learn(values)
            return
        key = (values["log_partition"], values["group"])
        group = self._groups.get(key)
        ended = self._ended.pop(key[0], None)
        if ended is not None and not (ended is group and _goes_on(ended, record)):
            yield from ended.die()
            self._forget(ended)
            group = self._groups.get(key)
        if group is None:
            ends = self.records_missing and record.role in (Role.GENERATION, Role.EPOCH) and key not in self._dead
            if record.tombstone and not ends:
                return
            group = self._groups[key] = _Group(self, key[0], key[1], record.group_type)
        yield from group.apply(record)
        yield from group.stand()
        if group.ended:
            self._ended[key[0]] = group

    def finish(self) -> list[GroupEvent]:
        """What is still to be told where the log ends: deletions, and epochs whose members are on their way."""
        return list(self._finish())

    def _finish(self) -> Iterator[GroupEvent]:
        for group in list(self._groups.values()):
            yield from group.die() if group.ended else group.tell()
            if group.ended:
                self._forget(group)
        self._ended.clear()

    def _forget(self, group: _Group) -> None:
        key = group.log_partition, group.name
        del self._groups[key]
        self._dead.add(key)

    def images(self) -> Iterator[GroupImage]:
        """Every group that exists now."""
        return (group.image() for group in self._groups.values() if not group.ended)

    def image(self, log_partition: int | None, group: str) -> GroupImage | None:
        """One group as it is now; None where there is none."""
        found = self._groups.get((log_partition, group))
        return None if found is None or found.ended else found.image()

    def _learn(self, values: dict[str, Any]) -> None:
        for column in ("topics", "initializing_topics", "initialized_topics"):
            for topic in values.get(column) or ():
                self.topic_names[topic["topic_id"]] = topic["topic_name"]


def _goes_on(ended: _Group, record: GroupRecord) -> bool:
    """Whether a group's record right behind its tombstone turns it into another type: one append writes both."""
    offset, timestamp = ended.place
    return (
        not record.tombstone
        and record.group_type is not ended.type
        and record.values["log_timestamp"] == timestamp
        and (offset is None or record.values["log_offset"] == offset + 1)
    )


class _Group:
    """One group as its records so far tell it."""

    def __init__(self, replay: GroupReplay, log_partition: int | None, name: str, kind: GroupType) -> None:
        self._replay = replay
        self.log_partition = log_partition
        self.name = name
        self.type = kind
        self.place: _Place = (None, None)
        self.ended = False
        self._told: GroupImage | None = None
        self._holders: dict[str, Member] = {}  # but for those of a classic group
        self._stood: tuple[int | None, int, bool, bool] | None = None
        self._reset()

    def _reset(self) -> None:
        """Forget what the records of one type told."""
        self._classic: dict[str, Any] = {}
        self._classic_members: tuple[Member, ...] = ()
        self._readable = True
        self._epoch: int | None = None
        self._target_epoch: int | None = None
        self._members: dict[str, MemberRecords] = {}
        self._unreconciled: set[str] = set()
        self._subtopologies: dict[str, tuple[str, ...]] = {}
        self._opened: _Place | None = None  # where an untold generation began
        self._opened_by: Role | None = None

    def apply(self, record: GroupRecord) -> Iterator[GroupEvent]:
        if record.tombstone and record.group_type is not self.type:
            return  # what is left of a type that the group no longer has
        changes_type = record.group_type is not self.type
        ends = record.tombstone and record.role in (Role.GENERATION, Role.EPOCH)
        if changes_type or ends or self._closes(record):
            yield from self.tell()
        if changes_type:
            self._holders |= {member.member_id: member for member in self._classic_members}
            self._reset()
            self.type, self.ended = record.group_type, False
        self.place = record.values["log_offset"], record.values["log_timestamp"]
        if ends:
            self.ended = True
        elif record.role is Role.GENERATION:
            yield from self._apply_generation(record)
        else:
            yield from self._apply_part(record)

    def _closes(self, record: GroupRecord) -> bool:
        """Whether a record begins something new, so that the epoch under way gets no further.

        Who a member is may be written again: members of the classic protocol do so whenever they rejoin.
        """
        if self._opened_by is not Role.EPOCH:
            return False
        if record.role is Role.MEMBER:
            return record.tombstone or record.values["member_id"] not in self._members
        return record.role is Role.EPOCH or (record.tombstone and record.role in (Role.TARGET, Role.HELD))

    def _apply_generation(self, record: GroupRecord) -> Iterator[GroupEvent]:
        members, numbers, self._readable = record.roster
        self._classic, self._classic_members = record.values, members
        self._holders.clear()  # of another type before
        generation = record.values["generation"]
        yield ClassicHolding(self.log_partition, self.name, self.place[0], generation, members, numbers)
        told, kind = self._told, self.type.value
        if told is None or (told.group_type, told.generation, told.members) != (kind, generation, members):
            self._opened = self.place
            yield from self.tell()

    def _apply_part(self, record: GroupRecord) -> Iterator[GroupEvent]:
        values = record.values
        match record.role:
            case Role.EPOCH:
                if values["epoch"] != self._epoch:
                    self._epoch = values["epoch"]
                    self._opened, self._opened_by = self.place, Role.EPOCH
            case Role.TARGET_EPOCH:
                self._target_epoch = values["assignment_epoch"]
                self._unreconciled = {name for name in self._members if not self._reconciled(name)}
            case Role.TOPOLOGY:
                self._subtopologies = {} if record.tombstone else _topics_read(values["subtopologies"])
            case _:
                yield from self._apply_member(record)
        if self._opened is not None and not self._unreconciled and self._target_epoch == self._epoch:
            yield from self.tell()

    def _apply_member(self, record: GroupRecord) -> Iterator[GroupEvent]:
        values, name = record.values, record.values["member_id"]
        row = None if record.tombstone else values
        member = self._members.setdefault(name, MemberRecords())
        if record.role is Role.MEMBER:
            # A member that comes without an epoch of its own takes the place of a static one.
            if row is not None and member.identity is None and self._opened is None:
                self._opened, self._opened_by = self.place, Role.MEMBER
            member.identity = row
            holds = self._holders.get(name)
            if row is not None and member.held is not None and holds is not None:
                now = self._member(name)
                if now.subscribed_topics != holds.subscribed_topics:
                    yield self._hold(now, member.held["member_epoch"])
        elif record.role is Role.TARGET:
            member.target = row
        else:
            member.held = row
            if row is None:
                yield from self._release({name} & self._holders.keys())
            else:
                yield self._hold(self._member(name), values["member_epoch"])
        if member.identity is None and member.target is None and member.held is None:
            del self._members[name]
            self._unreconciled.discard(name)
        elif self._reconciled(name):
            self._unreconciled.discard(name)
        else:
            self._unreconciled.add(name)

    def _reconciled(self, name: str) -> bool:
        return self._members[name].reconciled(self.type, self._target_epoch)

    def _member(self, name: str) -> Member:
        return self._members[name].member(name, self.type, self._target_epoch, self._replay.topic_names)

    def _hold(self, member: Member, epoch: int | None) -> Holding:
        self._holders[member.member_id] = member
        held = None if member.assignment is None else (*member.assignment, *member.revoking)
        return Holding(
            self.log_partition, self.name, self.type, self.place[0], epoch, member, held, self._subtopologies
        )

    def _release(self, names: set[str]) -> Iterator[Holding]:
        """These members hold nothing any more."""
        for name in names:
            member = self._holders.pop(name)
            yield Holding(self.log_partition, self.name, self.type, self.place[0], None, member, (), {})

    def stand(self) -> Iterator[Standing]:
        """Where the group stands now, if that has changed."""
        generation = None if self.ended else self._classic.get("generation", self._epoch)
        members = len(self._classic_members) or len(self._members)
        simple = generation == 0 and not members
        standing = generation, members, simple, self._readable
        if standing != self._stood:
            self._stood = standing
            offset, timestamp = self.place
            yield Standing(self.log_partition, self.name, offset, timestamp, *standing)

    def tell(self) -> Iterator[GroupEvent]:
        """Tell the generation that was opened, as it stands."""
        if self._opened is None:
            return
        if self.type is not GroupType.CLASSIC:
            yield from self._release(self._holders.keys() - self._members.keys())  # lost in a change of type
        if self._replay.tells:
            image = self.image()
            yield Generation(image, self._told, *self._opened)
            self._told = image
        self._opened, self._opened_by = None, None

    def die(self) -> Iterator[GroupEvent]:
        """Tell that the group is gone since its tombstone."""
        if self.type is GroupType.CLASSIC:
            yield ClassicHolding(self.log_partition, self.name, self.place[0], None, *NO_MEMBERS[:2])
        else:
            yield from self._release(set(self._holders))
        self._reset()
        self._opened = self.place
        yield from self.tell()

    def image(self) -> GroupImage:
        classic = self._classic
        members = self._classic_members or tuple(self._member(name) for name in self._members)
        assignors = sorted({member.server_assignor for member in members if member.server_assignor})
        return GroupImage(
            log_partition=self.log_partition,
            group=self.name,
            group_type=self.type.value,
            state=DEAD if self.ended else self._state(bool(members)),
            generation=classic.get("generation", self._epoch),
            assignment_epoch=self._target_epoch,
            protocol_type=classic.get("protocol_type") if self.type is GroupType.CLASSIC else self.type.value,
            protocol=classic.get("protocol") or ",".join(assignors) or None,
            leader=classic.get("leader"),
            since=classic.get("current_state_timestamp"),
            members=members,
            log_offset=self.place[0],
            log_timestamp=self.place[1],
            subtopologies=self._subtopologies,
            incomplete_reason=None if self.ended else self._missing(members),
        )

    def _state(self, members: bool) -> str:
        """Upstream's rules: ConsumerGroup, ShareGroup and StreamsGroup's maybeUpdateGroupState."""
        if not members:
            return EMPTY
        if self.type in (GroupType.CLASSIC, GroupType.SHARE):
            return STABLE
        if self._target_epoch is None or (self._epoch or 0) > self._target_epoch:
            return ASSIGNING
        return RECONCILING if self._unreconciled else STABLE

    def _missing(self, members: tuple[Member, ...]) -> str | None:
        """Which record that the image needs is not in the evidence."""
        if self.type is GroupType.CLASSIC:
            return None
        if self._epoch is None:
            return "the record of the group epoch is not in the evidence"
        unknown = [member.member_id for member in members if not member.known]
        if unknown:
            return f"no record in the evidence says who these members are: {', '.join(unknown)}"
        return None


def _topics_read(subtopologies: list[dict[str, Any]]) -> dict[str, tuple[str, ...]]:
    """The topics that each subtopology reads and commits offsets of."""
    return {
        part["subtopology_id"]: (*part["source_topics"], *(item["name"] for item in part["repartition_source_topics"]))
        for part in subtopologies
    }
