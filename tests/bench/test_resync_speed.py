"""Good batches in random bytes are all found, however far apart. OFFDECODE_RESYNC_MIB: how many bytes, 1024 by hand."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

import numpy as np

from tests.bench.measure import peak_memory
from tests.command import run
from tests.segment_builder import Header, batch, commit

MIB = int(os.environ.get("OFFDECODE_RESYNC_MIB", "128"))
BATCHES = max(MIB * 100 // 1024, 2)
LEAST_MIB_A_SECOND = 25  # on a machine that does other work too; alone it is several times that
MOST_BYTES = 300 << 20


def random_with_batches(path: Path) -> None:
    """Random bytes, and a batch somewhere in each of as many equal parts."""
    randomly = np.random.default_rng(MIB)
    part = (MIB << 20) // BATCHES
    with path.open("wb") as stream:
        for number in range(BATCHES):
            noise = randomly.bytes(part)
            at = int(randomly.integers(part))
            stream.write(noise[:at] + batch([commit(f"found-{number}")] * 3, Header(number * 10)) + noise[at:])


def test_batches_in_random_bytes(tmp_path: Path) -> None:
    path = tmp_path / "noise.log"
    random_with_batches(path)
    arguments = ("decode", "--as-log-partition", "0", "--problems", tmp_path / "problems", path)
    start = time.monotonic()
    done = run(*arguments)
    rate = MIB / (time.monotonic() - start)
    assert done.status == 1
    rows = [json.loads(line) for line in done.stdout.split(b"\n")[:-1]]
    assert [row["group"] for row in rows] == [f"found-{number}" for number in range(BATCHES) for _ in range(3)]
    problems = [json.loads(line) for line in (tmp_path / "problems").read_text("utf-8").split("\n")[:-1]]
    lost = sum(problem["length"] for problem in problems if problem["kind"] in ("damaged_bytes", "garbage_tail"))
    size = len(batch([commit("found-0")] * 3, Header(0)))
    assert lost == path.stat().st_size - sum(size + len(str(number)) * 3 - 3 for number in range(BATCHES))
    memory = peak_memory([sys.executable, "-m", "offdecode", *map(str, arguments), "--jobs", "1"], status=1)
    print(f"{MIB} MiB with {BATCHES} batches: {rate:.0f} MiB/s; one job takes {memory >> 20} MiB of memory")
    assert rate > LEAST_MIB_A_SECOND
    assert memory < MOST_BYTES
