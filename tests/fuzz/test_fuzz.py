"""Mutated batches and bytes for a while: OFFDECODE_FUZZ_SECONDS, from the seed OFFDECODE_FUZZ_SEED on."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.fuzz.inputs import seeds
from tests.fuzz.run import fuzz
from tests.truth import log_sets

SECONDS = float(os.environ.get("OFFDECODE_FUZZ_SECONDS", "40"))
SEED = int(os.environ.get("OFFDECODE_FUZZ_SEED", "1"))


@pytest.mark.slow
def test_any_damage_keeps_the_invariant(tmp_path: Path) -> None:
    pool = seeds([log_set.log for log_set in log_sets()])
    count, seed = fuzz(SEED, SECONDS, pool, tmp_path)
    print(f"{count:,} inputs held, seeds {SEED} to {seed - 1}")
    assert count > 0
