"""Records whose members and commits hold given opaque bytes, written by hand for tests."""

from __future__ import annotations

import struct

from tests.messages import sized
from tests.records_builder import Pair

# Kind of opaque bytes -> the group's protocol type, its assignor, and the member's field that holds them.
PLACES = {
    "sticky": ("consumer", "sticky", "subscription"),
    "cooperative-sticky": ("consumer", "cooperative-sticky", "subscription"),
    "streams-subscription": ("consumer", "stream", "subscription"),
    "streams-assignment": ("consumer", "stream", "assignment"),
    "connect-metadata": ("connect", "compatible", "subscription"),
    "connect-assignment": ("connect", "sessioned", "assignment"),
}


def text(value: str | None) -> bytes:
    if value is None:
        return struct.pack(">h", -1)
    data = value.encode()
    return struct.pack(">h", len(data)) + data


def member_record(kind: str, opaque: bytes | None, neighbour: bytes = b"") -> Pair:
    """A group of two members: the first one's part holds the bytes, the second one's `neighbour`."""
    protocol_type, protocol, field = PLACES[kind]
    members = b"".join(_member(protocol_type, field, data) for data in (opaque, neighbour))
    value = struct.pack(">h", 3) + text(protocol_type) + struct.pack(">i", 7) + text(protocol) + text("leader")
    return struct.pack(">h", 2) + text("g"), value + struct.pack(">qi", 1795420757111, 2) + members


def _member(protocol_type: str, field: str, opaque: bytes | None) -> bytes:
    if protocol_type == "consumer":
        topics = struct.pack(">ih", 1, 1) + b"t"
        parts = {"subscription": struct.pack(">h", 0) + topics + sized(None), "assignment": bytes(6) + sized(None)}
        parts[field] = parts[field][:-4] + sized(opaque)
    else:
        parts = {"subscription": b"", "assignment": b""}
        parts[field] = opaque or b""
    head = text("m") + text(None) + text("c") + text("/10.0.0.1") + struct.pack(">ii", 300000, 45000)
    return head + sized(parts["subscription"]) + sized(parts["assignment"])


def commit_record(metadata: bytes) -> Pair:
    """A commit with this metadata text."""
    key = struct.pack(">h", 1) + text("g") + text("t") + struct.pack(">i", 0)
    value = struct.pack(">hqih", 3, 42, -1, len(metadata)) + metadata + struct.pack(">q", 1795420757111)
    return key, value
