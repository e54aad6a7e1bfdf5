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


class ToldFields(NamedTuple):
    """What a text tells: fields of the key, and of the value as one of this version; both None = a tombstone."""

    key_type: int
    key: Fields
    version: int | None = None
    value: Fields | None = None


_NUMBER = r"-?\d{1,19}"
# What a line begins with, up to the value. A file may be hostile: no pattern tries two texts of any length in turn.
_CONSOLE_COMMIT = re.compile(
    r"\[(?P<group>.*?),(?P<topic>[\w.-]+),(?P<partition>\d{1,10})\]::"
    r"(?=NULL|OffsetAndMetadata\(|\[OffsetMetadata\[)",
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
_NO_GROUP = "the group is not as kafka-console-consumer prints it"
_NO_METADATA = "NO_METADATA"
_CONSOLE_GROUP = re.compile(r"(?P<group>.*?)::(?=NULL|GroupMetadata\(groupId=)", re.S)
_GROUP_METADATA = re.compile(
    rf"GroupMetadata\(groupId=(?P<group>.*?), generation=(?P<generation>{_NUMBER}), "
    r"protocolType=(?:None|Some\((?P<protocol_type>.{0,255}?)\)), currentState=\w+, "
    r"members=\w*Map\((?P<members>.*)\)\)",
    re.S,
)
_TIMEOUTS = re.compile(
    rf"(?P<session_timeout>{_NUMBER})(?:, rebalanceTimeoutMs=(?P<rebalance_timeout>{_NUMBER}))?, "
    r"supportedProtocols=List\("
)
_MEMBER_HEAD = " -> MemberMetadata(memberId="
_INSTANCE_ID, _CLIENT_ID, _CLIENT_HOST = ", groupInstanceId=", ", clientId=", ", clientHost="
_SESSION_TIMEOUT = ", sessionTimeoutMs="

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


def console_record(text: str) -> ToldFields:
    """What a line of the console consumer tells. Raises CorruptError for what is none."""
    if match := _CONSOLE_COMMIT.match(text):
        return ToldFields(_COMMIT, _key_of_commit(match), *_console_commit(text[match.end() :]))
    if match := _CONSOLE_GROUP.match(text):
        return _console_group(match["group"], text[match.end() :])
    raise CorruptError("the line is not as kafka-console-consumer prints a record")


def dumped_record(text: str) -> ToldFields:
    """What a dump tells of a record behind its place and time. Raises CorruptError for what is none."""
    if match := _DUMPED_COMMIT.fullmatch(text):
        key = _key_of_commit(match)
        if match["offset"] is None:
            return ToldFields(_COMMIT, key)
        told = {"offset": int(match["offset"]), "metadata": match["metadata"] or ""}
        return ToldFields(_COMMIT, key, _COMMIT_VERSION, told)
    if text.endswith(("}", "<DELETE>")) and (match := _DUMPED_GROUP.fullmatch(text)):
        return ToldFields(_GROUP, {"group": match["group"]}, *_dumped_group(match["value"]))
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


def _console_group(group: str, text: str) -> ToldFields:
    if text in _TOMBSTONES:
        return ToldFields(_GROUP, {"group": group})
    match = _GROUP_METADATA.fullmatch(text) if text.endswith("))") else None
    # Of a group whose name has several lines only the last one stands before it.
    if match is None or not match["group"].endswith(group):
        raise CorruptError(_NO_GROUP)
    members = [_member(one) for one in match["members"].split(_MEMBER_HEAD)[1:]]
    told: Fields = {"generation": int(match["generation"]), "members": members}
    if match["protocol_type"] is not None:  # 0.11 prints None of any group without members
        told["protocol_type"] = match["protocol_type"]
    return ToldFields(_GROUP, {"group": match["group"]}, _GROUP_VERSION, told)


def _member(text: str) -> Fields:
    """A member, behind the head of its text."""
    member_id, client, rest = text.partition(_CLIENT_ID)
    member_id, _, instance = member_id.partition(_INSTANCE_ID)
    client_id, host, rest = rest.partition(_CLIENT_HOST)
    client_host, _, rest = rest.partition(_SESSION_TIMEOUT)
    match = _TIMEOUTS.match(rest)
    if not client or not host or match is None:
        raise CorruptError(_NO_GROUP)
    some = instance.startswith("Some(")
    times = {name: int(time) for name, time in match.groupdict().items() if time is not None}
    return {
        "member_id": member_id,
        "group_instance_id": instance.removeprefix("Some(").removesuffix(")") if some else None,
        "client_id": client_id,
        "client_host": client_host,
        **times,
    }


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
