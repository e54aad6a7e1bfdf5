"""Members of classic generations read by columns, against a plain reading of the same rows one by one."""

from __future__ import annotations

from typing import Any

import pytest

from offdecode.history.groups.classic_members import ClassicMembers
from offdecode.history.groups.images import Assigned, Member
from tests.asking import a_request, decode
from tests.truth import LogSet, log_sets, set_id

ROW_TYPE = "group_metadata"


def plain(row: dict[str, Any]) -> Member:
    topics, opaque = row["subscription"]["topics"], row["assignment"]["hex"]
    assigned = row["assignment"]["assigned_partitions"] or ()
    return Member(
        member_id=row["member_id"],
        instance_id=row["group_instance_id"],
        client_id=row["client_id"],
        client_host=row["client_host"],
        subscribed_topics=None if row["subscription"]["hex"] is not None or topics is None else tuple(topics),
        rebalance_timeout_ms=row["rebalance_timeout"],
        session_timeout_ms=row["session_timeout"],
        assignment=None if opaque else tuple(
            Assigned(item["topic"], None, None, tuple(item["partitions"])) for item in assigned
        ),
    )  # fmt: skip


@pytest.mark.parametrize("most_kept", [0, 1 << 16], ids=["begin_anew_always", "keep"])
@pytest.mark.parametrize("log_set", log_sets(), ids=set_id)
def test_members_are_those_of_the_rows(log_set: LogSet, most_kept: int) -> None:
    reader = ClassicMembers(most_kept)
    for chunk in decode(a_request(log_set.log, row_types=(ROW_TYPE,)), lambda problem: None):
        if ROW_TYPE in chunk.batches:
            batch = chunk.batches[ROW_TYPE]
            expected = [tuple(map(plain, members or ())) for members in batch.column("members").to_pylist()]
            assert [roster.members for roster in reader.read(batch.column("members"))] == expected
            middle = batch.slice(len(batch) // 3, len(batch) // 2)
            rosters = reader.read(middle.column("members"))
            assert [roster.members for roster in rosters] == expected[len(batch) // 3 :][: len(middle)]


def test_equal_members_are_one_object() -> None:
    reader = ClassicMembers()
    log_set = next(log_set for log_set in log_sets() if "classic" in set_id(log_set))
    columns = [
        chunk.batches[ROW_TYPE].column("members")
        for chunk in decode(a_request(log_set.log, row_types=(ROW_TYPE,)), lambda problem: None)
        if ROW_TYPE in chunk.batches
    ]
    first, again = (
        [member for column in columns for roster in reader.read(column) for member in roster.members] for _ in "ab"
    )
    assert first
    assert all(one is other for one, other in zip(first, again, strict=True))
