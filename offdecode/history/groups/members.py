"""The three records of a member of a consumer, share or streams group to a Member."""

from __future__ import annotations

from offdecode.history.groups.assignments import Named
from offdecode.history.groups.group_records import Held, Identity, Target
from offdecode.history.groups.images import GroupType, Member, Who

_NOT_KNOWN = Identity()

# Upstream's MemberState.STABLE of the types that have states.
_STABLE_STATE = {GroupType.CONSUMER: 0, GroupType.SHARE: 0, GroupType.STREAMS: 1}


class MemberRecords:
    """The latest record of each kind about a member of a consumer, share or streams group."""

    __slots__ = ("held", "identity", "member_id", "target", "who")

    def __init__(self, member_id: str) -> None:
        self.member_id = member_id
        self.target: Target | None = None
        self.held: Held | None = None
        self.identify(None)

    def identify(self, identity: Identity | None) -> None:
        """Take the record that says who it is."""
        self.identity = identity
        self.who = Who(self.member_id, *(identity or _NOT_KNOWN)[:4])

    @property
    def gone(self) -> bool:
        return self.identity is None and self.target is None and self.held is None

    def reconciled(self, group_type: GroupType, target_epoch: int | None) -> bool:
        """Whether the member holds the target assignment of this epoch (upstream's isReconciledTo)."""
        held = self.held
        if held is None or held.epoch != target_epoch:
            return False
        if held.state is None:  # Kafka 3.7's shape has no state
            return not held.revoking
        return held.state == _STABLE_STATE[group_type]

    def member(self, group_type: GroupType, target_epoch: int | None, named: Named) -> Member:
        """The member as these records tell it. target_epoch: the group's."""
        held = self.held
        known = self.identity is not None
        told = (self.member_id, *(self.identity or _NOT_KNOWN))
        target = None if self.target is None else named(self.target.assignment)
        if held is None:
            return Member(*told, target=target, known=known)
        return Member(
            *told,
            held.epoch,
            self.reconciled(group_type, target_epoch),
            named(held.assignment),
            target,
            named(held.revoking),
            held.standby_tasks,
            held.warmup_tasks,
            known,
        )
