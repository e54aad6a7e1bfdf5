"""A run to what its report shows: the evidence is read once, for its check and for all that is drawn."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from offdecode.evidence import UNWATCHED, LogId, Watch
from offdecode.filtering import keep, pushed
from offdecode.history.movements.answer_columns import numbered
from offdecode.history.movements.explanation import MovementRows
from offdecode.history.movements.movement import Columns, MovementKind, is_progress, leaves_offset, single
from offdecode.history.movements.moves import Moves
from offdecode.history.offsets.rules import Coordinator
from offdecode.history.topic_names import TopicNames
from offdecode.model import ABSENT, DecodedChunk, Problem, rows_of
from offdecode.options import GROUPS, TIMES, ExplainOptions, ReportOptions, TopicIds, TransactionOptions
from offdecode.questions.beside import Beside
from offdecode.questions.check import Checking, check
from offdecode.questions.producers import Producers
from offdecode.questions.topic_deletions import TopicDeletions
from offdecode.questions.transactions import transactions
from offdecode.reporting.choice import add_lines, add_marks, add_stories, chosen_groups
from offdecode.reporting.counts import Counts
from offdecode.reporting.log_walk import LogWalk, Shared
from offdecode.reporting.marks import Marks
from offdecode.reporting.points import Points
from offdecode.reporting.seen import Problems, Row, Seen
from offdecode.reporting.stories import Stories
from offdecode.request import Report
from offdecode.run import LogRows, Run
from offdecode.schemas.state_rows import TRANSACTION_ROW

_MOST_TRANSACTIONS = 1000
_MOST_BARS = 1200  # of counts over time


def report(run: Run, asked: ReportOptions, known: ExplainOptions, names: TopicIds) -> Seen:
    """What the page of a request shows.

    Raises SourceError where there is no offsets log.
    """
    problems = Problems()
    heard = Run(run.request, _telling(problems, run.report), run.stats, run.evidence)
    heard.meter = run.meter
    walk = _Walk(heard, known, names)
    checks = _read(walk, run)
    for problem in run.evidence.missing:
        heard.report(problem)
    rows, stats = run.request.rows, run.stats
    logs = list(walk.logs.values())
    groups, group_count = chosen_groups((table for log in logs for table in log.groups()), pushed(rows, GROUPS))
    add_marks(groups, walk.marks)
    add_stories(groups, logs, walk.shared.stories, walk.names)
    add_lines(groups, logs, walk.shared.points, walk.beside)
    undecided, count = _undecided(run) if walk.any_undecided and run.evidence.can_reread else ([], 0)
    return Seen(
        request=run.request,
        title=asked.title,
        known=known,
        names=names,
        checks=checks,
        brokers=run.evidence.brokers,
        logs=[log.log for log in logs],
        bars=walk.shared.counts.bars(_MOST_BARS),
        groups=groups,
        group_count=group_count,
        transactions=undecided,
        transaction_count=count,
        problems=problems,
        marks=walk.marks.kinds,
        resolution_ms=walk.shared.points.span_ms,
        untimed=walk.shared.points.untimed,
        rows=stats.rows,
        bytes=stats.total_bytes,
    )


def readings(run: Run) -> int:
    """How often a report reads the evidence, but for transactions that are open."""
    return 1 + _is_checked_before(run)


def _is_checked_before(run: Run) -> bool:
    """Whether a check needs more than the walk reads: each copy of a log by itself, or what came later."""
    return not run.evidence.exported and (run.evidence.merged or run.request.rows.until is not None)


def _read(walk: _Walk, run: Run) -> list[Row] | None:
    """Read all that is shown: what `offdecode check` tells of the evidence, None of exported records."""
    if run.evidence.exported:
        walk.read()
        return None
    if _is_checked_before(run):
        checked = run.again()
        checked.meter = lambda read, rows: run.meter(read, 0)  # the rows are read a second time
        found = list(check(checked))
        walk.read()
    else:
        checking = Checking(run)
        walk.read(checking)
        found = [*checking.found(), *checking.rest()]
    return [one.as_dict() for one in found]


def _telling(problems: Problems, report: Report) -> Report:
    def heard(problem: Problem) -> None:
        problems.add(problem)
        report(problem)

    return heard


def _undecided(run: Run) -> tuple[list[Row], int]:
    """Transactions without an end that are shown, those that hold back most first; and how many there are."""
    again = run.again(pushed(run.request.rows, (*GROUPS, *TIMES)))
    found, count = list[Row](), 0
    for chunk in transactions(again, TransactionOptions(only_open=True)):
        batch = chunk.batches[TRANSACTION_ROW]
        count += len(batch)
        found += rows_of(batch, batch.schema.names)
        found = sorted(found, key=lambda row: -(row["held_back_records"] or 0))[:_MOST_TRANSACTIONS]
    return found, count


class _Walk:
    """Reads the rows of all logs once."""

    def __init__(self, run: Run, known: ExplainOptions, names: TopicIds) -> None:
        self._run = run
        cluster = run.evidence.cluster
        self.names = TopicNames(run.evidence.topic_names(names.topic_ids))
        self._retention_ms = run.retention_ms(known)
        self._coordinator = Coordinator(known.coordinator)
        self._deletions = TopicDeletions(cluster.deleted_directories, cluster.removed_topics)
        self._producers = Producers(cluster)
        self._wanted = pushed(run.request.rows, (*GROUPS, "since"))
        self.beside = Beside(run.evidence)
        self.shared = Shared(run.request.rows, Points(), Counts(), Stories())
        self.marks = Marks()
        self.logs: dict[LogId, LogWalk] = {}
        self.any_undecided = False

    def read(self, watch: Watch = UNWATCHED) -> None:
        """watch: looks on."""
        columns = replace(self._run.request.columns, sizes=True)
        for item in self._run.rows_by_log(pushed(self._run.request.rows, ("until",)), columns, watch=watch):
            log = self.logs.get(item.log) or self._begin(item.log)
            if isinstance(item, LogRows):
                log.take(item.chunk, item.gaps)
            else:
                log.finish(item.coverage)
        for held, chunk in self._deletions.weighed(self._deletions.noted):
            self._mark(held, chunk)

    def _begin(self, log: LogId) -> LogWalk:
        moves = Moves(self._retention_ms, self.names, self._coordinator)
        rows = MovementRows(moves)

        def tell(steps: Columns) -> None:
            self.any_undecided |= bool((steps["kind"] == MovementKind.PENDING).any())
            self._note_topics(log, moves, steps)
            for chunk in rows.chunk(single(steps, ~is_progress(steps["kind"]))):
                kept = keep(self._wanted, chunk, times=("last_log_timestamp",))
                if kept.row_count:
                    self._mark(log, self.beside.with_ranges(self._deletions.hold(log, kept)))

        self.logs[log] = LogWalk(len(self.logs), moves, self._retention_ms, self.shared, tell)
        return self.logs[log]

    def _note_topics(self, log: LogId, moves: Moves, steps: Columns) -> None:
        """When offsets of each topic moved tells which topics were not deleted."""
        numbers, index = numbered(moves.keys.pairs.topics_of(moves.keys.pairs_of(steps["key"])))
        moved = leaves_offset(steps["kind"])
        latest = np.full(len(numbers), ABSENT)
        np.maximum.at(latest, index.to_numpy()[moved], steps["log_timestamp"][moved])
        self._deletions.note_latest(log, [moves.keys.pairs.topics[number] for number in numbers], latest)

    def _mark(self, log: LogId, chunk: DecodedChunk) -> None:
        for _, batch in self._producers.named(chunk):
            if len(batch):
                self.marks.add(batch, self.logs[log].number)
