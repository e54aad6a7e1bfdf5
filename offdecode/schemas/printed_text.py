"""How Kafka's tools before 4.0 put records of the offsets topic into words, and what these tell of a record.

kafka-console-consumer up to 3.9, with OffsetsMessageFormatter or (since 0.11) GroupMetadataMessageFormatter:

    [group,topic,0]::OffsetAndMetadata(offset=5, leaderEpoch=Optional[1], metadata=, commitTimestamp=9, expireTimestamp=None)
    [group,topic,0]::[OffsetMetadata[5,NO_METADATA],CommitTime 9,ExpirationTime -1]    (up to 2.0)
    group::GroupMetadata(groupId=group, generation=1, protocolType=Some(consumer), currentState=Stable, members=Map(...))

and kafka-dump-log --offsets-decoder of 2.4 to 3.7:

    key: offset_commit::group=group,partition=topic-0 payload: offset=5,metadata=text
    key: group_metadata::group=group payload: {"protocolType":"consumer", ..., "assignment":"{member=[topic-0]}"}

Neither tells the version of a key or of a value. Fields that a form leaves out are not told.
Source: kafka.coordinator.group.GroupMetadataManager, OffsetAndMetadata, GroupMetadata, MemberMetadata of these releases.
"""  # noqa: E501 - a line as it is printed

from __future__ import annotations

import json
import re
from typing import Any, NamedTuple

from offdecode.errors import CorruptError

_COMMIT, _GROUP = 1, 2  # key types
_COMMIT_VERSION, _WITH_EXPIRY, _GROUP_VERSION = 3, 1, 3  # versions that have the fields which are told
_TOMBSTONES = ("NULL", "<DELETE>")
_CONSUMER = "consumer"

Fields = dict[str, Any]


class ToldRecord(NamedTuple):
    """What a text tells: fields of the key, and of the value as one of this version; both None = a tombstone."""

    key_type: int
    key: Fields
    version: int | None = None
    value: Fields | None = None


_NUMBER = r"-?\d{1,19}"
_CONSOLE_COMMIT = re.compile(
    r"\[(?P<group>.*?),(?P<topic>[\w.-]+),(?P<partition>\d{1,10})\]::"
    r"(?P<value>NULL|OffsetAndMetadata\(.*\)|\[OffsetMetadata\[.*\])",
    re.S | re.A,
)
_OFFSET_AND_METADATA = re.compile(
    rf"OffsetAndMetadata\(offset=(?P<offset>{_NUMBER}), "
    rf"leaderEpoch=Optional(?:\.empty|\[(?P<leader_epoch>{_NUMBER})\]), "
    rf"metadata=(?P<metadata>.*), commitTimestamp=(?P<commit_timestamp>{_NUMBER}), "
    rf"expireTimestamp=(?:None|Some\((?P<expire_timestamp>{_NUMBER})\))\)",
    re.S,
)
_OFFSET_METADATA = re.compile(
    rf"\[OffsetMetadata\[(?P<offset>{_NUMBER}),(?P<metadata>.*)\],CommitTime (?P<commit_timestamp>{_NUMBER}),"
    rf"ExpirationTime (?:-1|(?P<expire_timestamp>{_NUMBER}))\]",
    re.S,
)
_NO_METADATA = "NO_METADATA"
_CONSOLE_GROUP = re.compile(r"(?P<group>.*?)::(?P<value>NULL|GroupMetadata\(groupId=.*\))", re.S)
_GROUP_METADATA = re.compile(
    rf"GroupMetadata\(groupId=(?P<group>.*?), generation=(?P<generation>{_NUMBER}), "
    r"protocolType=(?:None|Some\((?P<protocol_type>.*?)\)), currentState=\w+, members=\w*Map\((?P<members>.*)\)\)",
    re.S,
)
_MEMBER = re.compile(
    r"MemberMetadata\(memberId=(?P<member_id>.*?), "
    r"(?:groupInstanceId=(?:None|Some\((?P<group_instance_id>.*?)\)), )?clientId=(?P<client_id>.*?), "
    rf"clientHost=(?P<client_host>.*?), sessionTimeoutMs=(?P<session_timeout>{_NUMBER}), "
    rf"(?:rebalanceTimeoutMs=(?P<rebalance_timeout>{_NUMBER}), )?supportedProtocols=List\(.*?\)(?:, )?\)",
    re.S,
)
_MEMBER_HEAD = " -> MemberMetadata(memberId="

_DUMPED_COMMIT = re.compile(
    r"key: offset_commit::group=(?P<group>.*?),partition=(?P<topic>[\w.-]+)-(?P<partition>\d{1,10}) payload: "
    rf"(?:<DELETE>|offset=(?P<offset>{_NUMBER})(?:,metadata=(?P<metadata>.*))?)",
    re.S | re.A,
)
_DUMPED_GROUP = re.compile(r"key: group_metadata::group=(?P<group>.*?) payload: (?P<value><DELETE>|\{.*\})", re.S)
_ASSIGNED = re.compile(
    r"(?P<member_id>.*?)=\[(?P<partitions>[\w., -]*)\](?P<user_data>:[0-9A-F]+)?(?:,|$)", re.S | re.A
)
_UNKNOWN = re.compile(r"key: unknown::version=(\d+)")
_OPAQUE = re.compile(r"(?P<member_id>.*?)=[0-9A-F]*(?:,|$)", re.S)


