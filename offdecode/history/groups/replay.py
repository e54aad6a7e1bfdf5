"""Group records of every kind, replayed in log order, to an image of each group and to its generations.

A classic group writes a generation as one record. The others write an epoch and what follows from it as many:
their generation is told when all members hold what it gives them, or when the next change overtakes it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from offdecode.history.groups.assignments import Named
from offdecode.history.groups.group_records import ClassicGeneration, GroupRecord, GroupRecords, Role, Topics
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
    Who,
)
from offdecode.history.groups.members import MemberRecords
from offdecode.history.topic_names import TopicNames
from offdecode.model import DecodedChunk
from offdecode.schemas.history_rows import DEAD

_Place = tuple[int | None, int | None]  # log offset, log timestamp


class GroupReplay:
    """Replays chunks; they must hold all group records of the wanted groups, in log order.

    topic_names: of ids, to which the names in the log are added. Log partitions are kept apart.
    records_missing: whether records before the next ones may be missing; then the tombstone of a group that has no
    record before it is told. emit: is called with what happens. tells: whether Generations are wanted; holds: whether
    other events are.
    """

    def __init__(
        self, emit: Callable[[GroupEvent], None], topic_names: TopicNames, *, tells: bool = True, holds: bool = True
    ) -> None:
        self.emit = emit
        self.topic_names = topic_names
        self.named = Named(self.topic_names)
        self.tells = tells
        self.holds = holds
        self.records = GroupRecords()
        self._groups: dict[tuple[int | None, str], _Group] = {}
        self.records_missing = False
        self._dead: set[tuple[int | None, str]] = set()  # groups whose end was told
        self._ended: dict[int | None, _Group] = {}  # by log partition, a group whose tombstone was the last record

    def apply(self, chunk: DecodedChunk) -> None:
        """Replay a chunk's group records."""
        for record in self.records.of(chunk):
            self.apply_record(record)

    def apply_record(self, record: GroupRecord) -> None:
        """Replay one record."""
        if record.role is Role.TOPICS:
            self._learn(record.told)
            return
        key = (record.log_partition, record.group)
        group = self._groups.get(key)
        if self._ended:
            ended = self._ended.pop(key[0], None)
            if ended is not None and not (ended is group and _goes_on(ended, record)):
                ended.die()
                self._forget(ended)
                group = self._groups.get(key)
        if group is None:
            ends = self.records_missing and record.role in (Role.GENERATION, Role.EPOCH) and key not in self._dead
            if record.told is None and not ends:
                return
            group = self._groups[key] = _Group(self, key[0], key[1], record.group_type)
        group.apply(record)
        if self.holds:
            group.stand()
        if group.ended:
            self._ended[key[0]] = group

    def finish(self) -> None:
        """Tell what is still to be told where the log ends: deletions, and epochs whose members are on their way."""
        for group in list(self._groups.values()):
            if group.ended:
                group.die()
                self._forget(group)
            else:
                group.tell()
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

    def _learn(self, told: Any) -> None:
        if isinstance(told, Topics):
            for topic in (*(told.known or ()), *(told.more or ())):
                self.topic_names[topic["topic_id"]] = topic["topic_name"]


