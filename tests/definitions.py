"""Upstream's message definitions: common/message/*.json of a Kafka jar -> fields with resolved versions and structs."""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from offdecode.schemas.layout import versions_of

_COMMENT = re.compile(r"^\s*/\*.*\*/\s*$|(?:^|(?<=,))\s*//.*$", re.MULTILINE)
_WORD = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")

# Upstream's names that offdecode changes, with the reason.
RENAMED = {
    "group_id": "group",  # GroupId since the new group protocols, group before: one name for one thing
}


@dataclass(frozen=True, slots=True)
class MessageField:
    """One field over the message's valid versions. kind: "int32", "[]string", "[]TopicInfo" and so on.

    json_name: how upstream's JSON names it.
    """

    name: str
    json_name: str
    kind: str
    versions: frozenset[int]
    nullable: frozenset[int]
    tag: int | None
    fields: tuple[MessageField, ...]


@dataclass(frozen=True, slots=True)
class Message:
    """One definition. key_type: for keys and values of the coordinator's records that say it."""

    name: str
    key_type: int | None
    versions: frozenset[int]
    flexible: frozenset[int]
    fields: tuple[MessageField, ...]


def snake_case(name: str) -> str:
    """offdecode's name of an upstream field: TopicId and topicId are topic_id."""
    snake = _WORD.sub("_", name).lower()
    return RENAMED.get(snake, snake)


@cache
def messages(jar: Path) -> Mapping[str, Message]:
    """All message definitions of a jar by name."""
    found = {}
    with zipfile.ZipFile(jar) as archive:
        for name in archive.namelist():
            if re.fullmatch(r"common/(message|metadata)/\w+\.json", name):
                message = _message(json.loads(_COMMENT.sub("", archive.read(name).decode())))
                found[message.name] = message
    return found


def _message(definition: dict[str, Any]) -> Message:
    valid = versions_of(definition["validVersions"])
    every = frozenset(range(valid.lowest, valid.highest + 1))
    structs = {struct["name"]: struct["fields"] for struct in definition.get("commonStructs", ())}
    key_type = definition.get("apiKey")
    if key_type is None and definition["name"].endswith("Key"):
        key_type = valid.highest  # up to 4.0 a key's version is its type
    return Message(
        definition["name"],
        key_type,
        every,
        _within(definition.get("flexibleVersions", "none"), every),
        tuple(_field(field, every, structs) for field in definition.get("fields", ())),
    )


def _field(field: dict[str, Any], every: frozenset[int], structs: dict[str, Any]) -> MessageField:
    inner = field["type"].removeprefix("[]")
    fields = field.get("fields") or structs.get(inner, ())
    tagged = field.get("taggedVersions", "none")
    versions = _within(field.get("versions", tagged), every)
    tag = field.get("tag")
    assert (versions if tag is not None else frozenset()) == _within(tagged, every), field["name"]
    return MessageField(
        snake_case(field["name"]),
        field["name"][0].lower() + field["name"][1:],
        field["type"],
        versions,
        _within(field.get("nullableVersions", "none"), every),
        tag,
        tuple(_field(child, every, structs) for child in fields),
    )


def _within(versions: str, every: frozenset[int]) -> frozenset[int]:
    return frozenset(version for version in every if version in versions_of(versions))
