"""A data directory's checkpoint files to what the broker knew of one partition's offsets.

Format of org.apache.kafka.server.common.CheckpointFile: a version line, a line with the number of entries, then
`topic partition offset` a line. A file that is not there, or is damaged, tells nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

_MOST_BYTES = 64 << 20  # a line a partition; no broker has a million


@dataclass(frozen=True, slots=True)
class Checkpoints:
    """Offsets of one partition; None where the data directory does not tell.

    high_watermark: records from it on may never have been committed. log_start: the first offset of the log.
    cleaner: the first offset that the log cleaner has not cleaned. recovery_point: the first offset that may not
    have been flushed to the disk.
    """

    high_watermark: int | None = None
    log_start: int | None = None
    cleaner: int | None = None
    recovery_point: int | None = None


_FILES = {
    "high_watermark": "replication-offset-checkpoint",
    "log_start": "log-start-offset-checkpoint",
    "cleaner": "cleaner-offset-checkpoint",
    "recovery_point": "recovery-point-offset-checkpoint",
}


def read_checkpoints(data_directory: Path, topic: str, partition: int) -> Checkpoints:
    """What the checkpoint files of a data directory say of one partition."""
    return Checkpoints(**{name: _entry(data_directory / file, topic, partition) for name, file in _FILES.items()})


def _entry(path: Path, topic: str, partition: int) -> int | None:
    try:
        if not path.is_file() or path.stat().st_size > _MOST_BYTES:
            return None
        lines = path.read_text("utf-8").split("\n")
    except (OSError, UnicodeDecodeError):
        return None
    for line in lines[2:]:
        words = line.split()
        if words[:2] == [topic, str(partition)] and len(words) == 3 and words[2].isascii() and words[2].isdecimal():
            return min(int(words[2][:19]), (1 << 63) - 1)
    return None
