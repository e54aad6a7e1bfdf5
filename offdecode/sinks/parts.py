"""Decoded chunks to Parquet parts: DIR/<row type>/<log partition>-<first offset>-<last offset>.parquet.

A part holds the rows of one type from one range of one log partition. Ranges follow each other without overlap, so
the parts before a checkpoint's offsets are all of them, and whatever lies behind is made again.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

from offdecode.errors import UsageError
from offdecode.model import DecodedChunk, Problem
from offdecode.schemas.rows import RowOptions, row_type
from offdecode.sinks.checkpoint import write_alone
from offdecode.sinks.files import make_directory
from offdecode.sinks.parquet import TypeFile, within_calendar
from offdecode.system import open_directory_to_lock, sync_directory

_PART = re.compile(r"(\d+)-(\d+)-(\d+)\.parquet")


class ParquetParts:
    """Writes the rows of each type and log partition to a part until `rotate` closes them."""

    def __init__(self, directory: Path, options: RowOptions, report: Callable[[Problem], None]) -> None:
        self.directory = directory
        self.buffered_bytes = 0  # of the rows since the last rotation, in memory
        self._options = options
        self._report = report
        self._files: dict[tuple[str, int], TypeFile] = {}
        make_directory(directory)
        self._descriptor = open_directory_to_lock(directory)
        try:
            write_alone(directory, self._descriptor)
        except UsageError:
            self.close()
            raise

    def discard_after(self, offsets: dict[int, int]) -> None:
        """Remove what an interrupted run has left behind the checkpoint's offsets."""
        for path in self.directory.glob("*/*.parquet"):
            match = _PART.fullmatch(path.name)
            if match and int(match[2]) >= offsets.get(int(match[1]), 0):
                path.unlink()
        for path in self.directory.glob("*/.*.parquet.*.partial"):
            path.unlink()

    def holds_parts(self) -> bool:
        return any(_PART.fullmatch(path.name) for path in self.directory.glob("*/*.parquet"))

    def write(self, chunk: DecodedChunk, log_partition: int) -> None:
        for name, batch in chunk:
            storable, problems = within_calendar(name, batch)
            for problem in problems:
                self._report(problem)
            file = self._files.get((name, log_partition))
            if file is None:
                file = self._files[name, log_partition] = self._new_file(name, log_partition)
            file.add(storable)
            self.buffered_bytes += batch.nbytes

    def _new_file(self, name: str, log_partition: int) -> TypeFile:
        folder = self.directory / name
        make_directory(folder)
        return TypeFile(folder / f"{log_partition}.parquet", row_type(name, self._options).arrow_schema)

    def rotate(self, starts: dict[int, int], ends: dict[int, int]) -> None:
        """Close all parts; they hold the rows from `starts` (else 0) to before `ends`, offsets by log partition."""
        for (name, number), file in self._files.items():
            file.close()
            part = f"{number:05}-{starts.get(number, 0):020}-{ends[number] - 1:020}.parquet"
            file.target.finish_as(self.directory / name / part)
        for folder in {name for name, _ in self._files}:
            sync_directory(self.directory / folder)
        self._files.clear()
        self.buffered_bytes = 0

    def close(self) -> None:
        """Let other runs write the directory."""
        os.close(self._descriptor)

    def discard(self) -> None:
        for file in self._files.values():
            file.discard()
