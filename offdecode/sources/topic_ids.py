"""Names of topic ids: from a data directory's partitions, or from a file that names them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from offdecode.errors import SourceError
from offdecode.model import path_text
from offdecode.sources.locations import Location, listed
from offdecode.sources.names import PARTITION_DIRECTORY, PARTITION_METADATA, is_cut
from offdecode.sources.segments import PartitionLog, data_directories

_MOST_BYTES = 1 << 16  # of such a file, which has two lines
_DESCRIBED = re.compile(r"Topic:\s*(?P<name>\S+)\s+TopicId:\s*(?P<id>\S+)")  # kafka-topics.sh --describe
_TOPIC_ID = re.compile(r"[A-Za-z0-9_-]{22}")


def data_directory_names(logs: Iterable[PartitionLog]) -> dict[str, str]:
    """{topic id: name} from the partitions beside the logs, by one partition of each topic.

    A `partition.metadata` file (KIP-516) has lines `version: 0` and `topic_id: ID`. What cannot be read is passed over.
    """
    names: dict[str, str] = {}
    for directory in sorted(data_directories(logs), key=lambda one: one.key):
        seen: set[str] = set()
        for entry in listed(directory):
            match = PARTITION_DIRECTORY.fullmatch(entry)
            # What is left over of a partition may hold the id of an earlier topic of the same name.
            if match is None or (is_cut(entry) if match["leftover"] else match["topic"] in seen):
                continue
            topic_id = topic_id_of(directory.child(entry))
            if topic_id is not None:
                names[topic_id] = match["topic"]
                if not match["leftover"]:
                    seen.add(match["topic"])
    return names


def topic_id_of(partition: Location) -> str | None:
    """The id of the topic that a partition's directory is of; None where it does not tell."""
    lines = (partition.side_file(PARTITION_METADATA, _MOST_BYTES) or b"").decode("utf-8", "replace").splitlines()
    found = [line.split(":", 1)[1].strip() for line in lines if line.startswith("topic_id:")]
    return found[0] if len(found) == 1 else None


def named_in_file(path: Path) -> dict[str, str]:
    """{topic id: name} from a file with a line `ID NAME` for each topic, or with what kafka-topics --describe prints.

    Raises SourceError where it cannot be read, or holds no name.
    """
    try:
        lines = path.read_text("utf-8").splitlines()
    except OSError as error:
        raise SourceError(path_text(path), f"cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise SourceError(path_text(path), "is not UTF-8 text") from None
    names: dict[str, str] = {}
    for line in lines:
        words = line.split()
        described = _DESCRIBED.search(line)
        if described:
            names[described["id"]] = described["name"]
        elif len(words) == 2 and _TOPIC_ID.fullmatch(words[0]):
            names[words[0]] = words[1]
    if not names:
        reason = "names no topic: a line is `ID NAME`, or what kafka-topics.sh --describe prints"
        raise SourceError(path_text(path), reason)
    return names
