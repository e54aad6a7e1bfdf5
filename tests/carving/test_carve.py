"""Batches carved out of images: against Kafka's own reading of the segments that were put into them."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import random
import shutil
import struct
import subprocess
import tarfile
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

import offdecode
from offdecode.questions.check import PartitionCheck
from offdecode.schemas.placement import partition_for
from tests.command import COMMAND, ENVIRONMENT, run
from tests.containers import tar_of, zip_of
from tests.images import BLOCK_BYTES, delete, ext4, parts_of, strewn
from tests.segment_builder import BASE_TIME_MS, TRANSACTIONAL, Header, batch, batch_around, commit, marker, record
from tests.truth import LogSet, Row, log_sets, set_id

SEEDS = range(int(os.environ.get("OFFDECODE_CARVE_SEEDS", "1")))
SETS = pytest.mark.parametrize("log_set", log_sets(), ids=set_id)


def carve(folder: Path, *images: Path, **options: Any) -> tuple[Row, Path]:
    """The summary, and where it was carved to."""
    directory = folder / "carved"
    return offdecode.carve(list(images), directory, **options), directory


def manifest(directory: Path, kind: str = "batch") -> list[Row]:
    with (directory / "manifest.jsonl").open() as lines:
        return [row for row in map(json.loads, lines) if row["type"] == kind]


def segments(log_set: LogSet) -> dict[tuple[int, str], bytes]:
    """The segments of a set's logs, without what is left over, by partition and name."""
    return {
        (int(path.parent.name.rpartition("-")[2]), path.name): path.read_bytes()
        for path in sorted(log_set.log.glob("*-*/*.log"))
        if path.parent.name.rpartition("-")[2].isdigit()
    }


HIDDEN = {"key_hex": None, "value_hex": None}


def records(rows: list[Row]) -> set[tuple[Any, ...]]:
    """Where they stand and what they are; of markers only where they stand."""
    names = ("log_partition", "log_offset", "key_hex", "value_hex")
    shown = ({**row, **(HIDDEN if row.get("type") == "transaction_marker" else {})} for row in rows)
    return {tuple(row[name] for name in names) for row in shown}


def decoded(*paths: Path, **options: Any) -> list[Row]:
    return list(offdecode.decode(list(paths), raw=True, **options).rows())


def written(log_set: LogSet) -> set[tuple[Any, ...]]:
    """The records as Kafka read them; of markers only where they stand, as rows do not show their bytes."""
    return {
        (
            one["log_partition"],
            one["log_offset"],
            *((None, None) if one.get("control") else (one["key_hex"], one["value_hex"])),
        )
        for one in log_set.records
    }


@SETS
def test_live_files_come_back_whole(log_set: LogSet, tmp_path: Path) -> None:
    image = tmp_path / "disk.img"
    ext4(image, log_set.log.resolve(), 24 << 20)
    before = hashlib.sha256(image.read_bytes()).hexdigest(), image.stat().st_mtime_ns
    summary, directory = carve(tmp_path, image)
    assert (summary["topic_partitions"], summary["topic_partitions_known"]) == (4, "inferred")
    found = records(decoded(directory))
    assert written(log_set) <= found
    assert found <= written(log_set) | records(decoded(log_set.log, leftovers=True))
    assert (hashlib.sha256(image.read_bytes()).hexdigest(), image.stat().st_mtime_ns) == before
    assert summary["images"] == [{"image": str(image), "size": image.stat().st_size, "sha256": before[0]}]


