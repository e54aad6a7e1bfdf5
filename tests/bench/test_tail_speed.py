"""What following a live topic costs: against decoding its files, how far behind it is, and whether its memory stays.

OFFDECODE_TAIL_COMMITS: commits of the full read; by hand 1000000. OFFDECODE_TAIL_SECONDS: how long is followed; by
hand 600. The smaller default sizes show that both work, and judge with room for a machine that does other work too.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.bench.measure import alternating
from tests.brokers import KAFKA_4, Broker, StartBroker
from tests.tail_runs import Follower

COMMITS = int(os.environ.get("OFFDECODE_TAIL_COMMITS", "100000"))
SECONDS = int(os.environ.get("OFFDECODE_TAIL_SECONDS", "10"))
BY_HAND = "OFFDECODE_TAIL_SECONDS" in os.environ
RATE = 5000
WARM_UP_SECONDS = 3
MOST_LAG_SECONDS = 1.0 if BY_HAND else 5.0
MOST_GROWTH_BYTES = 16 << 20

pytestmark = [pytest.mark.broker, pytest.mark.slow]


def loading(broker: Broker, commits: int, rate: int = 0) -> list[str]:
    return [sys.executable, "-m", "tests.commit_load", broker.bootstrap, str(commits), str(rate)]


def test_a_full_read_keeps_up_with_decoding_the_files(start_broker: StartBroker) -> None:
    broker = start_broker(KAFKA_4)
    subprocess.run(loading(broker, COMMITS), check=True, timeout=600)
    offdecode = (sys.executable, "-m", "offdecode")
    commands = {
        "tail": [*offdecode, "tail", "--bootstrap-server", broker.bootstrap, "--until-end"],
        "decode": [*offdecode, "decode", str(broker.data)],
    }
    found = alternating(commands, 5)
    print(f"{COMMITS:,} commits: tail {found['tail'].wall:.2f} s, decode {found['decode'].wall:.2f} s")
    # The connection takes its time, however short the log.
    assert found["tail"].wall <= 2 * found["decode"].wall + (0 if COMMITS >= 10**6 else 2)


def test_following_stays_near_the_end_and_in_its_memory(start_broker: StartBroker, tmp_path: Path) -> None:
    broker = start_broker(KAFKA_4)
    subprocess.run(loading(broker, 50), check=True, timeout=60)
    lags: list[float] = []
    memory: list[int] = []
    with Follower(tmp_path, "--bootstrap-server", broker.bootstrap) as follower:
        follower.wait_for(50)
        with (
            follower.rows.open("rb") as rows,
            subprocess.Popen(loading(broker, RATE * SECONDS, RATE)) as load,
        ):
            rest, count = b"", 0
            start = seen = time.time()
            while load.poll() is None or time.time() < seen + 2:
                lines = (rest + rows.read()).split(b"\n")
                now = time.time()
                rest = lines.pop()
                count += len(lines)
                if lines:
                    seen = now
                if lines and now > start + WARM_UP_SECONDS:
                    lags.append(now - json.loads(lines[0])["commit_timestamp"] / 1000)
                    memory.append(resident_bytes(follower.process.pid))
                time.sleep(0.02)
            assert load.returncode == 0
        _, words = follower.stop()
    assert count == 50 + RATE * SECONDS
    first, last = (max(part) for part in (memory[: len(memory) // 2], memory[len(memory) // 2 :]))
    print(f"{RATE:,} commits/s for {SECONDS} s: behind by {statistics.median(lags):.2f} s (median), {max(lags):.2f} s "
          f"(most); memory {first >> 20} MiB in the first half, {last >> 20} MiB in the second")  # fmt: skip
    assert max(lags) <= MOST_LAG_SECONDS, words
    assert last <= first + MOST_GROWTH_BYTES


def resident_bytes(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text("utf-8").splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith("VmRSS:"))
