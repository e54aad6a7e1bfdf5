"""Names of files and directories in a broker's data directory."""

from __future__ import annotations

import re

from offdecode.model import LARGEST_INT64

LONGEST_NAME = 255
SEGMENT_SUFFIX = ".log"  # of a compressed one too, before its own
COMPRESSED_SUFFIXES = (".gz", ".zst", ".lz4", ".xz", ".bz2")
SEGMENT_NAME = re.compile(rf"(?s).*\.log({'|'.join(map(re.escape, COMPRESSED_SUFFIXES))})?")
ARCHIVE_SUFFIX = r"(?:tgz|tzst|txz|tbz2?|tar(?:\.\w+)?|zip)"  # without the dot
ARCHIVE_NAME = re.compile(rf"(?si).+\.{ARCHIVE_SUFFIX}")
# An image of a disk, compressed or not.
IMAGE_NAME = re.compile(rf"(?si).+\.(?:img|raw|dd|qcow2|vmdk|e01)(?:{'|'.join(map(re.escape, COMPRESSED_SUFFIXES))})?")
# Behind a segment's name: what the broker was about to delete, or what the log cleaner was about to put in place.
LEFTOVER_SEGMENT = re.compile(r"\d{20}\.log\.(?P<why>deleted|cleaned|swap)")
# Behind a partition's directory: deleted, on a broker that should not have it, or on its way to another disk.
LEFTOVER_DIRECTORY = r"\.[0-9a-f]{32}-(?:delete|stray|future)"
# A partition's directory, or what is left over of one.
PARTITION_DIRECTORY = re.compile(rf"(?s)(?P<topic>.+)-(?P<partition>\d{{1,10}})(?P<leftover>{LEFTOVER_DIRECTORY})?")
# That of a backup, say: the day is no partition.
DATED = re.compile(r"(?s).*(?<!\d)\d{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])")
CLUSTER_TOPICS = frozenset({"__cluster_metadata", "__transaction_state"})  # that tell of the offsets topic
META_PROPERTIES = "meta.properties"
CARVED_NOTE = "carved.txt"  # in directories of segments that were carved out of images
LEADER_EPOCHS = "leader-epoch-checkpoint"  # in a log's own directory
PARTITION_METADATA = "partition.metadata"
INDEX_SUFFIXES = (".index", ".timeindex")
SNAPSHOT_SUFFIX = ".checkpoint"  # of the controllers' log


def is_packed(name: str) -> bool:
    """Whether a name is of an archive, or of an image of a disk."""
    return ARCHIVE_NAME.fullmatch(name) is not None or IMAGE_NAME.fullmatch(name) is not None


def partition_directory(name: str, topic: str) -> re.Match[str] | None:
    """The parts of the name of a partition's directory, or of what is left over of one; None for any other name.

    One that ends in a date is none, unless it is of the topic.
    """
    match = PARTITION_DIRECTORY.fullmatch(name)
    return None if match and match["topic"] != topic and DATED.fullmatch(name) else match


def partition_pattern(topic: str) -> re.Pattern[str]:
    """Names of the directories of a topic's partitions."""
    return re.compile(re.escape(topic) + r"-\d{1,10}")


def leftover_pattern(topic: str) -> re.Pattern[str]:
    """Names of directories that are left over of a topic's partitions."""
    return re.compile(re.escape(topic) + r"-\d{1,10}" + LEFTOVER_DIRECTORY)


def named_offset(segment: str) -> int | None:
    """The offset that a segment's name tells, None where it tells none."""
    stem = segment.split(".")[0]
    return int(stem) if re.fullmatch("[0-9]{1,20}", stem) and int(stem) <= LARGEST_INT64 else None


def is_cut(leftover: str) -> bool:
    """Whether the name of a left over directory is as long as the system allows: then its topic's is cut short."""
    return len(leftover) >= LONGEST_NAME
