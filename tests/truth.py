"""Sets of broker-written logs with Kafka's own reading of them, and the comparison of our rows with that.

A set is a folder: the log below it (`log/`, or partition directories side by side), the truth in `truth/` or
beside the partitions. Nothing here uses offdecode's own parsers.
"""

from __future__ import annotations

import base64
import gzip
import json
import os
import re
import struct
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FIXTURES = Path(__file__).parent.parent / "fixtures" / "segments"

Row = dict[str, Any]


@dataclass(frozen=True)
class LogSet:
    """One set: `log` is what is decoded, `truth` the folder with Kafka's reading."""

    folder: Path

    @property
    def log(self) -> Path:
        return self.folder / "log" if (self.folder / "log").is_dir() else self.folder

    @property
    def truth(self) -> Path:
        return self.folder / "truth" if (self.folder / "truth").is_dir() else self.folder

    def lines(self, name: str) -> Iterator[Row]:
        with gzip.open(self.truth / name, "rt", encoding="utf-8") as stream:
            for line in stream:
                yield json.loads(line)

    @property
    def records(self) -> list[Row]:
        return list(self.lines("records.jsonl.gz"))

    @property
    def batches(self) -> list[Row]:
        return list(self.lines("batches.jsonl.gz"))

    @property
    def journal(self) -> list[Row]:
        path = self.truth / "journal.jsonl.gz"
        return list(self.lines(path.name)) if path.exists() else []


def log_sets() -> list[LogSet]:
    """The fixtures' sets, and those of every folder that OFFDECODE_SEGMENTS names (separated as in PATH)."""
    folders = [FIXTURES, *map(Path, filter(None, os.environ.get("OFFDECODE_SEGMENTS", "").split(os.pathsep)))]
    found = [item for folder in folders for item in sorted(folder.iterdir()) if item.is_dir()]
    return [LogSet(folder) for folder in found if (LogSet(folder).truth / "records.jsonl.gz").exists()]


def set_id(log_set: LogSet) -> str:
    return f"{log_set.folder.parent.parent.name}/{log_set.folder.name}"


def snake(name: str) -> str:
    """Upstream's name as a row shows it."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()
    return "group" if words == "group_id" else words


def differences(ours: Any, theirs: Any, path: str = "") -> Iterator[str]:
    """Where a value of ours differs from upstream's JSON of it."""
    if isinstance(theirs, dict):
        if not isinstance(ours, dict):
            yield f"{path}: {ours!r} for {theirs!r}"
            return
        named = {snake(name): value for name, value in theirs.items()}
        for name, value in named.items():
            yield from differences(ours.get(name), value, f"{path}.{name}")
        for name in ours.keys() - named.keys():
            if ours[name] is not None:
                yield f"{path}.{name}: {ours[name]!r} where upstream has nothing"
    elif isinstance(theirs, list):
        if not isinstance(ours, list) or len(ours) != len(theirs):
            yield f"{path}: {ours!r} for {theirs!r}"
            return
        for index, (mine, their) in enumerate(zip(ours, theirs, strict=True)):
            yield from differences(mine, their, f"{path}[{index}]")
    elif isinstance(ours, dict) and isinstance(theirs, str):
        data = base64.b64decode(theirs)
        if encode_embedded(ours) != data:
            yield f"{path}: {ours!r} for {data.hex()}"
    elif ours != theirs:
        yield f"{path}: {ours!r} for {theirs!r}"


