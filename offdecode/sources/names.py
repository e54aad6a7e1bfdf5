"""Names of files and directories in a broker's data directory."""

from __future__ import annotations

import re

SEGMENT_SUFFIX = ".log"  # of a compressed one too, before its own
SEGMENT_NAME = re.compile(r"(?s).*\.log(\.(gz|zst|lz4|xz|bz2))?")
PARTITION_METADATA = "partition.metadata"


def partition_pattern(topic: str) -> re.Pattern[str]:
    """Names of the directories of a topic's partitions."""
    return re.compile(re.escape(topic) + r"-\d{1,10}")