def console_record(text: str) -> ToldRecord:
    """What a line of the console consumer tells. Raises CorruptError for what is none."""
    if match := _CONSOLE_COMMIT.fullmatch(text):
        return ToldRecord(_COMMIT, _key_of_commit(match), *_console_commit(match["value"]))
    if match := _CONSOLE_GROUP.fullmatch(text):
        return _console_group(match["group"], match["value"])
    raise CorruptError("the line is not as kafka-console-consumer prints a record")


def dumped_record(text: str) -> ToldRecord:
    """What a dump tells of a record behind its place and time. Raises CorruptError for what is none."""
    if match := _DUMPED_COMMIT.fullmatch(text):
        key = _key_of_commit(match)
        if match["offset"] is None:
            return ToldRecord(_COMMIT, key)
        told = {"offset": int(match["offset"]), "metadata": match["metadata"] or ""}
        return ToldRecord(_COMMIT, key, _COMMIT_VERSION, told)
    if match := _DUMPED_GROUP.fullmatch(text):
        return ToldRecord(_GROUP, {"group": match["group"]}, *_dumped_group(match["value"]))
    if match := _UNKNOWN.match(text):
        raise CorruptError(f"the release of the dump tool knew no keys of type {match[1]}")
    raise CorruptError("the dump tool could not decode the record, or was not asked to (--offsets-decoder)")


def _key_of_commit(match: re.Match[str]) -> Fields:
    return {"group": match["group"], "topic": match["topic"], "partition": int(match["partition"])}


def _console_commit(text: str) -> tuple[int | None, Fields | None]:
    if text in _TOMBSTONES:
        return None, None
    match = _OFFSET_AND_METADATA.fullmatch(text)
    if match is None and (match := _OFFSET_METADATA.fullmatch(text)) is None:
        raise CorruptError("the offset is not as kafka-console-consumer prints it")
    told = match.groupdict()
    metadata = told.pop("metadata")
    numbers = {name: int(number) for name, number in told.items() if number is not None}
    if match.re is _OFFSET_METADATA and metadata == _NO_METADATA:
        metadata = ""
    version = _WITH_EXPIRY if "expire_timestamp" in numbers else _COMMIT_VERSION
    return version, {**numbers, "metadata": metadata}


def _console_group(group: str, text: str) -> ToldRecord:
    if text in _TOMBSTONES:
        return ToldRecord(_GROUP, {"group": group})
    match = _GROUP_METADATA.fullmatch(text)
    members = [] if match is None else [_member(one) for one in _MEMBER.finditer(match["members"])]
    # Of a group whose name has several lines only the last one stands before it.
    if match is None or not match["group"].endswith(group) or len(members) != match["members"].count(_MEMBER_HEAD):
        raise CorruptError("the group is not as kafka-console-consumer prints it")
    told: Fields = {"generation": int(match["generation"]), "members": members}
    if match["protocol_type"] is not None:  # 0.11 prints None of any group without members
        told["protocol_type"] = match["protocol_type"]
    return ToldRecord(_GROUP, {"group": match["group"]}, _GROUP_VERSION, told)


def _member(match: re.Match[str]) -> Fields:
    told: Fields = {name: match[name] for name in ("member_id", "client_id", "client_host")}
    told["group_instance_id"] = match["group_instance_id"]
    times = {name: match[name] for name in ("session_timeout", "rebalance_timeout")}
    return {**told, **{name: int(time) for name, time in times.items() if time is not None}}


def _dumped_group(text: str) -> tuple[int | None, Fields | None]:
    if text in _TOMBSTONES:
        return None, None
    try:
        told = json.loads(text)
        fields = {
            "protocol_type": told["protocolType"],
            "protocol": told["protocol"],
            "generation": told["generationId"],
        }
        members = _assignments(told["assignment"].removeprefix("{").removesuffix("}"), told["protocolType"])
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise CorruptError("the group is not as kafka-dump-log prints it") from None
    return _GROUP_VERSION, {**fields, "members": members}


def _assignments(text: str, protocol_type: str) -> list[Fields]:
    """Members and what they were assigned. Other protocols' bytes are told without the zeros that they begin with."""
    pattern = _ASSIGNED if protocol_type == _CONSUMER else _OPAQUE
    found, at = [], 0
    while at < len(text):
        match = pattern.match(text, at)
        if match is None:
            raise ValueError(text)
        told: Fields = {"member_id": match["member_id"]}
        if pattern is _ASSIGNED:
            told["assignment"] = {"assigned_partitions": _partitions(match["partitions"])}
            if match["user_data"] is None:
                told["assignment"]["user_data"] = None
        found.append(told)
        at = match.end()
    return found


def _partitions(text: str) -> list[Fields]:
    """{topic, partitions} in the order in which they are told."""
    found: dict[str, list[int]] = {}
    for one in filter(None, text.split(", ")):
        topic, _, number = one.rpartition("-")
        found.setdefault(topic, []).append(int(number))
    return [{"topic": topic, "partitions": numbers} for topic, numbers in found.items()]
