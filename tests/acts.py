"""What the workloads noted as they wrote the sets: the two shapes of journal as one list of acts that succeeded."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from tests.truth import LogSet

Row = dict[str, Any]


@dataclass(frozen=True)
class Act:
    """Something done to a group or topic. time: the workload's clock, ms, near the broker's answer."""

    what: str  # reset | group_deleted | offsets_deleted | topic_deleted | static_restart | generation | left | assigned
    time: int
    group: str | None = None
    topic: str | None = None
    partition: int | None = None
    offset: int | None = None
    generation: int | None = None
    member: str | None = None
    instance: str | None = None
    was: str | None = None
    leader: str | None = None
    client: str | None = None
    members: frozenset[str] = field(default_factory=frozenset)
    partitions: tuple[str, ...] = ()


def acts(log_set: LogSet) -> list[Act]:
    return [act for row in log_set.journal for act in (_older(row) if "t" in row else _newer(row))]


def _older(row: Row) -> Iterator[Act]:
    time, result = row["t"], row.get("result")
    match row["action"]:
        case "generation" if all(code == 0 for code in row["sync"]):
            yield Act("generation", time, row["group"], generation=row["generation"], leader=row["leader"],
                      members=frozenset(member for member, _ in row["members"]))  # fmt: skip
        case "commit" if not row.get("member"):
            for (topic, partition, offset, *_), code in zip(row["items"], result or (), strict=False):
                if code == 0:
                    yield Act("memberless", time, row["group"], topic, partition, offset)
        case "leave" if result == 0:
            yield Act("left", time, row["group"], member=row["member"])
        case "static_restart" if result == [0, 0]:
            yield Act("static_restart", time, row["group"], instance=row["instance"], was=row["was"], member=row["now"])
        case "delete_groups":
            yield from (Act("group_deleted", time, group) for group, code in row["result"] if code == 0)
        case "delete_topic":
            yield from (Act("topic_deleted", time, topic=topic) for topic, code in row["result"] if code == 0)
        case "offset_delete" if result and result[0] == 0:
            for topic, partitions in result[1]:
                for partition, code in partitions:
                    if code == 0:
                        yield Act("offsets_deleted", time, row["group"], topic, partition)


def _newer(row: Row) -> Iterator[Act]:
    time, action, group, ok = row["ts"], row["action"], row.get("group"), row.get("result", "ok") == "ok"
    if action.startswith("admin-reset") and ok:
        yield Act("reset", time, group, row["topic"], row["partition"], row["offset"])
    elif action in ("delete-group", "streams-delete-group") and ok:
        yield Act("group_deleted", time, group)
    elif action == "delete-offsets" and ok:
        yield Act("offsets_deleted", time, group, row["topic"], row["partition"])
    elif action == "topic-delete" and ok:
        yield Act("topic_deleted", time, topic=row["topic"])
    elif action == "raw-generation" and all(code == 0 for code in row["error"]):
        yield Act("generation", time, group, generation=row["generation"], members=frozenset(row["members"]))
    elif action == "raw-leave" and row["error"] == 0:
        yield Act("left", time, group, member=row["member_id"])
    elif action == "assigned":
        yield Act("assigned", time, group, generation=row["generation"], member=row["member_id"],
                  client=row["client_id"], partitions=tuple(row["partitions"]))  # fmt: skip
    elif action in ("member-leave", "member-close") and "client_id" in row:
        yield Act("closed", time, group, client=row["client_id"])
    elif "offset" in row and group is not None and not row.get("member_id") and ok:
        yield Act("memberless", time, group, row.get("topic"), row.get("partition"), row["offset"])
