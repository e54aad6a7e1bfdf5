"""Damaged and hostile archives: what stands before the damage is read, the rest is a problem with its place."""

from __future__ import annotations

import bz2
import gzip
import io
import os
import random
import tarfile
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import pytest

import offdecode
from offdecode.errors import OffdecodeError, SourceError
from offdecode.evidence import open_evidence
from offdecode.model import Problem
from offdecode.sources.archives import Archive, _File
from offdecode.sources.locations import LocalLocation
from offdecode.sources.spool import LIMIT_VARIABLE, Spool
from tests.asking import a_request, decode
from tests.command import run
from tests.containers import ARCHIVES, COMPRESS
from tests.segment_builder import Header, batch, commit

_EACH = 60


def batches(first: int, count: int = _EACH) -> bytes:
    return b"".join(
        batch([commit("g", offset=random.Random(number).getrandbits(60))], Header(number))
        for number in range(first, first + count)
    )


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A data directory with a partition of two segments."""
    found = tmp_path / "evidence" / "__consumer_offsets-0"
    found.mkdir(parents=True)
    for first in (0, _EACH):
        (found / f"{first:020}.log").write_bytes(batches(first))
    return found.parent


def read(*paths: Path) -> tuple[list[int], list[Problem]]:
    """The log offsets that were read, and the problems."""
    problems: list[Problem] = []
    chunks = decode(a_request(*paths), problems.append)
    return [one for chunk in chunks for _, rows in chunk for one in rows.column("log_offset").to_pylist()], problems


def of_kind(problems: list[Problem], kind: str) -> list[Problem]:
    return [problem for problem in problems if problem.kind == kind]


@pytest.mark.parametrize("suffix", COMPRESS)
def test_a_torn_compressed_segment(directory: Path, suffix: str, tmp_path: Path) -> None:
    """All that a decompressor can give before the end is decoded."""
    segment = directory / "__consumer_offsets-0" / f"{0:020}.log"
    torn = tmp_path / "torn.log"
    content = batches(0, 3000)
    data = bz2.compress(content, 1) if suffix == "bz2" else COMPRESS[suffix](content)
    torn.write_bytes(data[: len(data) * 3 // 4])
    offsets, problems = read(torn)
    assert offsets == list(range(len(offsets)))
    assert len(offsets) > 800
    (damage,) = of_kind(problems, "damaged_archive")
    assert damage.source == str(torn)
    assert damage.position == torn.stat().st_size
    assert segment.exists()


@pytest.mark.parametrize("form", ["tar", "tar.gz"])
def test_a_torn_tar(directory: Path, form: str, tmp_path: Path) -> None:
    torn = tmp_path / "torn"
    data = ARCHIVES["tar"](directory)
    cut = data[: data.rindex(f"{_EACH:020}.log".encode()) + 512 + 2000]
    torn.write_bytes(cut if form == "tar" else gzip.compress(cut)[:-20])
    offsets, problems = read(torn)
    assert offsets[:_EACH] == list(range(_EACH))
    assert len(offsets) > _EACH
    assert of_kind(problems, "damaged_archive")


def test_a_torn_zip(directory: Path, tmp_path: Path) -> None:
    """Without the directory at its end the members are found by their own headers."""
    torn = tmp_path / "torn.zip"
    for form in ("zip", "stored.zip"):
        data = ARCHIVES[form](directory)
        torn.write_bytes(data[: data.index(b"PK\x01\x02")])
        offsets, problems = read(torn)
        assert offsets == list(range(2 * _EACH))
        (problem,) = problems
        assert (problem.kind, problem.source) == ("damaged_archive", str(torn))


def test_a_wrong_checksum_in_a_zip(directory: Path, tmp_path: Path) -> None:
    archive = tmp_path / "a.zip"
    data = bytearray(ARCHIVES["zip"](directory))
    entry = data.index(b"PK\x01\x02")
    data[entry + 16] ^= 1
    archive.write_bytes(data)
    offsets, problems = read(archive)
    assert offsets == list(range(2 * _EACH))
    (problem,) = problems
    assert problem.kind == "damaged_archive"
    assert "checksum" in problem.message
    assert problem.position == 0


@pytest.mark.parametrize("form", ["tar", "tar.gz", "tar.zst", "tar.lz4", "tar.xz", "tar.bz2", "zip", "stored.zip"])
def test_a_flipped_byte(directory: Path, form: str, tmp_path: Path) -> None:
    """Anywhere: a row that is not there, or is another one, is a problem."""
    whole = ARCHIVES[form](directory)
    archive = tmp_path / "flipped"
    chance = random.Random(form)
    for _ in range(60):
        place, bit = chance.randrange(len(whole)), 1 << chance.randrange(8)
        data = bytearray(whole)
        data[place] ^= bit
        archive.write_bytes(data)
        told = f"byte {place} ^ {bit}"
        try:
            offsets, problems = read(archive)
        except OffdecodeError:
            continue  # nothing is left of it: one line
        if not form.endswith("zip"):  # a zip's names have no checksum
            assert problems or offsets == list(range(2 * _EACH)), told


def test_random_ends_and_garbage(directory: Path, tmp_path: Path) -> None:
    """They end in rows or in our error."""
    chance = random.Random(1)
    archive = tmp_path / "cut"
    for form in ARCHIVES:
        whole = ARCHIVES[form](directory)
        for _ in range(6):
            cut = chance.randrange(len(whole))
            archive.write_bytes(whole[:cut] + chance.randbytes(chance.randrange(3000)))
            try:
                read(archive)
            except SourceError:
                continue


def hostile_tar(*members: tuple[str, bytes, bytes]) -> bytes:
    """Members (name, type, data)."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for name, kind, data in members:
            info = tarfile.TarInfo(name)
            info.type, info.size, info.linkname = kind, len(data), "/etc/passwd"
            archive.addfile(info, io.BytesIO(data))
    return stream.getvalue()


