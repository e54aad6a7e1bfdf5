"""Logs that processes answer for: any number of them writes the same, whatever one log tells of another."""

from __future__ import annotations

import base64
import os
import random
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from offdecode import dealing
from offdecode.cli import cli
from offdecode.errors import OffdecodeError, UsageError
from offdecode.parallel import WorkerError, converse
from offdecode.system import CAN_FORK
from tests.command import COMMAND, ENVIRONMENT, TRANSACTIONS, rows_of, run
from tests.consumer_records import commit_4, epoch, held, member, topics
from tests.segment_builder import TRANSACTIONAL as IN_TRANSACTION
from tests.segment_builder import Header, Pair, batch, commit, log, marker
from tests.truth import LogSet, log_sets

pytestmark = pytest.mark.skipif(not CAN_FORK, reason="logs are shared by fork, on Linux only")

QUESTIONS = (
    "decode --with-generation", "decode --with-transactional-id", "generations", "generations --summary", "state",
    "transactions", "explain", "groups", "groups --notable", "growth", "lag", "lag --as-of 2026-11-23T08:00:00Z",
    "growth --by group --by type --by hour --group x",
)  # fmt: skip
SHOWN = (
    "state --format table", "transactions --format text", "explain --format text", "explain --notable --format table",
    "generations --format timesketch", "groups --format table --sort topics", "groups --idle-for 1s --sort group_type",
    "growth --format table", "lag --format table",
)  # fmt: skip


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small logs are worth a process."""
    monkeypatch.setattr("offdecode.evidence._CHUNK_BYTES", 1 << 12)
    monkeypatch.setattr(dealing, "_MOST_IN_MEMORY", 1 << 10)
    monkeypatch.setattr(dealing, "_SENT_BYTES", 1 << 8)


def written(question: str, paths: list[Path], place: Path, jobs: int, *more: str) -> tuple[bytes, bytes, int]:
    """Rows, problem lines and status of a command."""
    place.mkdir(exist_ok=True)
    rows, problems = place / f"rows-{jobs}", place / f"problems-{jobs}"
    words = [*question.split(), "-o", rows, "--problems", problems, "--jobs", jobs, *more, *paths]
    status = cli.main([str(word) for word in words], standalone_mode=False)
    return rows.read_bytes(), problems.read_bytes(), status


def segments(place: Path, *logs: bytes) -> list[Path]:
    """A data directory with a partition for each log."""
    for number, data in enumerate(logs):
        path = place / f"__consumer_offsets-{number}" / "00000000000000000000.log"
        path.parent.mkdir(parents=True)
        path.write_bytes(data)
    return [place]


@pytest.fixture
def dealt(monkeypatch: pytest.MonkeyPatch) -> list[dealing._Deal]:
    """Those that were begun."""
    found: list[dealing._Deal] = []
    begin = dealing._Deal.__init__

    def noted(self: dealing._Deal, *given: object) -> None:
        found.append(self)
        begin(self, *given)  # type: ignore[arg-type]

    monkeypatch.setattr(dealing._Deal, "__init__", noted)
    return found


@pytest.mark.parametrize("log_set", log_sets(), ids=lambda one: one.folder.name)
def test_real_logs(
    log_set: LogSet, tmp_path: Path, dealt: list[dealing._Deal], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("offdecode.evidence._CHUNK_BYTES", 1 << 15)
    for number, question in enumerate((*QUESTIONS, *SHOWN)):
        alone = written(question, [log_set.log], tmp_path / str(number), 1)
        assert not dealt
        assert written(question, [log_set.log], tmp_path / str(number), 3) == alone
        assert all(not deal._slots and not deal._held for deal in dealt)
        dealt.clear()


@pytest.mark.parametrize("question", QUESTIONS)
def test_damaged_logs(question: str, tmp_path: Path, dealt: list[dealing._Deal]) -> None:
    rnd = random.Random(question)
    logs = []
    for number in range(5):
        data = bytearray(log([[commit(f"group-{number}-{rnd.randrange(9)}", offset=at)] * 3 for at in range(150)]))
        for _ in range(9):
            at = rnd.randrange(len(data))
            data[at : at + rnd.choice((1, 300))] = rnd.randbytes(rnd.choice((1, 40)))
        logs.append(bytes(data))
    paths = segments(tmp_path / "broker", *logs)
    rows, problems, status = written(question, paths, tmp_path / "out", 1)
    assert (len(rows) > 500, problems.count(b"\n") > 20, status) == (question != "transactions", True, 1) or not rows
    for jobs in (2, 4):
        assert written(question, paths, tmp_path / "out", jobs) == (rows, problems, status)
    assert len(dealt) == 2


def test_csv_and_parquet(tmp_path: Path) -> None:
    logs = (
        log([[commit(f"g{(number + at) % 7}", offset=at % (number + 4))] for at in range(300)]) for number in range(3)
    )
    paths = [TRANSACTIONS / "log"], segments(tmp_path / "broker", *logs)
    for number, question in enumerate(("explain", "groups --notable", "groups --sort commits")):
        for at, place in enumerate(paths):
            found = []
            for jobs in (1, 3):
                folder = tmp_path / f"{number}-{at}-{jobs}"
                _, _, status = written(question, place, tmp_path, jobs, "--format", "csv")
                words = [*question.split(), "-o", folder, "--format", "parquet", "--jobs", jobs, *place]
                assert cli.main([str(word) for word in words], standalone_mode=False) == status == 0
                (file,) = (path for path in folder.iterdir() if path.stem in ("movement", "group_overview"))
                found.append(((tmp_path / f"rows-{jobs}").read_bytes(), file.read_bytes()))
                assert pq.read_table(file).num_rows > 4
            assert found[0] == found[1]


def test_statistics(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    told = []
    for jobs in (1, 3):
        written("explain", [TRANSACTIONS / "log"], tmp_path / "out", jobs, "--stats")
        told.append([line for line in capfd.readouterr().err.split("\n") if " in " not in line])
    assert told[0] == told[1]
    assert len(told[0]) > 4


def names_told(count: int) -> Iterator[bytes]:
    """Logs of which each has a group that holds a topic by its id; one tells its name early, the others late."""
    for number in range(count):
        group, ids = f"g{number}", [f"{topic:032x}" for topic in range(1, 4)]
        told = [[topics(group, {ids[number % 3]: f"topic-{number % 3}"})]]
        holds: list[list[Pair]] = [
            [epoch(group, at + 1), member(group, "m"), held(group, "m", at + 1, {one: [at % 5] for one in ids})]
            for at in range(60)
        ]
        commits = [[commit_4(group, f"topic-{topic}", ids[topic], 0, at) for topic in range(3)] for at in range(60)]
        early = number % 2 == 0
        yield log([*(told if early else []), *holds[:30], *commits[:30], *told, *holds[30:], *commits[30:]])


@pytest.mark.parametrize("question", QUESTIONS)
def test_names_that_other_logs_tell(question: str, tmp_path: Path, dealt: list[dealing._Deal]) -> None:
    """A log that comes later is answered with them, however many are answered at once."""
    paths = segments(tmp_path / "broker", *names_told(7))
    alone = written(question, paths, tmp_path / "out", 1)
    for jobs in (2, 3, 7):
        assert written(question, paths, tmp_path / "out", jobs) == alone
    again = [len(deal._again) for deal in dealt]
    assert max(again) <= 6
    needs_names = question.split()[0] in ("generations", "explain", "groups") or question == "decode --with-generation"
    assert (again[2] > 0) == needs_names


def test_names_that_contradict_each_other(tmp_path: Path) -> None:
    """The last one that was told counts: of a file of names, of another log, of the log itself."""
    one = f"{1:032x}"
    told = [[[topics(f"g{number}", {one: name})]] for number, name in enumerate("xyx")]
    holds = [
        [[epoch(f"g{number}", at), member(f"g{number}", "m"), held(f"g{number}", "m", at, {one: [at % 5]})]
         for at in range(1, 99)]
        for number in range(5)
    ]  # fmt: skip
    logs = [log([*holds[number], *told[number], *holds[number]]) for number in range(3)]
    paths = segments(tmp_path / "broker", *logs, *(log(holds[number]) for number in (3, 4)))
    names = tmp_path / "names"
    names.write_text(f"{base64.urlsafe_b64encode(bytes.fromhex(one)).decode().rstrip('=')} wrong\n")
    for question in ("generations", "explain", "state", "groups"):
        alone = written(question, paths, tmp_path / question, 1, "--topic-ids", str(names))
        for jobs in (2, 5):
            assert written(question, paths, tmp_path / question, jobs, "--topic-ids", str(names)) == alone
    rows = rows_of((tmp_path / "generations" / "rows-5").read_bytes())
    shown: list[set[str]] = [set() for _ in range(5)]
    for row in rows:
        shown[row["log_partition"]] |= {item["topic"] for one in row["members"] for item in one["assignment"]}
    assert shown == [{"wrong", "x"}, {"x", "y"}, {"y", "x"}, {"x"}, {"x"}]


def test_rows_are_the_same_in_every_process(tmp_path: Path) -> None:
    """Python's hashes of texts differ from process to process."""
    ids = {f"{number:032x}": f"topic-{number}" for number in range(1, 7)}
    data = batch([topics("g", ids), epoch("g", 1), member("g", "m"), held("g", "m", 1, {one: [0] for one in ids})])
    for at in range(12):
        data += batch([commit("g", f"topic-{at % 6 + 1}", offset=at // 6)], Header(4 + at, IN_TRANSACTION, 5, 0))
    (place,) = segments(tmp_path / "broker", data + marker(16, 5, commit=False))
    found = {
        subprocess.run([*COMMAND, "explain", place], env={**ENVIRONMENT, "PYTHONHASHSEED": str(seed)},
                       check=True, capture_output=True).stdout
        for seed in range(1, 7)
    }  # fmt: skip
    assert len(found) == 1
    assert found.pop().count(b'"kind":"aborted"') == 12


def test_what_is_no_log_of_the_topic(tmp_path: Path) -> None:
    other = log([[(b"key of a user", b"value")]] * 900)
    logs = [log([[commit(f"g{number}")]] * 300) for number in range(3)]
    paths = segments(tmp_path / "some", logs[0], other, logs[1], other, logs[2])
    for question in QUESTIONS:
        alone = written(question, paths, tmp_path / question, 1)
        assert alone[1].count(b"not_an_offsets_log") == 2
        assert written(question, paths, tmp_path / question, 3) == alone
    paths = segments(tmp_path / "none", other, other)
    for jobs in (1, 2):
        with pytest.raises(OffdecodeError, match="offsets"):
            written("explain", paths, tmp_path / "none-out", jobs)
        assert not (tmp_path / "none-out" / f"rows-{jobs}").exists()


def test_no_room_for_what_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = segments(tmp_path / "broker", *(log([[commit(f"g{number}")]] * 900) for number in range(6)))

    def full(self: object, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tempfile.SpooledTemporaryFile, "write", full)
    # The first log is slow, so that others wait for it.
    monkeypatch.setattr(dealing._Worker, "_first", slow_for_the_first(dealing._Worker._first))
    with pytest.raises(UsageError, match="No space left on device; TMPDIR"):
        written("decode --with-generation", paths, tmp_path / "out", 3)
    assert not (tmp_path / "out" / "rows-3").exists()


def slow_for_the_first(first: object) -> object:
    def wait(self: object, number: int, *given: object) -> object:
        if number == 0:
            time.sleep(0.5)
        assert callable(first)
        return first(self, number, *given)

    return wait


def vanish() -> None:
    os._exit(9)


def run_out_of_memory() -> None:
    raise MemoryError


def fail() -> None:
    raise UsageError("no room")


@pytest.mark.parametrize(
    ("end", "error"),
    [(vanish, "not complete"), (run_out_of_memory, None), (fail, "no room")],
    ids=["vanishes", "memory", "error"],
)
def test_a_process_that_ends_while_another_waits(
    end: Callable[[], None], error: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others would wait for ever for what the first log tells."""
    first = dealing._Worker._first

    def end_late(self: dealing._Worker, number: int, *given: object) -> object:
        if number == 0:
            time.sleep(0.5)
            end()
        return first(self, number, *given)  # type: ignore[arg-type]

    paths = segments(tmp_path / "broker", *(log([[commit(f"g{number}")]] * 300) for number in range(4)))
    monkeypatch.setattr(dealing._Worker, "_first", end_late)
    with pytest.raises((OffdecodeError, MemoryError), match=error):
        written("explain", paths, tmp_path / "out", 2)
    assert not (tmp_path / "out" / "rows-2").exists()


def test_a_process_that_is_killed_while_it_waits() -> None:
    """That its pipe is closed is not taken for a reader who has gone: that would end the command in silence."""

    def work(ask: Callable[[], object], note: Callable[[object], None]) -> None:
        note(os.getpid())
        ask()

    def on_note(worker: int, pid: object, reply: Callable[[int, object], None]) -> None:
        assert isinstance(pid, int)
        os.kill(pid, signal.SIGKILL)
        while Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
            time.sleep(0.01)
        reply(worker, "go on")

    with pytest.raises(WorkerError, match="not complete"):
        converse(1, work, on_note)


def test_a_reader_that_goes_and_an_interrupt(tmp_path: Path) -> None:
    """As processes of their own; none stays behind."""
    logs = [log([[commit(f"g{number}-{at}") for at in range(400)]] * 100) for number in range(6)]
    (place,) = segments(tmp_path / "broker", *logs)
    command = [*COMMAND, "decode", "--with-generation", "--jobs", "3", str(place)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=ENVIRONMENT) as reader:
        assert reader.stdout is not None
        assert reader.stdout.readline().startswith(b'{"type":"offset_commit"')
        reader.stdout.close()
        assert reader.stderr is not None
        assert (reader.stderr.read(), reader.wait(60)) == (b"", 0)
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=ENVIRONMENT, start_new_session=True
    ) as stopped:
        assert stopped.stdout is not None
        stopped.stdout.readline()
        os.killpg(stopped.pid, signal.SIGINT)
        _, words = stopped.communicate(timeout=60)
    assert (b"Traceback" in words, stopped.returncode) == (False, 130)
    with pytest.raises(ProcessLookupError):
        os.killpg(stopped.pid, 0)


def test_strict_is_one_process(tmp_path: Path, dealt: list[dealing._Deal]) -> None:
    written("explain", [TRANSACTIONS / "log"], tmp_path / "out", 3, "--strict")
    assert not dealt
    assert run("explain", "--jobs", "0", TRANSACTIONS / "log").status == 2
