"""Times of this machine's zone: the same moments, as Python's own clock tells them."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.segment_builder import Header, batch, commit
from tests.truth import FIXTURES

CLASSIC = FIXTURES / "kafka-3.9.1-classic" / "log"
# Berlin, Newfoundland and Nepal, as rules, so that no database of zones is needed.
ZONES = ("CET-1CEST,M3.5.0,M10.5.0/3", "NST3:30NDT,M3.2.0,M11.1.0", "NPT-5:45", "UTC0")
# Around Berlin's changes of 2026, the first and the last moment of the calendar, and outside it.
MOMENTS = (
    1774745999999, 1774746000000, 1792889999999, 1792890000000, 0, -1, 1795420754737, -62_135_596_800_000,
    253_402_300_799_999, 253_402_300_800_000, -62_135_596_800_001,
)  # fmt: skip
EXPECTED = """
import sys
from datetime import datetime
moments = (datetime.fromtimestamp(int(one) / 1000).astimezone() for one in sys.argv[1:])
print(*(moment.isoformat(timespec="milliseconds") for moment in moments))
"""


def told(zone: str, *words: str | Path) -> bytes:
    command = [sys.executable, *map(str, words)]
    return subprocess.run(command, env={**os.environ, "TZ": zone}, capture_output=True, check=True).stdout


def offdecode(zone: str, *words: str | Path) -> bytes:
    return told(zone, "-m", "offdecode", *words)


def log_of(folder: Path) -> Path:
    log = folder / "__consumer_offsets-0" / f"{0:020}.log"
    log.parent.mkdir()
    pairs = [commit("g", "t", at, 5) for at in range(len(MOMENTS))]  # commit_timestamp is the value's last field
    told = [(key, (value or b"")[:-8] + struct.pack(">q", at)) for (key, value), at in zip(pairs, MOMENTS, strict=True)]
    log.write_bytes(batch(told, Header(0, timestamp=1795420754737)))
    return folder


@pytest.mark.parametrize("zone", ZONES)
def test_json_tells_local_time(zone: str, tmp_path: Path) -> None:
    lines = offdecode(zone, "decode", "--timestamps", "local", log_of(tmp_path)).decode().splitlines()
    found = [json.loads(line)["commit_timestamp"] for line in lines]
    inside = MOMENTS[:7]
    wanted = told(zone, "-c", EXPECTED, *map(str, inside)).decode().split()
    assert found[:7] == wanted
    for shown, moment in zip(found[7:9], MOMENTS[7:9], strict=True):  # the ends of the calendar
        assert datetime.fromisoformat(shown).astimezone(UTC).timestamp() * 1000 // 1 == moment
    assert found[9:] == list(MOMENTS[9:])


@pytest.mark.parametrize("words", [
    "decode --jobs 2", "explain --format text", "generations --format text", "groups --format table",
    "state --format table", "lag --format table", "generations --format timesketch",
])  # fmt: skip
def test_all_forms_tell_the_same_moments(words: str) -> None:
    """Each time of the output in UTC, where local time is UTC's; none is told in UTC elsewhere."""
    there = offdecode("UTC0", *words.split(), "--timestamps", "local", CLASSIC).decode()
    here = offdecode("NPT-5:45", *words.split(), "--timestamps", "local", CLASSIC).decode()
    assert "+00:00" in there
    assert "+05:45" in here
    assert "+00:00" not in here

    def moments(text: str, zone: str) -> list[datetime]:
        parts = text.split(zone)[:-1]
        return [datetime.fromisoformat(part[-23:] + zone) for part in parts]

    assert moments(here, "+05:45") == moments(there, "+00:00")
