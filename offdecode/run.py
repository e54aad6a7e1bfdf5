"""One run on one log or several: what a question reads its rows from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from offdecode.evidence import UNWATCHED, Evidence, LogId, StepReader, Watch, open_evidence
from offdecode.model import Coverage, DecodedChunk, Gaps
from offdecode.options import ALL_ROWS, ExplainOptions, Filter
from offdecode.request import Meter, Report, Request, Stats, unmetered
from offdecode.schemas.rows import RowOptions

_LARGEST_THRESHOLD = 32 << 20


class LogRows(NamedTuple):
    """Rows of a log. gaps: what the log lacks as far as it was read.

    lost: they are of a branch of the log that did not stand.
    """

    log: LogId
    chunk: DecodedChunk
    gaps: Gaps
    lost: bool = False


class LogEnd(NamedTuple):
    """A log is through. It may have had no rows."""

    log: LogId
    coverage: Coverage


def _keep_freed_memory() -> None:
    """Have the vectors of one chunk take the memory of those before, not fresh pages, of which each costs a fault.

    glibc gives blocks above a threshold back to the system, and raises it to the size of one that is freed, to at most
    32 MiB (mallopt(3), M_MMAP_THRESHOLD). This one is never written to, so it takes no memory.
    """
    np.empty(_LARGEST_THRESHOLD - (8 << 10), np.uint8)


class Run:
    """A request whose logs are found, unless evidence is given.

    Problems are reported as they are met, and counted in stats by who reports. meter: is told of what is read; opening:
    of what is fetched or unpacked before. Raises SourceError, when rows are read, where the paths lead to nothing that
    is an offsets log.
    """

    def __init__(
        self, request: Request, report: Report, stats: Stats | None = None, evidence: Evidence | None = None,
        opening: Meter = unmetered,
    ) -> None:  # fmt: skip
        _keep_freed_memory()
        self.request = request
        self.report = report
        self.stats = Stats() if stats is None else stats
        self.evidence = open_evidence(request, opening) if evidence is None else evidence
        self.meter: Meter = unmetered
        if self.evidence.merged:
            self.request = replace(request, columns=replace(request.columns, copies=True))

    def retention_ms(self, known: ExplainOptions) -> int | None:
        """For how long the broker kept offsets: as is known, else as the cluster tells; None = neither."""
        return self.evidence.cluster.retention_ms if known.retention_ms is None else known.retention_ms

    def again(self, rows: Filter = ALL_ROWS) -> Run:
        """The same evidence read anew, these rows of it, and nothing reported."""
        return Run(replace(self.request, rows=rows), lambda problem: None, evidence=self.evidence)

    def rows(self, wanted: Filter, columns: RowOptions | None = None) -> Iterator[DecodedChunk]:
        """The decoded rows of all logs that a filter wants, partitions by number, each in the order of its log.

        Those of lost branches are among them.
        """
        for item in self.rows_by_log(wanted, columns, lost=True):
            if isinstance(item, LogRows):
                yield item.chunk

    def rows_by_log(
        self, wanted: Filter, columns: RowOptions | None = None, *, lost: bool = False, watch: Watch = UNWATCHED
    ) -> Iterator[LogRows | LogEnd]:
        """The same with the log of each chunk, and where each log ends. lost: rows of lost branches are wanted too.

        watch: is told of every step, and of all rows that are read. Partitions of exported records may lie in several
        files: they all end after the last one.
        """
        request = replace(self.request, rows=wanted, columns=self.request.columns if columns is None else columns)
        reader = StepReader(request, self.stats, self.request.rows, watch)
        for step in map(reader.with_losses, self.evidence.steps(self.stats)):
            watch.begin(step)
            rows = 0
            for chunk in reader.read_reporting(step, self.report):
                rows += chunk.row_count
                if step.log is not None and lost >= step.lost:
                    yield LogRows(step.log, chunk, reader.gaps(step), step.lost)
            if step.log is not None and step.coverage is not None:
                yield LogEnd(step.log, step.coverage)
            self.meter(step.size, rows)