def test_names_that_lead_out(directory: Path, tmp_path: Path) -> None:
    """Nothing is written by a member's name, and no link is followed."""
    archive = tmp_path / "inner" / "hostile.tgz"
    archive.parent.mkdir()
    first = f"__consumer_offsets-0/{0:020}.log"
    archive.write_bytes(gzip.compress(hostile_tar(
        (f"../../__consumer_offsets-1/{0:020}.log", tarfile.REGTYPE, batches(0)),
        (f"__consumer_offsets-0/{7:020}.log", tarfile.SYMTYPE, b""),
        (f"__consumer_offsets-0/{8:020}.log", tarfile.LNKTYPE, b""),
        (f"__consumer_offsets-0/{9:020}.log", tarfile.FIFOTYPE, b""),
        ("/" + first, tarfile.REGTYPE, batches(0, 3)),
        (first, tarfile.REGTYPE, batches(0)),
    )))  # fmt: skip
    before = sorted(tmp_path.rglob("*"))
    offsets, problems = read(archive)
    assert offsets == list(range(_EACH))
    assert [problem.kind for problem in problems] == ["unused_member"] * 5
    assert "leads out" in problems[0].message
    assert "same name" in problems[4].message
    assert sorted(tmp_path.rglob("*")) == before


def test_claims_of_size(tmp_path: Path) -> None:
    """A header may claim any size: what is there is read."""
    data = bytearray(hostile_tar((f"__consumer_offsets-0/{0:020}.log", tarfile.REGTYPE, batches(0))))
    header = tarfile.TarInfo(f"__consumer_offsets-0/{0:020}.log")
    header.size = 10 << 40
    data[:512] = header.tobuf(tarfile.GNU_FORMAT)[:512]
    end = 512 + len(batches(0))
    for form, content in {"tar": bytes(data[:end]), "tar.gz": gzip.compress(data[:end])}.items():
        archive = tmp_path / form
        archive.write_bytes(content)
        offsets, problems = read(archive)
        assert offsets == list(range(_EACH)), form
        (problem,) = problems
        assert problem.kind == "damaged_archive", form
        assert "not there" in problem.message, form


def test_a_bomb_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(LIMIT_VARIABLE, str(5 << 20))
    bomb = tmp_path / "bomb.log.gz"
    bomb.write_bytes(gzip.compress(bytes(50 << 20)))
    with pytest.raises(SourceError, match=f"more than {5 << 20} bytes; {LIMIT_VARIABLE} sets the limit"):
        read(bomb)
    archive = tmp_path / "bomb.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as target:
        target.writestr(f"__consumer_offsets-0/{0:020}.log", bytes(50 << 20))
    with pytest.raises(SourceError, match="sets the limit"):
        read(archive)


