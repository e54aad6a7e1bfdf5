"""Group id to the partition of the offsets topic that holds everything about the group."""

from __future__ import annotations

DEFAULT_PARTITIONS = 50  # offsets.topic.num.partitions, unless the cluster was set up otherwise


def partition_for(group: str, partitions: int = DEFAULT_PARTITIONS) -> int:
    """The partition that holds `group` where the offsets topic has `partitions` (GroupMetadataManager.partitionFor)."""
    return group_hash(group) % partitions


def group_hash(group: str) -> int:
    """Utils.abs(groupId.hashCode()): Java's hash goes over UTF-16 units, and Utils.abs of the smallest integer is 0."""
    units = group.encode("utf-16-be", "surrogatepass")
    code = 0
    for high, low in zip(units[::2], units[1::2], strict=True):
        code = (31 * code + (high << 8 | low)) & 0xFFFF_FFFF
    signed = code - (code >> 31 << 32)
    return 0 if signed == -(1 << 31) else abs(signed)
