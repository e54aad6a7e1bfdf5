"""What is known of a group at one place of the log: its type, generation or epoch, members, and what they hold."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple

import numpy as np

from offdecode.model import Vector

EMPTY, STABLE, ASSIGNING, RECONCILING = "Empty", "Stable", "Assigning", "Reconciling"
STATIC_MEMBER_AWAY = -2  # upstream's LEAVE_GROUP_STATIC_MEMBER_EPOCH


class GroupType(Enum):
    """Kafka's types of groups, by the name that rows show."""

    CLASSIC = "classic"
    CONSUMER = "consumer"
    SHARE = "share"
    STREAMS = "streams"


class Assigned(NamedTuple):
    """Partitions of one topic, or tasks of one subtopology of a streams group.

    topic: null where only the id is known; topic_id: null where the record names the topic (classic groups);
    both null for tasks. subtopology: null but for tasks.
    """

    topic: str | None
    topic_id: str | None
    subtopology: str | None
    partitions: tuple[int, ...]


Assignment = tuple[Assigned, ...]


class Member(NamedTuple):
    """A member as its records tell it. Null = the log does not say; () = nothing.

    subscribed_topics: by name; subscribed_regex: by expression. assignment: what it holds (classic: what the
    leader gave it; null where those bytes are not the consumer protocol's). target: what it is to have.
    revoking: what it still holds and has to give up. member_epoch: -2 = a static member that is away.
    reconciled: whether it holds its target, as far as the member itself knows. Times in milliseconds.
    """

    member_id: str
    instance_id: str | None = None
    client_id: str | None = None
    client_host: str | None = None
    subscribed_topics: tuple[str, ...] | None = None
    subscribed_regex: str | None = None
    rebalance_timeout_ms: int | None = None
    session_timeout_ms: int | None = None
    server_assignor: str | None = None
    member_epoch: int | None = None
    reconciled: bool | None = None
    assignment: Assignment | None = None
    target: Assignment | None = None
    revoking: Assignment = ()
    standby_tasks: Assignment = ()
    warmup_tasks: Assignment = ()
    known: bool = True  # whether the evidence holds the record that says who it is

    @property
    def who(self) -> Who:
        return Who(*self[:5])


class Who(NamedTuple):
    """A member, and what it subscribes to by name; null = the log does not say."""

    member_id: str
    instance_id: str | None = None
    client_id: str | None = None
    client_host: str | None = None
    subscribed_topics: tuple[str, ...] | None = None


class Roster(NamedTuple):
    """The members that the record of a classic generation lists.

    numbers: one for each, the same for equal ones, as long as they are of one book. readable: whether the assignments
    of all can be read.
    """

    members: tuple[Member, ...] = ()
    numbers: Vector = np.empty(0, np.int64)
    readable: bool = True


NO_MEMBERS = Roster()


@dataclass(frozen=True, slots=True)
class GroupImage:
    """A group as its records up to one place of the log tell it.

    group_type: "classic", "consumer", "share" or "streams". state: Kafka's name for what the records imply.
    The log cannot tell a classic group's PreparingRebalance and CompletingRebalance (a rebalance under way
    writes nothing), nor a streams group's NotReady (missing topics). generation: a classic group's generation,
    another's group epoch; null where that record is missing. assignment_epoch: the group epoch that the target
    assignment is for; null for classic groups. protocol: the classic assignor; for a consumer group the
    assignor that its members name, null = the broker's default. since: when a classic group came into its
    state, null = not written, -1 = not known. subtopologies: topics that each subtopology of a streams group
    reads. complete: whether every record that the image needs is there; incomplete_reason: which is not.
    log_offset, log_timestamp: of the latest record behind the image.
    """

    log_partition: int | None
    group: str
    group_type: str
    state: str
    generation: int | None
    assignment_epoch: int | None
    protocol_type: str | None
    protocol: str | None
    leader: str | None
    since: int | None
    members: tuple[Member, ...]
    log_offset: int | None
    log_timestamp: int | None
    subtopologies: dict[str, tuple[str, ...]] = field(default_factory=dict)
    incomplete_reason: str | None = None

    @property
    def complete(self) -> bool:
        return self.incomplete_reason is None


@dataclass(frozen=True, slots=True)
class Generation:
    """A generation or epoch as it comes to be, or the end of a group (state Dead).

    image: the group then; log_offset, log_timestamp: of the record that opens it. previous: the group's
    generation before it, None where there is none in the evidence, the Dead one after a deletion.
    """

    image: GroupImage
    previous: GroupImage | None
    log_offset: int | None
    log_timestamp: int | None


def is_rebalance(generation: int | None, latest: int | None) -> bool:
    """Whether a group's generation is counted as one. latest: the last number that it had before.

    Birth and deletion are none, nor is a static member that comes back.
    """
    return generation not in (None, 0, latest)


class Holding(NamedTuple):
    """From here on, the member of a group that is not classic holds these partitions and no others: () as it leaves.

    epoch: of the member; None where it leaves. revoking: what it holds beside its assignment, and has to give up.
    Topics of both may be known by id only. subtopologies: topics of each subtopology of a streams group.
    """

    group: str
    group_type: GroupType
    who: Who
    epoch: int | None
    assignment: Assignment
    revoking: Assignment
    subtopologies: dict[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class ClassicHolding:
    """From here on, these members of a classic group hold their assignments, and no one else of it any.

    epoch: the generation. numbers: of the members, in the book of what has read them.
    """

    group: str
    epoch: int | None
    members: tuple[Member, ...]
    numbers: Vector


@dataclass(frozen=True, slots=True)
class Standing:
    """From here on, the group is in this generation or epoch and has so many members.

    generation None: it does not exist. simple: nothing but its birth is known, as of a group without members ever.
    """

    group: str
    log_timestamp: int | None
    generation: int | None
    members: int
    simple: bool
    readable: bool  # whether its assignments can be read


GroupEvent = Generation | Holding | ClassicHolding | Standing