def test_other_topics_are_not_unpacked(directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = directory / "orders-0"
    other.mkdir()
    (other / f"{0:020}.log").write_bytes(bytes(20 << 20))
    (directory / "server.log").write_text("INFO started\n" * 100)
    archive = tmp_path / "broker.tgz"
    archive.write_bytes(ARCHIVES["tar.gz"](directory))
    monkeypatch.setenv(LIMIT_VARIABLE, str(5 << 20))
    assert read(archive) == (list(range(2 * _EACH)), [])


def test_many_members(tmp_path: Path) -> None:
    archive = Archive(LocalLocation(tmp_path / "many.zip"), "__consumer_offsets", Spool(), Spool(), most_files=50)
    for topic in ("orders", "__consumer_offsets"):  # what lies beside the logs takes no room from them
        for number in range(300):
            path = archive.wanted(f"{topic}-0/{number:020}.log", 9, stored=True)
            if path is not None:
                archive.add(path, _File(0, 9))
    archive.finish()
    assert len(archive.files) == 50
    assert archive.directories["orders-0"] == {}, "its end would seem to be where the room ended"
    assert len(of_kind(archive.problems, "unused_member")) == 100
    assert [problem.message for problem in of_kind(archive.problems, "damaged_archive")] == [
        "150 more members cannot be used, or places are damaged"
    ]


def test_very_long_names_and_very_many_directories_take_no_memory(tmp_path: Path) -> None:
    archive = Archive(LocalLocation(tmp_path / "many.tar"), "__consumer_offsets", Spool(), Spool())
    for number in range(150_000):
        archive.see(f"data/orders-{number}")
    for number in range(1000):
        archive.see(f"{'x' * 900_000}{number}-0")
    for number in range(300):
        assert archive.wanted(f"{'x' * 900_000}{number}/{0:020}.log", 9, stored=True) is None
    assert len(archive.directories) <= 100_000
    assert max(map(len, archive.directories)) < 100
    assert sum(len(problem.source) for problem in archive.problems) < 1_000_000


@pytest.mark.parametrize("form", ["tar", "tar.gz", "zip"])
def test_a_users_partition_that_is_not_whole_in_an_archive_has_no_lag(form: str, tmp_path: Path) -> None:
    """Its end or its start would be another one than there was."""
    data = tmp_path / "data"
    for name in ("__consumer_offsets-0", "t-0", "t-1"):
        (data / name).mkdir(parents=True)
    offsets = batch([commit("g", "t", 0, 5), commit("g", "t", 1, 5)], Header(0))
    (data / "__consumer_offsets-0" / f"{0:020}.log").write_bytes(offsets)
    topic_id = "0ODkHYrMRFyop2TacsJoZg"
    (data / "t-0" / "partition.metadata").write_text(f"version: 0\ntopic_id: {topic_id}\n")
    for name in ("t-0", "t-1"):
        for base in (0, 10, 20):
            (data / name / f"{base:020}.log").write_bytes(batch([(b"k", b"v" * 100)] * 10, Header(base)))
    linked = data / "t-0" / f"{20:020}.log"
    if form == "zip":
        cut = bytearray(ARCHIVES[form](data))
        at = cut.index(linked.name.encode(), cut.index(b"t-0/"))  # of its header before the data
        cut[at + len(linked.name) + 20] ^= 0xFF  # in its data
        (tmp_path / "x.any").write_bytes(cut)
    else:
        linked.unlink()
        linked.symlink_to(f"{10:020}.log")
        (tmp_path / "x.any").write_bytes(ARCHIVES[form](data))
    problems: list[Problem] = []
    rows = offdecode.lag(tmp_path / "x.any", on_problem=problems.append).rows()
    assert [(row["partition"], row["log_end"], row["signals"]) for row in rows] == [
        (0, None, ["no_log_of_the_partition"]), (1, 30, []),
    ]  # fmt: skip
    assert {problem.kind for problem in problems} == {"damaged_archive" if form == "zip" else "unused_member"}
    assert open_evidence(a_request(tmp_path / "x.any")).topic_names() == {topic_id: "t"}
    if form != "zip":
        problems.clear()
        assert len(list(offdecode.decode(tmp_path / "x.any", on_problem=problems.append).rows())) == 2
        assert problems == [], "nobody asked for the partition"


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("damage", ["header", "cut"])
def test_users_partitions_beside_damage_in_a_tar_have_no_lag(damage: str, packed: bool, tmp_path: Path) -> None:
    """Segments may have been in what is lost: the last one that is there is not the last one that was."""
    stream = io.BytesIO()
    names = ["__consumer_offsets-0/0.log", *(f"{name}-0/{at}.{kind}" for name in ("a", "b", "c") for at in (0, 10, 20)
             for kind in ("log", "snapshot"))]  # fmt: skip
    places: dict[str, int] = {}
    with tarfile.open(fileobj=stream, mode="w") as tar:
        for name in names:
            base = int(name.partition("/")[2].partition(".")[0])
            records = [(b"k", b"v")] * 10 if base or name[1] == "-" else [commit("g", one, 0, 5) for one in "abc"]
            data = batch(records, Header(base)) if name.endswith("log") else bytes(2000)
            member = tarfile.TarInfo(f"data/{name.partition('/')[0]}/{base:020}.{name.rpartition('.')[2]}")
            member.size = len(data)
            places[name] = stream.tell()
            tar.addfile(member, io.BytesIO(data))
    whole = stream.getvalue()
    if damage == "header":
        at = places["b-0/20.log"] + 3
        whole = whole[:at] + b"\xff" + whole[at + 1 :]
    else:
        whole = whole[: places["b-0/10.snapshot"] + 600]
    archive = tmp_path / "x.any"
    archive.write_bytes(gzip.compress(whole) if packed else whole)
    problems: list[Problem] = []
    rows = offdecode.lag(archive, on_problem=problems.append).rows()
    ends = {row["topic"]: row["log_end"] for row in rows}
    assert (ends["a"], ends["b"]) == (30, None)
    assert ends["c"] is None if damage == "cut" else ends["c"] in (None, 30)
    assert {problem.kind for problem in problems} == {"damaged_archive"}


def test_lag_has_no_room_for_users_partitions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are left out, and that is told; other questions answer without a word, and do not unpack them."""
    data = tmp_path / "data"
    for name, records in (("__consumer_offsets-0", [commit("g", "t")]), ("t-0", [(b"k", bytes(90_000))])):
        (data / name).mkdir(parents=True)
        (data / name / f"{0:020}.log").write_bytes(batch(records, Header(0)))
    archive = tmp_path / "x.tgz"
    archive.write_bytes(ARCHIVES["tar.gz"](data))
    monkeypatch.setenv(LIMIT_VARIABLE, "50000")
    asked: list[tuple[Any, set[str]]] = [
        (offdecode.lag, {"unused_member"}), (offdecode.explain, set()), (offdecode.state, set()),
    ]  # fmt: skip
    for question, kinds in asked:
        problems: list[Problem] = []
        rows = list(question(archive, on_problem=problems.append).rows())
        assert rows
        assert {problem.kind for problem in problems} == kinds
    assert [row["log_end"] for row in offdecode.lag(data).rows()] == [1]


@pytest.mark.parametrize("number", [1, 50])
def test_encrypted_and_unknown(directory: Path, tmp_path: Path, number: int) -> None:
    """Bit 0 of the flags, or another method: one clear line a member."""
    data = bytearray(ARCHIVES["zip"](directory))
    at = 0
    while (at := data.find(b"PK\x01\x02", at)) >= 0:
        if number == 1:
            data[at + 8] |= 1
        else:
            data[at + 10] = number
        at += 4
    archive = tmp_path / "a.zip"
    archive.write_bytes(data)
    with pytest.raises(SourceError, match="encrypted" if number == 1 else "method 50 of zip"):
        read(archive)


def test_an_archive_without_a_log(tmp_path: Path) -> None:
    archive = tmp_path / "a.tgz"
    archive.write_bytes(gzip.compress(hostile_tar(("readme.txt", tarfile.REGTYPE, b"hello"))))
    with pytest.raises(SourceError, match=r"no segment \(\*\.log\) and no directory __consumer_offsets-<partition>"):
        read(archive)


def test_nothing_is_left_behind(directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "spool"
    place.mkdir()
    monkeypatch.setenv("TMPDIR", str(place))
    monkeypatch.setattr(tempfile, "tempdir", None)
    archive = tmp_path / "a.tgz"
    archive.write_bytes(ARCHIVES["tar.gz"](directory))
    assert os.listdir(place) == []
    assert len(read(archive)[0]) == 2 * _EACH
    assert os.listdir(place) == []


def test_the_command(directory: Path, tmp_path: Path) -> None:
    """Processes that share the work read one archive, and every command takes it."""
    archive = tmp_path / "a.tgz"
    archive.write_bytes(ARCHIVES["tar.gz"](directory))
    for command in ("decode", "state", "explain", "generations", "transactions", "check"):
        done = run(command, archive)
        assert done.status == 0, done.stderr
        assert done.stdout or command in ("generations", "transactions")
    assert run("decode", archive, "--jobs", "2").stdout == run("decode", archive, "--jobs", "1").stdout