def encode_embedded(shown: Row) -> bytes:
    """The bytes that a member's subscription or assignment was read from, written by the protocol's rules."""
    if "hex" in shown:
        return bytes.fromhex(shown["hex"])

    def text(value: str | None) -> bytes:
        if value is None:
            return struct.pack(">h", -1)
        data = value.encode()
        return struct.pack(">h", len(data)) + data

    def topics(values: list[Row]) -> bytes:
        parts = [struct.pack(">i", len(values))]
        for value in values:
            numbers = value["partitions"]
            parts += [text(value["topic"]), struct.pack(f">i{len(numbers)}i", len(numbers), *numbers)]
        return b"".join(parts)

    def user_data() -> bytes:
        data = shown["user_data"]
        return struct.pack(">i", -1) if data is None else struct.pack(">i", len(data) // 2) + bytes.fromhex(data)

    version = shown["version"]
    head = struct.pack(">h", version)
    if "assigned_partitions" in shown:
        return head + topics(shown["assigned_partitions"]) + user_data()
    out = head + struct.pack(">i", len(shown["topics"])) + b"".join(map(text, shown["topics"])) + user_data()
    if version >= 1:
        out += topics(shown["owned_partitions"])
    if version >= 2:
        out += struct.pack(">i", shown["generation_id"])
    if version >= 3:
        out += text(shown["rack_id"])
    return out


def expected_transactions(log_set: LogSet) -> list[str | None]:
    """The status of every record of a set, from the truth's markers alone, in the order of its records."""
    checkpoint = cleaner_checkpoints(log_set.log)
    batches: dict[int, list[Row]] = defaultdict(list)
    for batch in log_set.batches:
        batches[batch["log_partition"]].append(batch)
    controls: dict[tuple[int, str, int], str] = {}
    for record in log_set.records:
        if record["control"] is not None:
            controls[record["log_partition"], record["segment"], record["batch_position"]] = record["control"]
    status: dict[tuple[int, str, int], str | None] = {}
    for partition, found in batches.items():
        status.update(_statuses(partition, found, controls, checkpoint.get(partition)))
    return [status[record["log_partition"], record["segment"], record["batch_position"]] for record in log_set.records]


def _statuses(
    partition: int, batches: list[Row], controls: dict[tuple[int, str, int], str], checkpoint: int | None
) -> Iterator[tuple[tuple[int, str, int], str | None]]:
    """Backwards over a partition: what the next marker of each producer says, and whether offsets are missing."""
    following: dict[int, tuple[int, str]] = {}
    beyond = checkpoint or 0
    signs = [index for index, batch in enumerate(batches) if _cleaned(batch) and batch["batch_base_offset"] >= beyond]
    last_sign = signs[-1] if signs else -1
    lost = []  # indices of batches with missing offsets before them
    for index in range(1, len(batches)):
        base = batches[index]["batch_base_offset"]
        if base > batches[index - 1]["batch_last_offset"] + 1:
            within = batches[index]["segment"] == batches[index - 1]["segment"]
            if not (base <= beyond or index <= last_sign or (within and signs)):
                lost.append(index)
    for index in range(len(batches) - 1, -1, -1):
        batch = batches[index]
        place = (partition, batch["segment"], batch["batch_position"])
        producer = batch["producer_id"]
        if batch["is_control"]:
            following[producer] = (index, controls.get(place, "EMPTY"))
            yield place, None
        elif batch["is_transactional"]:
            end, kind = following.get(producer, (len(batches), "OPEN"))
            if any(index < gap <= end for gap in lost):
                kind = "EMPTY"
            yield place, {"COMMIT": "committed", "ABORT": "aborted", "OPEN": "open", "EMPTY": "unknown"}[kind]
        else:
            yield place, None


def _cleaned(batch: Row) -> bool:
    count = batch["count"] if "count" in batch else batch["records"]
    span = batch["batch_last_offset"] - batch["batch_base_offset"] + 1
    return bool(count < span or batch.get("delete_horizon_ms") is not None)


def cleaner_checkpoints(log: Path) -> dict[int, int]:
    path = log / "cleaner-offset-checkpoint"
    if not path.exists():
        return {}
    lines = (line.split() for line in path.read_text().splitlines()[2:])
    return {int(partition): int(offset) for topic, partition, offset in lines if topic == "__consumer_offsets"}
