"""The three records of a member of a consumer, share or streams group to a Member."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from offdecode.history.groups.images import Assigned, Assignment, GroupType, Member

Row = Mapping[str, Any]
TopicNames = Mapping[str, str]

# Upstream's MemberState.STABLE of the types that have states.
_STABLE_STATE = {GroupType.CONSUMER: 0, GroupType.SHARE: 0, GroupType.STREAMS: 1}


@dataclass(slots=True)
class MemberRecords:
    """The latest record of each kind about a member of a consumer, share or streams group."""

    identity: Row | None = None
    target: Row | None = None
    held: Row | None = None

    def reconciled(self, group_type: GroupType, target_epoch: int | None) -> bool:
        """Whether the member holds the target assignment of this epoch (upstream's isReconciledTo)."""
        held = self.held
        if held is None or held["member_epoch"] != target_epoch:
            return False
        if held["state"] is None:  # Kafka 3.7's shape has no state
            return not held["partitions_pending_revocation"]
        return bool(held["state"] == _STABLE_STATE[group_type])

    def member(self, member_id: str, group_type: GroupType, target_epoch: int | None, names: TopicNames) -> Member:
        identity, held, target = self.identity or {}, self.held or {}, self.target
        classic = identity.get("classic_member_metadata")
        topics = identity.get("subscribed_topic_names")
        return Member(
            member_id=member_id,
            instance_id=identity.get("instance_id"),
            client_id=identity.get("client_id"),
            client_host=identity.get("client_host"),
            subscribed_topics=None if topics is None else tuple(topics),
            subscribed_regex=identity.get("subscribed_topic_regex") or None,
            rebalance_timeout_ms=identity.get("rebalance_timeout_ms"),
            session_timeout_ms=None if classic is None else classic["session_timeout_ms"],
            server_assignor=identity.get("server_assignor"),
            member_epoch=held.get("member_epoch"),
            reconciled=None if self.held is None else self.reconciled(group_type, target_epoch),
            assignment=None if self.held is None else _assignment(held, "assigned_partitions", "active_tasks", names),
            target=None if target is None else _assignment(target, "topic_partitions", "active_tasks", names),
            revoking=_assignment(held, "partitions_pending_revocation", "active_tasks_pending_revocation", names),
            standby_tasks=_tasks(held.get("standby_tasks")),
            warmup_tasks=_tasks(held.get("warmup_tasks")),
            known=self.identity is not None,
        )


def _assignment(row: Row, by_topic: str, by_task: str, names: TopicNames) -> Assignment:
    if row.get(by_task) is not None:
        return _tasks(row[by_task])
    return tuple(
        Assigned(names.get(item["topic_id"]), item["topic_id"], None, tuple(item["partitions"]))
        for item in row.get(by_topic) or ()
    )


def _tasks(items: Iterable[Row] | None) -> Assignment:
    return tuple(Assigned(None, None, item["subtopology_id"], tuple(item["partitions"])) for item in items or ())
