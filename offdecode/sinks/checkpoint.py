"""Where a run has got to, as a small JSON file that is replaced as a whole, and the outputs that can go on from it."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO

import orjson

from offdecode.errors import UsageError
from offdecode.system import lock_file, sync_directory


@dataclass(frozen=True, slots=True)
class TailCheckpoint:
    """offsets: {log partition: offset to go on at}. All rows before are safe in `output`.

    size: bytes of `output` where it is a file; None where it is a directory of Parquet parts.
    """

    cluster: str | None
    topic: str
    output: str
    size: int | None
    offsets: dict[int, int]

    def save(self, path: Path) -> None:
        fields = asdict(self) | {"offsets": {str(number): offset for number, offset in self.offsets.items()}}
        partial = path.with_name(f".{path.name}.partial")
        try:
            with partial.open("wb") as stream:
                stream.write(orjson.dumps(fields, option=orjson.OPT_APPEND_NEWLINE))
                stream.flush()
                os.fsync(stream.fileno())
            partial.replace(path)
            sync_directory(path.parent)
        except OSError as error:
            raise UsageError(f"{path}: cannot be written: {error.strerror}") from None


def load_checkpoint(path: Path) -> TailCheckpoint | None:
    """The checkpoint in a file, None where there is no file. Raises UsageError for anything else."""
    try:
        fields = orjson.loads(path.read_bytes())
        offsets = {int(number): int(offset) for number, offset in fields["offsets"].items()}
        return TailCheckpoint(fields["cluster"], fields["topic"], fields["output"], fields["size"], offsets)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from None
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError, AttributeError):
        raise UsageError(f"{path}: is no checkpoint of offdecode; name another file") from None


def write_alone(path: Path, descriptor: int) -> None:
    """Keep other runs off an output that is open, until it is closed or the process ends. Raises UsageError."""
    if not lock_file(descriptor):
        raise UsageError(f"{path}: another run is writing it")


class ResumedFile:
    """A file that is cut back to what a checkpoint says, and written on from there. Nobody else writes it meanwhile."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self.stream: BinaryIO = path.open("r+b" if path.exists() else "w+b")
        except OSError as error:
            raise UsageError(f"{path}: cannot be written: {error.strerror}") from None
        try:
            write_alone(path, self.stream.fileno())
        except UsageError:
            self.stream.close()
            raise

    def cut_back(self, size: int) -> None:
        try:
            found = self.stream.seek(0, os.SEEK_END)
        except OSError as error:
            raise UsageError(f"{self.path}: cannot be written: {error.strerror}") from None
        if found < size:
            raise UsageError(f"{self.path}: has {found} bytes, the checkpoint knows of {size}: rows of it are gone")
        self.stream.truncate(size)
        self.stream.seek(size)

    def make_safe(self) -> int:
        """Bring what is written to the disk; the file's size."""
        self.stream.flush()
        os.fsync(self.stream.fileno())
        return self.stream.tell()
