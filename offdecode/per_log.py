"""What is made of each log by itself: by several processes, where they can be forked and read the logs at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, TypeVar

from offdecode.evidence import Evidence
from offdecode.parallel import converse
from offdecode.request import Meter
from offdecode.system import CAN_FORK
from offdecode.writing import job_count

T = TypeVar("T")


class _Made(NamedTuple):
    log: int
    made: Any


def log_jobs(jobs: int | None, evidence: Evidence) -> int:
    """How many processes can share the logs. jobs: that are asked for, None = all cores."""
    if not CAN_FORK or not evidence.plain:
        return 1
    return min(job_count(jobs, evidence), len(evidence.histories))


def of_each_log(
    evidence: Evidence, work: Callable[[Evidence, Meter], T], meter: Meter, *, jobs: int | None
) -> Iterator[T]:
    """What work makes of each log, in their order. It is given the log as evidence of its own; what it gives pickles.

    meter: is told of what is read. With several processes all logs are read before the first one's comes.
    """
    total, count = len(evidence.histories), log_jobs(jobs, evidence)
    if count < 2:
        for log in range(total):
            yield work(evidence.only(log), meter)
        return
    found: dict[int, T] = {}
    todo = iter(range(total))

    def process(ask: Callable[[], Any], note: Callable[[Any], None]) -> None:
        while True:
            note(None)
            log = ask()
            if log is None:
                return
            note(_Made(log, work(evidence.only(log), lambda size, rows: note((size, rows)))))

    def take(worker: int, note: Any, reply: Callable[[int, Any], None]) -> None:
        if note is None:
            reply(worker, next(todo, None))
        elif isinstance(note, _Made):
            found[note.log] = note.made
        else:
            meter(*note)

    converse(count, process, take)
    yield from (found.pop(log) for log in range(total))
