"""A command's run: its progress and statistics on the terminal, its exit status."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO

import click

from offdecode.cli import DAMAGED
from offdecode.options import Output
from offdecode.questions.names import Missing, missing_names
from offdecode.request import Meter, Request, Stats, unmetered
from offdecode.run import Run
from offdecode.schemas.placement import partition_for
from offdecode.sinks.text.lines import fitted_to, printable
from offdecode.sinks.text.words import local_times, name_words, time_words
from offdecode.writing import (
    Answer,
    ProblemLines,
    keep_off_the_evidence,
    problem_stream,
    write_rows,
)


def once(run: Run) -> int:
    """How often most commands read the evidence."""
    return 1


def run_decode(request: Request, output: Output) -> int:
    """Write the rows of a request; the exit status."""

    def write(run: Run, problems: BinaryIO) -> None:
        write_rows(run, output, problems)
        run.stats.answered = run.stats.rows > 0

    return _run(request, output, write, asks=True)


def run_answer(answer: Answer, request: Request, output: Output, as_of: int | None = None) -> int:
    """Write the rows that a question makes; the exit status. as_of: the moment that is asked about, if one is."""
    from offdecode.dealing import write_by_log  # `decode` needs none of what it imports

    return _run(
        request, output, lambda run, problems: write_by_log(answer, run, output, problems), as_of=as_of, asks=True
    )


def run_writing(
    request: Request, output: Output, write: Callable[[Run], None], readings: Callable[[Run], int] = once
) -> int:
    """Write what a run makes; the exit status. readings: how often it reads the evidence, for the progress bar."""
    return _run(request, output, lambda run, problems: write(run), readings)


def _run(
    request: Request,
    output: Output,
    write: Callable[[Run, BinaryIO], None],
    readings: Callable[[Run], int] = once,
    as_of: int | None = None,
    *,
    asks: bool = False,
) -> int:
    """asks: whether there should be rows, and it is to be said where there are none."""
    start = time.monotonic()
    keep_off_the_evidence(request.source.paths, output)
    stats = Stats()
    with problem_stream(output) as problems:
        with copying() as opening:
            run = Run(request, ProblemLines(problems, stats, output.strict), stats, opening=opening)
        with progress(run.evidence.size * readings(run)) as run.meter, for_a_person(output):
            write(run, problems)
    for problem in run.evidence.missing:
        click.echo(f"offdecode: {printable(f'{problem.source}: {problem.message}')}", err=True)
    with local_times(output.timestamps == "local"):
        notes = [*_times_beside(run, as_of)]
    notes += [f"{printable(missing.words(name_words))}{_place_words(missing, run)}" for missing in missing_names(run)]
    if asks and not stats.answered and not notes:
        notes.append(_nothing_words(stats.rows))
    for words in notes:
        click.echo(f"offdecode: {words}", err=True)
    if output.show_stats:
        print_stats(stats, time.monotonic() - start)
    return DAMAGED if stats.problems else 0


@contextmanager
def for_a_person(output: Output) -> Iterator[None]:
    """Within, times are told as the output asks, and lines are made for the terminal if rows go there."""
    with local_times(output.timestamps == "local"), fitted_to(sys.stdout if output.path is None else None):
        yield


def _times_beside(run: Run, as_of: int | None) -> Iterator[str]:
    """That what is asked for lies before or behind all times of the evidence: a clock, a zone, or seconds, perhaps."""
    rows, first, last = run.request.rows, run.stats.first_time, run.stats.last_time
    if first is None or last is None:
        return
    here = "that were read" if run.request.source.log_partitions else "here"
    for option, limit in (("--as-of", as_of), ("--until", rows.until)):
        if limit is not None and limit < first:
            yield f"{option} {time_words(limit)} is before all records {here}: the first is of {time_words(first)}"
    for option, limit in (("--as-of", as_of), ("--since", rows.since)):
        if limit is not None and limit > last:
            yield f"{option} {time_words(limit)} is after all records {here}: the last is of {time_words(last)}"


def _nothing_words(records: int) -> str:
    if not records:
        return "nothing found: no record that was asked for is here"
    read = "1 record was" if records == 1 else f"{records:,} records were"
    return f"nothing found: {read} read, and no row answers this"


def _place_words(missing: Missing, run: Run) -> str:
    """That a group may lie in a partition that was not read, or of which there is no log."""
    if missing.what != "row type" and run.request.source.log_partitions:
        numbers = [str(number) for number in sorted(set(run.request.source.log_partitions))]
        read = f"partition {numbers[0]} was" if len(numbers) == 1 else f"partitions {', '.join(numbers)} were"
        return f" (of the offsets topic only {read} read)"
    absent = {problem.log_partition for problem in run.evidence.missing} - {None}
    if missing.what != "group" or not absent:
        return ""
    known = {log.log_partition for log in run.evidence.logs} | absent
    place = partition_for(str(missing.name), max(number for number in known if number is not None) + 1)
    return f"; it may be in partition {place}, whose log is not here" if place in absent else ""


@contextmanager
def copying() -> Iterator[Meter]:
    """How much of a cluster is fetched, or of an archive unpacked, on a terminal, where that takes its time.

    Nobody knows of how much.
    """
    if not sys.stderr.isatty():
        yield unmetered
        return
    with _bar(desc="copied", delay=1) as bar:

        def advance(read: int, rows: int) -> None:
            bar.update(read)

        yield advance


@contextmanager
def progress(size: int | None, what: str = "rows") -> Iterator[Meter]:
    """A progress bar on a terminal: bytes of the evidence, rows or what else is counted, rate, time left."""
    if not sys.stderr.isatty():
        yield unmetered
        return
    with _bar(total=size) as bar:
        total = 0

        def advance(read: int, rows: int) -> None:
            nonlocal total
            total += rows
            if total:  # some work tells of no rows
                bar.set_postfix_str(f"{total:,} {what}", refresh=False)
            bar.update(read)

        yield advance


def _bar(**options: Any) -> Any:
    from tqdm import tqdm

    return tqdm(unit="B", unit_scale=True, unit_divisor=1024, leave=False, file=sys.stderr, **options)


def print_stats(stats: Stats, seconds: float) -> None:
    """Print counts and rates to stderr."""
    seconds = max(seconds, 1e-9)
    lines = [
        f"{stats.rows:,} rows in {seconds:.2f} s: {stats.rows / seconds:,.0f} rows/s, "
        f"{stats.bytes_read / seconds / 1e6:,.1f} MB/s",
        f"segments {stats.segments:,}, bytes {stats.bytes_read:,}, batches {stats.batches:,}, "
        f"problems {stats.problems:,}, fallbacks {stats.fallbacks:,}",
    ]
    lines += [f"codec {name}: {count:,} batches" for name, count in sorted(stats.by_codec.items())]
    lines += [
        f"{name} {'without value' if version is None else f'v{version}'}: {count:,} rows"
        for (name, version), count in sorted(stats.by_version.items(), key=lambda item: (item[0][0], item[0][1] or -1))
    ]
    click.echo("\n".join(lines), err=True)