def _goes_on(ended: _Group, record: GroupRecord) -> bool:
    """Whether a group's record right behind its tombstone turns it into another type: one append writes both."""
    offset, timestamp = ended.place
    return (
        record.told is not None
        and record.group_type is not ended.type
        and record.log_timestamp == timestamp
        and (offset is None or record.log_offset == offset + 1)
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
        self._holders: dict[str, Who] = {}  # but for those of a classic group
        self._stood: tuple[int | None, int, bool] | None = None
        self._reset()

    def _reset(self) -> None:
        """Forget what the records of one type told."""
        self._classic: ClassicGeneration | None = None
        self._classic_members: tuple[Member, ...] = ()
        self._readable = True
        self._epoch: int | None = None
        self._target_epoch: int | None = None
        self._members: dict[str, MemberRecords] = {}
        self._unreconciled: set[str] = set()
        self._subtopologies: dict[str, tuple[str, ...]] = {}
        self._opened: _Place | None = None  # where an untold generation began
        self._opened_by: Role | None = None

    def apply(self, record: GroupRecord) -> None:
        if record.role is Role.HELD and record.told is not None and record.group_type is self.type:
            # Most records are of this kind; they close nothing.
            self.place = record.log_offset, record.log_timestamp
            self._apply_member(record)
            self._tell_if_reached()
            return
        changes_type = record.group_type is not self.type
        if changes_type and record.told is None:
            return  # what is left of a type that the group no longer has
        role = record.role
        ends = record.told is None and role in (Role.GENERATION, Role.EPOCH)
        if changes_type or ends or self._closes(record):
            self.tell()
        if changes_type:
            self._holders |= {member.member_id: member.who for member in self._classic_members}
            self._reset()
            self.type, self.ended = record.group_type, False
        self.place = record.log_offset, record.log_timestamp
        if ends:
            self.ended = True
        elif role is Role.GENERATION:
            self._apply_generation(record)
        else:
            self._apply_part(record)

    def _closes(self, record: GroupRecord) -> bool:
        """Whether a record begins something new, so that the epoch under way gets no further.

        Who a member is may be written again: members of the classic protocol do so whenever they rejoin.
        """
        if self._opened_by is not Role.EPOCH:
            return False
        if record.role is Role.MEMBER:
            return record.told is None or record.member_id not in self._members
        return record.role is Role.EPOCH or (record.told is None and record.role in (Role.TARGET, Role.HELD))

    def _apply_generation(self, record: GroupRecord) -> None:
        told: Any = record.told
        self._classic = told
        members, numbers, self._readable = told.roster
        self._classic_members = members
        self._holders.clear()  # of another type before
        if self._replay.holds:
            self._replay.emit(ClassicHolding(self.name, told.generation, members, numbers))
        before, kind = self._told, self.type.value
        if before is None or (before.group_type, before.generation, before.members) != (kind, told.generation, members):
            self._opened = self.place
            self.tell()

    def _apply_part(self, record: GroupRecord) -> None:
        told: Any = record.told
        match record.role:
            case Role.HELD | Role.MEMBER | Role.TARGET:
                self._apply_member(record)
            case Role.EPOCH:
                if told.number != self._epoch:
                    self._epoch = told.number
                    self._opened, self._opened_by = self.place, Role.EPOCH
            case Role.TARGET_EPOCH:
                self._target_epoch = None if told is None else told.number
                self._unreconciled = {
                    name
                    for name, member in self._members.items()
                    if not member.reconciled(self.type, self._target_epoch)
                }
            case Role.TOPOLOGY:
                self._subtopologies = {} if told is None else _topics_read(told.subtopologies)
        self._tell_if_reached()

    def _tell_if_reached(self) -> None:
        """Tell the epoch under way if all members hold what it gives them."""
        if self._opened is not None and not self._unreconciled and self._target_epoch == self._epoch:
            self.tell()

    def _apply_member(self, record: GroupRecord) -> None:
        told: Any = record.told
        name, role = record.member_id or "", record.role
        member = self._members.get(name)
        if member is None:
            member = self._members[name] = MemberRecords(name)
        if role is Role.HELD:
            member.held = told
            if told is None:
                self._release({name} & self._holders.keys())
            else:
                self._hold(member)
        elif role is Role.TARGET:
            member.target = told
        else:
            # A member that comes without an epoch of its own takes the place of a static one.
            if told is not None and member.identity is None and self._opened is None:
                self._opened, self._opened_by = self.place, Role.MEMBER
            member.identify(told)
            holds = self._holders.get(name)
            if told is not None and holds is not None and member.who.subscribed_topics != holds.subscribed_topics:
                self._hold(member)
        if told is None and member.gone:
            del self._members[name]
            self._unreconciled.discard(name)
        elif member.reconciled(self.type, self._target_epoch):
            self._unreconciled.discard(name)
        else:
            self._unreconciled.add(name)

    def _hold(self, member: MemberRecords) -> None:
        held = member.held
        if held is None or not self._replay.holds:
            return
        who = self._holders[member.member_id] = member.who
        self._replay.emit(
            Holding(self.name, self.type, who, held.epoch, held.assignment, held.revoking, self._subtopologies)
        )

    def _release(self, names: set[str]) -> None:
        """These members hold nothing any more."""
        for name in names:
            who = self._holders.pop(name)
            if self._replay.holds:
                self._replay.emit(Holding(self.name, self.type, who, None, (), (), {}))

    def stand(self) -> None:
        """Tell where the group stands now, if that has changed."""
        generation = None if self.ended else self._generation
        members = len(self._classic_members) or len(self._members)
        standing = generation, members, self._readable
        if standing != self._stood:
            self._stood = standing
            simple = generation == 0 and not members
            self._replay.emit(Standing(self.name, self.place[1], generation, members, simple, self._readable))

    @property
    def _protocol_type(self) -> str | None:
        return None if self.type is GroupType.CLASSIC else self.type.value

    @property
    def _generation(self) -> int | None:
        return self._epoch if self._classic is None else self._classic.generation

    def tell(self) -> None:
        """Tell the generation that was opened, as it stands."""
        if self._opened is None:
            return
        if self.type is not GroupType.CLASSIC:
            self._release(self._holders.keys() - self._members.keys())  # lost in a change of type
        if self._replay.tells:
            image = self.image()
            self._replay.emit(Generation(image, self._told, *self._opened))
            self._told = image
        self._opened, self._opened_by = None, None

    def die(self) -> None:
        """Tell that the group is gone since its tombstone."""
        if self.type is not GroupType.CLASSIC:
            self._release(set(self._holders))
        elif self._replay.holds:
            self._replay.emit(ClassicHolding(self.name, None, *NO_MEMBERS[:2]))
        self._reset()
        self._opened = self.place
        self.tell()

    def image(self) -> GroupImage:
        classic = self._classic
        members = self._classic_members or self._members_now()
        assignors = sorted({member.server_assignor for member in members if member.server_assignor})
        return GroupImage(
            log_partition=self.log_partition,
            group=self.name,
            group_type=self.type.value,
            state=DEAD if self.ended else self._state(bool(members)),
            generation=self._generation,
            assignment_epoch=self._target_epoch,
            protocol_type=classic.protocol_type if classic else self._protocol_type,
            protocol=(classic and classic.protocol) or ",".join(assignors) or None,
            leader=classic and classic.leader,
            since=classic and classic.since,
            members=members,
            log_offset=self.place[0],
            log_timestamp=self.place[1],
            subtopologies=self._subtopologies,
            incomplete_reason=None if self.ended else self._missing(members),
        )

    def _members_now(self) -> tuple[Member, ...]:
        named = self._replay.named
        return tuple(member.member(self.type, self._target_epoch, named) for member in self._members.values())

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
