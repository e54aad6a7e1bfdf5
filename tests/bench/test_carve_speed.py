"""Carving noise and holes: how fast, in how much memory. OFFDECODE_CARVE_MIB: of noise; of holes ten times that."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.bench.measure import peak_memory, timed
from tests.segment_builder import Header, batch, commit

MIB = int(os.environ.get("OFFDECODE_CARVE_MIB", "128"))
MOST_BYTES = 300 << 20


def noise(path: Path) -> int:
    """Random bytes, with a batch here and there."""
    randomly = np.random.default_rng(1)
    with path.open("wb") as stream:
        for number in range(MIB // 16):
            stream.write(randomly.bytes(16 << 20))
            stream.write(batch([commit("found")], Header(number)).ljust(4096, b"\0"))
    return MIB


def hole(path: Path) -> int:
    """What a sparse image has for free space, behind a batch."""
    with path.open("wb") as stream:
        stream.write(batch([commit("found")]))
        stream.truncate(10 * MIB << 20)
    return 10 * MIB


# The least MiB a second of processor time; alone on a machine it is more than twice that.
@pytest.mark.parametrize(("make", "least"), [(noise, 80), (hole, 300)], ids=["noise", "hole"])
def test_carving(make: Callable[[Path], int], least: int, tmp_path: Path) -> None:
    image = tmp_path / "disk.img"
    size = make(image)
    command = [sys.executable, "-m", "offdecode", "carve", str(image), "-o"]
    rate = size / timed([*command, str(tmp_path / "first")]).cpu
    memory = peak_memory([*command, str(tmp_path / "second")])
    print(f"{size} MiB: {rate:.0f} MiB a second of processor time, {memory >> 20} MiB of memory")
    assert rate > least
    assert memory < MOST_BYTES
