"""Timelines for Timesketch: what its importer asks for, and nothing else than the rows say."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tests.command import run
from tests.segment_builder import BASE_TIME_MS, Header, batch, commit
from tests.truth import LogSet, log_sets, set_id

# What Timesketch's importer asks of a file (timesketch/lib/utils.py), and shows of each event.
MANDATORY = {"message", "datetime", "timestamp_desc"}
ROW = {"explain": "movement", "generations": "generation"}


def events(*words: str | Path) -> list[dict[str, str]]:
    done = run(*words, "--format", "timesketch")
    assert done.status in (0, 1)
    return list(csv.DictReader(io.StringIO(done.stdout.decode())))


def plain(value: Any) -> str:
    if isinstance(value, list):
        return str(len(value))
    return "" if value is None else str(value)


@pytest.mark.parametrize("command", ["explain", "generations"])
@pytest.mark.parametrize("log_set", log_sets(), ids=set_id)
def test_events_are_the_rows(log_set: LogSet, command: str) -> None:
    found = events(command, log_set.log)
    rows = [row for row in run(command, log_set.log).rows if row["type"] == ROW[command]]
    assert len(found) == len(rows)
    for event, row in zip(found, rows, strict=True):
        assert set(event) > MANDATORY
        for name in set(event) & set(row) - {"signals"}:
            assert event[name] == plain(row[name]), name
        if command == "explain":
            owner = row["owner"] or {}
            assert event["signals"] == " ".join(row["signals"])
            assert [event[name] for name in ("client_id", "client_host", "member_id")] == [
                plain(owner.get(name)) for name in ("client_id", "client_host", "member_id")
            ]
        if row["log_timestamp"] is None:
            assert event["datetime"] == event["timestamp"] == ""
        else:
            assert int(event["timestamp"]) == row["log_timestamp"] * 1000
            told = pd.to_datetime(event["datetime"], utc=True)
            assert told.value == row["log_timestamp"] * 1_000_000
            assert event["datetime"].endswith("+00:00")


def test_hostile_names_stay_in_their_fields(tmp_path: Path) -> None:
    names = ['a,b"c', "line\nbreak", "=cmd", "\u202ereversed", ""]
    log = tmp_path / "__consumer_offsets-0" / f"{0:020}.log"
    log.parent.mkdir()
    log.write_bytes(batch([commit(name, "t", 0, 5) for name in names], Header(0, timestamp=BASE_TIME_MS)))
    found = events("explain", tmp_path)
    assert [event["group"] for event in found] == names
    assert "\u202e" not in "".join(event["message"] for event in found)
    assert all(event["after"] == "5" and None not in event for event in found)


def test_a_summary_is_no_event(tmp_path: Path) -> None:
    done = run("generations", "--summary", "--format", "timesketch", tmp_path)
    assert done.status == 2
    assert "--summary" in done.stderr