@SETS
@pytest.mark.parametrize("most_blocks", [1, 4, 16])
@pytest.mark.parametrize("seed", SEEDS)
def test_fragments_are_put_together(log_set: LogSet, most_blocks: int, seed: int, tmp_path: Path) -> None:
    """Batches that lie in one place or two are found, but for one in a hundred, and no row is made up.

    Where each block lies by itself it is one in fifty: a place that holds no whole batch tells nothing of its rest.
    """
    files = segments(log_set)
    image = tmp_path / "disk.img"
    image.write_bytes(strewn(list(files.values()), random.Random(f"{seed} {most_blocks}"), most_blocks))
    summary, directory = carve(tmp_path, image)
    known: dict[str, tuple[int, int]] = {}
    for row in log_set.batches:
        position, size = row["batch_position"], int(row.get("batch_size") or row["size"])
        data = files[row["log_partition"], row["segment"]][position : position + size]
        known[hashlib.sha256(data).hexdigest()] = row["log_partition"], parts_of(position, size)
    found = {row["sha256"]: row["log_partition"] for row in manifest(directory)}
    assert found.items() <= {digest: partition for digest, (partition, _) in known.items()}.items()
    findable = [digest for digest, (_, parts) in known.items() if parts <= 2]
    lost = [digest for digest in findable if digest not in found]
    print(f"{set_id(log_set)}: {len(lost)} of {len(findable)} lost, {summary['put_together']} put together")
    assert len(lost) <= max(len(findable) // (50 if most_blocks == 1 else 100), 2)
    assert records(decoded(directory)) <= records(decoded(log_set.log))


def test_the_manifest_tells_where_each_batch_lies(tmp_path: Path) -> None:
    (log_set,) = (one for one in log_sets()[:9] if one.folder.name == "kafka-4.4.0-all-groups")
    image = tmp_path / "disk.img"
    data = strewn(list(segments(log_set).values()), random.Random(3), 4)
    image.write_bytes(data)
    summary, directory = carve(tmp_path, image)
    rows = manifest(directory)
    assert len(rows) == summary["batches"] > 1600
    assert sum(len(row["ranges"]) == 2 for row in rows) == summary["put_together"] > 0
    for row in rows:
        there = b"".join(data[start : start + size] for start, size in row["ranges"])
        segment = (directory / row["segment"]).read_bytes()
        assert segment[row["position"] : row["position"] + row["size"]] == there
        assert hashlib.sha256(there).hexdigest() == row["sha256"]
        start = row["ranges"][0][0]
        assert start % row["alignment"] == 0
        assert row["alignment"] == BLOCK_BYTES or start % (2 * row["alignment"])


def test_deleted_files_are_found(tmp_path: Path) -> None:
    (log_set,) = (one for one in log_sets()[:9] if one.folder.name == "kafka-3.9.1-classic")
    image = tmp_path / "disk.img"
    ext4(image, log_set.log.resolve(), 24 << 20)
    delete(image, *(f"/{path.relative_to(log_set.log)}" for path in log_set.log.rglob("*.log")))
    _, directory = carve(tmp_path, image)
    assert written(log_set) == records(decoded(directory))


def coordinator(group: str, base: int, count: int = 3, **header: int) -> bytes:
    return batch([commit(group, offset=base + number) for number in range(count)], Header(base, **header))


def cleaned(group: str, base: int, kept: int, count: int, offset: int = 7) -> bytes:
    """A batch of `count` offsets of which the cleaner has left the record of one."""
    body = record(kept, *commit(group, offset=offset))
    return batch_around(body, Header(base), 1, count - 1, BASE_TIME_MS + count - 1)


def groups_of(partition: int, partitions: int, count: int = 4) -> list[str]:
    """Names of groups that hash to a partition."""
    names = (f"group-{number}" for number in range(100_000))
    return list(islice((name for name in names if partition_for(name, partitions) == partition), count))


@pytest.mark.parametrize("partitions", [1, 7, 12, 50, 100, 997])
def test_the_number_of_partitions_follows_from_the_groups(partitions: int, tmp_path: Path) -> None:
    image = tmp_path / "disk.img"
    with image.open("wb") as stream:
        for partition in range(min(partitions, 20)):
            names = groups_of(partition, partitions, 12)
            stream.write(
                b"".join(coordinator(name, number * 3) for number, name in enumerate(names)).ljust(8192, b"\0")
            )
    summary, directory = carve(tmp_path, image)
    # Groups of 100 partitions lie as they would among 50: then the usual number is taken.
    assert summary["topic_partitions"] == (50 if partitions == 100 else partitions)
    assert summary["topic_partitions_known"] == "inferred"
    if partitions != 100:
        assert {row["log_partition"] for row in decoded(directory)} == set(range(min(partitions, 20)))


def test_the_number_of_partitions_can_be_given_or_is_assumed(tmp_path: Path) -> None:
    image = tmp_path / "disk.img"
    image.write_bytes(coordinator("one-group", 0))
    summary, _ = carve(tmp_path / "a", image)
    assert (summary["topic_partitions"], summary["topic_partitions_known"]) == (50, "assumed")
    summary, directory = carve(tmp_path / "b", image, topic_partitions=7, topic_name="copied")
    assert (summary["topic_partitions"], summary["topic_partitions_known"]) == (7, "given")
    assert (directory / "1" / f"copied-{partition_for('one-group', 7)}").is_dir()


def user_batches(randomly: random.Random) -> bytes:
    """What other topics hold: no keys, texts, numbers, numbers that look like versions; and their markers."""
    numbers = [(struct.pack(">q", randomly.randrange(1 << 20)), randomly.randbytes(300)) for _ in range(20)]
    texts = [(b"user-%d" % number, randomly.randbytes(300)) for number in range(20)]
    without = [(None, randomly.randbytes(300)) for _ in range(20)]
    states = [(b"\0\0" + struct.pack(">h", 2) + b"tx", b"\0\0" + randomly.randbytes(40)) for _ in range(20)]
    ten_zeros = [(bytes(6) + struct.pack(">i", number), randomly.randbytes(100)) for number in range(20)]
    producer = Header(100, TRANSACTIONAL, 7, 0)
    return b"".join((
        batch(numbers), batch(texts, Header(20)), batch(without, Header(40)), batch(states, Header(60)),
        batch(ten_zeros, Header(80)), batch(texts, producer), marker(120, 7, commit=True),
    ))  # fmt: skip


def test_other_topics_and_their_markers_are_left_out(tmp_path: Path) -> None:
    """A marker is the same in every topic: it is taken where it lies with, or fits exactly to, what is known."""
    (group, *_) = groups_of(3, 50)
    sent = coordinator(group, 10, attributes=TRANSACTIONAL, producer_id=7, producer_epoch=0)
    image = tmp_path / "disk.img"
    with image.open("wb") as stream:
        for blob in (
            user_batches(random.Random(1)),
            sent + marker(13, 7, commit=True),
            marker(777, 7, commit=False),  # of whatever topic
            coordinator(group, 20, attributes=TRANSACTIONAL, producer_id=7, producer_epoch=0),
            marker(23, 7, commit=False),  # right behind the batch of its producer
        ):
            stream.write(blob.ljust(-len(blob) % BLOCK_BYTES + len(blob), b"\0"))
    summary, directory = carve(tmp_path, image)
    rows = decoded(directory)
    assert [row["log_offset"] for row in rows] == [10, 11, 12, 13, 20, 21, 22, 23]
    assert [row["transaction"] for row in rows if row["type"] == "offset_commit"] == ["committed"] * 3 + ["aborted"] * 3
    assert summary["foreign"] == 5  # the sixth has keys as of commits: what is beside it tells that it is none
    (left,) = manifest(directory, "left")
    assert (left["base_offset"], left["reason"]) == (777, "it ends a transaction, and nothing tells of which partition")


def test_versions_of_a_segment_are_copies_of_the_log(tmp_path: Path) -> None:
    """As the log cleaner leaves them: the old one in free blocks, a cleaned one in place of it."""
    names = groups_of(3, 50)
    old = b"".join(coordinator(name, number * 3) for number, name in enumerate(names))
    new = coordinator(names[1], 3) + cleaned(names[3], 9, 2, 3, offset=11)
    image = tmp_path / "disk.img"
    image.write_bytes(old.ljust(BLOCK_BYTES, b"\0") + new.ljust(BLOCK_BYTES, b"\0") + old)
    summary, directory = carve(tmp_path, image, topic_partitions=50)
    assert summary["partitions"] == [
        {"log_partition": 3, "copies": 2, "segments": 2, "batches": 5, "bytes": summary["bytes"]}
    ]
    assert summary["equal"] == 5  # the whole of the old version, and what cleaning had left as it was
    assert [row["log_offset"] for row in decoded(directory)] == list(range(12))
    (first, *_) = manifest(directory)
    assert [place["ranges"][0][0] for place in first["also_at"]] == [2 * BLOCK_BYTES]


def test_what_lies_between_segments_is_not_known(tmp_path: Path) -> None:
    """No hole between carved segments is said to be the cleaner's, and no transaction across it is decided."""
    names = groups_of(3, 50)
    sent = coordinator(names[0], 10, attributes=TRANSACTIONAL, producer_id=7, producer_epoch=0)
    image = tmp_path / "disk.img"
    image.write_bytes(sent.ljust(BLOCK_BYTES, b"\0") + cleaned(names[1], 30, 4, 10) + coordinator(names[2], 40))
    _, directory = carve(tmp_path, image, topic_partitions=50)
    (found,) = (one for one in offdecode.check(directory) if isinstance(one, PartitionCheck))
    states = [(str(span.state), span.first_offset, span.last_offset) for span in found.coverage.spans]
    assert ("undecided", 13, 29) in states
    assert {row["transaction"] for row in decoded(directory) if row["log_offset"] in (10, 11, 12)} == {"unknown"}


def test_several_images_are_carved_together(tmp_path: Path) -> None:
    names = groups_of(3, 50)
    for number, name in enumerate(names):
        (tmp_path / f"{number}.img").write_bytes(coordinator(name, number * 3))
    summary, directory = carve(tmp_path, *(tmp_path / f"{number}.img" for number in range(4)), topic_partitions=50)
    assert summary["batches"] == 4
    assert [row["log_offset"] for row in decoded(directory)] == list(range(12))
    assert [row["image"] for row in manifest(directory)] == [str(tmp_path / f"{number}.img") for number in range(4)]


# What cannot be done


def test_what_is_no_image_is_said(tmp_path: Path) -> None:
    image = tmp_path / "disk.img"
    image.write_bytes(random.Random(2).randbytes(1 << 16))
    target = tmp_path / "carved"
    for path, words in (
        (image, "no batch of the offsets topic is in it"), (tmp_path, "is a directory"),
        (tmp_path / "none", "there is no such file"), (Path("/dev/null"), "neither a file nor"),
    ):  # fmt: skip
        done = run("carve", path, "-o", target)
        assert done.status == 2
        assert words in done.words
        assert not target.exists()
    target.mkdir()
    (target / "something").touch()
    done = run("carve", image, "-o", target)
    assert (done.status, "new or empty directory" in done.words) == (2, True)
    assert [path.name for path in target.iterdir()] == ["something"]
    assert not list(tmp_path.glob(".*partial"))


def test_the_command_prints_a_summary(tmp_path: Path) -> None:
    image = tmp_path / "disk.img"
    image.write_bytes(coordinator("one-group", 0))
    done = run("carve", image, "-o", tmp_path / "carved", "--json")
    assert done.status == 0
    (summary,) = done.rows
    with (tmp_path / "carved" / "manifest.jsonl").open() as lines:
        assert json.loads(next(lines)) == summary
    done = run("carve", image, "-o", tmp_path / "again")
    assert b"1 batch, 229 bytes, in" in done.stdout


@pytest.mark.parametrize("form", ["zip", "tar", "tgz"])
def test_images_in_an_archive(form: str, tmp_path: Path) -> None:
    """Those that are named so; an archive without any is looked through as it is."""
    folder = tmp_path / "ticket"
    folder.mkdir()
    for number in range(2):
        (folder / f"disk{number}.img").write_bytes(bytes(700) + coordinator(f"group-{number}", 0))
    (folder / "notes.txt").write_bytes(coordinator("notes", 0))
    path = tmp_path / f"ticket.{form}"
    path.write_bytes(zip_of(folder) if form == "zip" else tar_of(folder))
    if form == "tgz":
        path.write_bytes(gzip.compress(path.read_bytes()))
    assert run("carve", path, "-o", tmp_path / "carved").status == 0
    rows = run("decode", tmp_path / "carved").rows
    assert {row["group"] for row in rows} == {"group-0", "group-1"}
    for image in folder.glob("*.img"):
        image.unlink()
    path = tmp_path / "notes.tar"
    path.write_bytes(tar_of(folder))
    assert run("carve", path, "-o", tmp_path / "again").status == 0
    assert {row["group"] for row in run("decode", tmp_path / "again").rows} == {"notes"}


def test_an_image_in_an_archive_that_has_no_room_is_told(tmp_path: Path) -> None:
    folder = tmp_path / "ticket"
    folder.mkdir()
    (folder / "disk.img").write_bytes(bytes(3 << 20) + coordinator("g", 0))
    path = tmp_path / "ticket.tgz"
    path.write_bytes(gzip.compress(tar_of(folder)))
    command = [*COMMAND, "carve", str(path), "-o", str(tmp_path / "carved")]
    done = subprocess.run(
        command, capture_output=True, check=False, env={**ENVIRONMENT, "OFFDECODE_SPOOL_BYTES": "1000000"}
    )
    assert done.returncode == 2
    problem = json.loads(done.stderr.splitlines()[0])
    assert problem["source"] == f"{path}!/data/disk.img"
    assert problem["message"] == "a copy of it needs more than 1000000 bytes; OFFDECODE_SPOOL_BYTES sets the limit"


def test_what_cannot_be_used_of_an_archive_keeps_nothing_from_being_carved(tmp_path: Path) -> None:
    path = tmp_path / "ticket.tar"
    with tarfile.open(path, "w") as archive:
        data = tarfile.TarInfo("disk.bin")
        data.size = len(coordinator("g", 0))
        archive.addfile(data, io.BytesIO(coordinator("g", 0)))
        link = tarfile.TarInfo("other.log")
        link.type, link.linkname = tarfile.SYMTYPE, "disk.bin"
        archive.addfile(link)
    assert run("carve", path, "-o", tmp_path / "carved").status == 0
    assert {row["group"] for row in run("decode", tmp_path / "carved").rows} == {"g"}


# Images made to hurt


def lying_headers(count: int) -> bytes:
    """Headers of batches, one after the other, that claim a megabyte each, under wrong checksums."""
    good = coordinator("g", 0)[:61]
    return b"".join(struct.pack(">qi", number, 1 << 20) + good[12:] for number in range(count))


def aligned_lies(count: int) -> bytes:
    """A header at the start of each sector, and before each a good batch that is followed by a cut one."""
    good = coordinator(groups_of(3, 50)[0], 0)
    cut = coordinator(groups_of(3, 50)[0], 3)[:70]
    return b"".join((good + cut).ljust(512, b"\xee") for _ in range(count))


def nested(depth: int) -> bytes:
    """A batch in the value of a batch, each under a wrong checksum but for the innermost."""
    inner = coordinator("g", 0)
    for _ in range(depth):
        outer = bytearray(batch([(b"key", inner)], Header(5)))
        outer[20] ^= 1
        inner = bytes(outer)
    return inner


HOSTILE = {
    "headers": lambda: lying_headers(100_000) + coordinator("g", 0),
    "aligned": lambda: aligned_lies(20_000),
    "nested": lambda: nested(200),
    "offsets": lambda: coordinator("g", (1 << 63) - 4) + coordinator("g", 0),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_images_take_bounded_time(name: str, tmp_path: Path) -> None:
    image = tmp_path / "disk.img"
    image.write_bytes(HOSTILE[name]())
    done = run("carve", image, "-o", tmp_path / "carved")  # which has 120 seconds
    assert done.status == 0
    assert decoded(tmp_path / "carved")


def test_the_disk_of_a_virtual_image_is_carved(tmp_path: Path) -> None:
    if (convert := shutil.which("qemu-img")) is None:
        pytest.skip("needs qemu-img of qemu-utils")
    raw, image = tmp_path / "disk.img", tmp_path / "disk.qcow2"
    raw.write_bytes(
        b"".join(coordinator(name, number * 3) for number, name in enumerate(groups_of(3, 50))).ljust(1 << 20)
    )
    subprocess.run([convert, "convert", "-f", "raw", "-O", "qcow2", "-c", str(raw), str(image)], check=True)
    summary, directory = carve(tmp_path, image, topic_partitions=50)
    assert summary["images"] == [
        {"image": f"{image}!/raw", "size": 1 << 20, "sha256": hashlib.sha256(raw.read_bytes()).hexdigest()}
    ]
    assert [row["log_offset"] for row in decoded(directory)] == list(range(12))
