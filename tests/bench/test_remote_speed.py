"""What it costs that evidence lies in an object store, each of whose answers takes 20 ms."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.bench import measure
from tests.bench.measure import FOLDER, alternating, peak_memory
from tests.bench.shapes_groups import GROUP_SHAPES
from tests.brokers import free_port

_LEAST_THROUGHPUT = 0.5  # of a directory's; the floor is 0.7, this leaves room for other work
_MOST_MEMORY = 300 << 20
_PARTITIONS, _COMMITS = 3, 1_000_000


@pytest.mark.slow
def test_an_object_store_is_nearly_as_fast_as_a_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server runs on the same machine and takes its share of it."""
    pytest.importorskip("s3fs")
    segment = GROUP_SHAPES["fleet"].write(FOLDER, _COMMITS)
    data = tmp_path / "evidence" / "data"
    for partition in range(_PARTITIONS):
        directory = data / f"__consumer_offsets-{partition}"
        directory.mkdir(parents=True)
        (directory / segment.name).hardlink_to(segment)
    port = free_port()
    server = subprocess.Popen([sys.executable, "-m", "tests.bench.object_store", str(tmp_path), str(port), "20"])
    for name, value in {
        "AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
    }.items():  # fmt: skip
        monkeypatch.setitem(measure._ENVIRONMENT, name, value)
    decode = [sys.executable, "-m", "offdecode", "decode", "--jobs", "1"]
    try:
        time.sleep(1)
        times = alternating({"disk": [*decode, str(data)], "store": [*decode, "s3://evidence/data"]}, 1)
        memory = peak_memory([*decode, "s3://evidence/data"])
    finally:
        server.kill()
        server.wait()
    share = times["disk"].wall / times["store"].wall
    print(f"disk {times['disk'].wall:.2f} s, store {times['store'].wall:.2f} s: {share:.0%}, {memory >> 20} MB")
    assert share >= _LEAST_THROUGHPUT
    assert memory <= _MOST_MEMORY
