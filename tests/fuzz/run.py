"""What must hold for any input: no error but offdecode's own, both engines agree, untouched batches are all there."""

from __future__ import annotations

import io
import os
import resource
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

import orjson

from offdecode.engines.decode import Engine
from offdecode.errors import SourceError
from offdecode.model import Problem
from offdecode.sinks.jsonl import JsonLinesSink
from tests.asking import a_request, decode
from tests.fuzz.inputs import OFFSETS_EACH, Inputs, Pool, mutated_batches, mutated_bytes, mutated_messages

MOST_SECONDS = 60  # of computing, for one segment of inputs, which takes about one
MOST_KIB = 1 << 20

_KINDS: tuple[tuple[str, Callable[[int, Pool, int], Inputs], int], ...] = (
    ("batches", mutated_batches, 300),
    ("bytes", mutated_bytes, 60),
    ("messages", mutated_messages, 300),
)


def read(path: Path, engine: Engine) -> tuple[list[bytes], list[Problem]]:
    """The lines and the problems that a file gives."""
    problems: list[Problem] = []
    stream = io.BytesIO()
    request = a_request(path, as_log_partition=0, engine=engine)
    sink = JsonLinesSink(stream, request.columns)
    for chunk in decode(request, problems.append):
        sink.write(chunk)
    return stream.getvalue().split(b"\n")[:-1], problems


def by_place(lines: Sequence[bytes]) -> dict[int, list[bytes]]:
    found: dict[int, list[bytes]] = defaultdict(list)
    for line in lines:
        found[orjson.loads(line)["log_offset"] // OFFSETS_EACH].append(line)
    return found


def hold(inputs: Inputs, place: Path) -> None:
    """Raise AssertionError, or whatever offdecode raises, where the invariant does not hold."""
    start = time.process_time()
    place.write_bytes(inputs.data)
    try:
        lines, problems = read(place, "auto")
    except SourceError:  # so much damage that it is no offsets log
        return
    assert read(place, "reference") == (lines, problems), "the engines differ"
    place.write_bytes(b"".join(inputs.untouched.values()))
    expected = by_place(read(place, "reference")[0])
    rows = by_place(lines)
    for number in inputs.untouched:
        # A damaged offset may fall into the range of an untouched batch: its rows stand beside.
        missing = [line for line in expected[number] if line not in rows[number]]
        assert not missing, f"rows of the untouched batch {number} are missing or changed: {missing[:2]}"
    for problem in problems:
        assert problem.position is None or 0 <= problem.position <= len(inputs.data), problem
    assert time.process_time() - start < MOST_SECONDS
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < MOST_KIB


def fuzz(first_seed: int, seconds: float, pool: Pool, folder: Path) -> tuple[int, int]:
    """Run for so long: how many inputs were tried, and the seed to go on with. A failure names its seed."""
    end = time.monotonic() + seconds
    count, seed = 0, first_seed
    place = folder / f"fuzz-{os.getpid()}.log"
    while time.monotonic() < end:
        kind, make, size = _KINDS[seed % len(_KINDS)]
        inputs = make(seed, pool, size)
        try:
            hold(inputs, place)
        except Exception as error:
            raise AssertionError(f"seed {seed} ({kind}): {error}") from error
        count += inputs.count
        seed += 1
    place.unlink(missing_ok=True)
    return count, seed
