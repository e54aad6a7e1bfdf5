"""What explaining a million commits costs beyond decoding them to JSON lines."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from offdecode.model import DecodedChunk
from offdecode.schemas.rows import DEFAULT_OPTIONS
from offdecode.sinks.jsonl import JsonLinesSink
from tests.asking import a_request, decode, explain
from tests.segment_builder import batch, commit

_KEYS, _ROUNDS, _BATCH = 4000, 10, 500
_COMMITS = 1_000_000


def million_commits(path: Path) -> None:
    """Commits of 4000 keys in batches of 500: each key advances ten times, starts over, and so on."""
    keys = [(f"group-{number % 40}", f"topic-{number % 8}", number // 40) for number in range(_KEYS)]
    bodies = [
        batch([commit(*key, step * 20 + number) for number, key in enumerate(keys[first : first + _BATCH])])
        for step in range(_ROUNDS)
        for first in range(0, _KEYS, _BATCH)
    ]
    with path.open("wb") as stream:
        for number in range(_COMMITS // _BATCH):  # the checksum does not cover the base offset
            stream.write((number * _BATCH).to_bytes(8, "big") + bodies[number % len(bodies)][8:])


def seconds(run: Callable[[], Iterable[DecodedChunk]]) -> float:
    """Computing seconds of a run and of writing its rows as JSON lines to nowhere."""
    start = time.process_time()
    with open(os.devnull, "wb") as nowhere:
        sink = JsonLinesSink(nowhere, DEFAULT_OPTIONS)
        for chunk in run():
            sink.write(chunk)
    return time.process_time() - start


@pytest.mark.slow
def test_explaining_adds_no_more_than_decoding_takes(tmp_path: Path) -> None:
    segment = tmp_path / "__consumer_offsets-0" / f"{0:020}.log"
    segment.parent.mkdir()
    million_commits(segment)
    request = a_request(segment)
    decoding, explaining = [], []
    for _ in range(3):
        decoding.append(seconds(lambda: decode(request)))
        explaining.append(seconds(lambda: explain(request)))
    assert min(explaining) <= 2 * min(decoding), f"decoding {min(decoding):.2f} s, explaining {min(explaining):.2f} s"
    print(f"decoding {min(decoding):.2f} s, explaining {min(explaining):.2f} s")
