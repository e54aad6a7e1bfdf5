"""A check by several processes finds what one finds, in the same order."""

from __future__ import annotations

import json
import os
import random
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from offdecode import per_log
from offdecode.cli import cli
from offdecode.errors import SourceError
from offdecode.evidence import open_evidence
from offdecode.options import Source
from offdecode.parallel import WorkerError, converse
from offdecode.questions import check
from offdecode.request import Request
from offdecode.system import CAN_FORK
from tests.command import TRANSACTIONS
from tests.segment_builder import commit, log
from tests.test_dealing import segments
from tests.truth import LogSet, log_sets

pytestmark = pytest.mark.skipif(not CAN_FORK, reason="logs are shared by fork, on Linux only")


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small logs are worth a process."""
    monkeypatch.setattr("offdecode.evidence._CHUNK_BYTES", 1 << 12)


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many processes were begun, each time."""
    found: list[int] = []

    def noted(count: int, *given: object) -> None:
        found.append(count)
        converse(count, *given)  # type: ignore[arg-type]

    monkeypatch.setattr(per_log, "converse", noted)
    return found


def checked(jobs: int, *words: object) -> Result:
    return CliRunner().invoke(cli, ["check", *map(str, words), "--jobs", str(jobs)], standalone_mode=False)


def assert_same(*words: object) -> Result:
    alone = checked(1, *words)
    for jobs in (2, 4):
        shared = checked(jobs, *words)
        assert (shared.stdout, shared.return_value) == (alone.stdout, alone.return_value)
        assert (type(shared.exception), str(shared.exception)) == (type(alone.exception), str(alone.exception))
    return alone


@pytest.mark.parametrize("log_set", log_sets(), ids=lambda one: one.folder.name)
def test_real_logs(log_set: LogSet, begun: list[int]) -> None:
    for form in ("--json", "--format=text", "--leftovers", "--copies-apart", "--for-broker=3.9"):
        assert assert_same(log_set.log, form).stdout
    assert len(begun) in (0, 10)


def test_damage_copies_and_what_is_no_log(tmp_path: Path, begun: list[int]) -> None:
    rnd = random.Random(7)
    logs = [log([[commit(f"g{number}-{at % 9}", offset=at)] * 3 for at in range(150)]) for number in range(5)]
    for number in (1, 3):
        data = bytearray(logs[number])
        for _ in range(9):
            at = rnd.randrange(len(data))
            data[at : at + 20] = rnd.randbytes(rnd.choice((1, 40)))
        logs[number] = bytes(data)
    (broker,) = segments(tmp_path / "broker", *logs, log([[(b"key of a user", b"value")]] * 900))
    (other,) = segments(tmp_path / "other", *logs[::-1])
    (tmp_path / "empty").mkdir()
    rows = [json.loads(line) for line in assert_same(broker, "--json").stdout.splitlines()]
    assert [row["log_partition"] for row in rows if row["type"] == "partition"] == [0, 1, 2, 3, 4]
    assert [row["kind"] for row in rows if row["type"] == "unused"] == ["not_an_offsets_log"]
    assert sum(row["problem_count"] for row in rows if row["type"] == "partition") > 9
    rows = [json.loads(line) for line in assert_same(broker, other, "--json").stdout.splitlines()]
    assert sum(len(row.get("copies", ())) == 2 for row in rows if row["type"] == "partition") == 5
    assert begun == [2, 4, 2, 4]


def test_what_lies_beside_all_logs_is_known_of_each() -> None:
    evidence = open_evidence(Request(Source((TRANSACTIONS / "log",))))
    assert len(evidence.histories) > 1
    assert all(evidence.only(log).cluster is evidence.cluster for log in range(len(evidence.histories)))


def test_nothing_is_an_offsets_log(tmp_path: Path) -> None:
    other = log([[(b"key of a user", b"value")]] * 900)
    (broker,) = segments(tmp_path / "broker", other, other, other)
    found = assert_same(broker, "--json")
    assert isinstance(found.exception, SourceError)
    assert not found.stdout


def test_a_process_that_ends_ends_the_check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parent, begin = os.getpid(), check.Checking.begin

    def fall(self: check.Checking, step: object) -> None:
        if os.getpid() != parent:
            os._exit(9)
        begin(self, step)  # type: ignore[arg-type]

    monkeypatch.setattr(check.Checking, "begin", fall)
    found = checked(3, TRANSACTIONS / "log")
    assert isinstance(found.exception, WorkerError)
