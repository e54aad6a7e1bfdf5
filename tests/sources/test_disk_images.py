"""A log on the image of a disk gives the rows of its directory."""

from __future__ import annotations

import gzip
import hashlib
import random
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from offdecode import SourceError, check
from offdecode.questions.check import PartitionCheck
from tests.command import CLASSIC, ENVIRONMENT, TRANSACTIONS, finished, run
from tests.containers import COMPRESS, tar_of, zip_of
from tests.disks import gpt, lvm, mbr
from tests.images import ext4, tool
from tests.sources.test_containers import nameless, rows_of

MIB = 1 << 20
DATA = CLASSIC / "log"


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """An ext4 file system with a data directory on it, somewhere."""
    folder = tmp_path_factory.mktemp("system")
    shutil.copytree(DATA, folder / "disk" / "var" / "lib" / "kafka")
    ext4(folder / "disk.img", folder / "disk", 16 * MIB)
    return (folder / "disk.img").read_bytes()


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A file system of small blocks, without a log."""
    folder = tmp_path_factory.mktemp("other")
    (folder / "disk").mkdir()
    (folder / "disk" / "readme").write_text("nothing")
    ext4(folder / "disk.img", folder / "disk", 2 * MIB, block_bytes=1024)
    return (folder / "disk.img").read_bytes()


LAYOUTS: dict[str, tuple[Callable[..., bytes], str]] = {
    "whole": (lambda system, other: system, "var/lib/kafka"),
    "mbr": (lambda system, other: mbr(other, system), "2/var/lib/kafka"),
    "gpt": (lambda system, other: gpt(system, other), "1/var/lib/kafka"),
    "lvm": (lambda system, other: lvm(other, system), "vg0-lv1/var/lib/kafka"),
    "lvm in gpt": (lambda system, other: gpt(other, lvm(system)), "vg0-lv0/var/lib/kafka"),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_log_on_a_disk(layout: str, system: bytes, other: bytes, tmp_path: Path) -> None:
    make, inside = LAYOUTS[layout]
    image = tmp_path / "disk.img"
    image.write_bytes(make(system, other))
    before = hashlib.sha256(image.read_bytes()).hexdigest(), image.stat().st_mtime_ns
    rows, problems = rows_of(image)
    wanted, _ = rows_of(DATA)
    assert (nameless(rows), problems) == (nameless(wanted), [])
    assert rows
    names = {row["segment"].removeprefix(f"{image}!/{inside}/") for row in rows}
    assert names == {row["segment"].removeprefix(f"{DATA}/") for row in wanted}
    assert (hashlib.sha256(image.read_bytes()).hexdigest(), image.stat().st_mtime_ns) == before


@pytest.mark.parametrize("options", [("-t", "ext2"), ("-t", "ext3"), ("-t", "ext4", "-b", "1024"),
                                     ("-t", "ext4", "-O", "inline_data,64bit")], ids=" ".join)  # fmt: skip
def test_other_file_systems_of_the_family(options: tuple[str, ...], tmp_path: Path) -> None:
    image = tmp_path / "disk.img"
    with image.open("wb") as stream:
        stream.truncate(16 * MIB)
    subprocess.run([tool("mke2fs"), "-q", *options, "-d", str(DATA.resolve()), str(image)], check=True,
                   capture_output=True)  # fmt: skip
    assert nameless(rows_of(image)[0]) == nameless(rows_of(DATA)[0])


def test_xfs(tmp_path: Path) -> None:
    if (make := shutil.which("mkfs.xfs", path="/usr/sbin:/sbin:/usr/bin")) is None:
        pytest.skip("needs mkfs.xfs of xfsprogs")
    image = tmp_path / "disk.img"
    with image.open("wb") as stream:
        stream.truncate(320 * MIB)
    prototype = tmp_path / "prototype"
    prototype.write_text("\n".join(["/", "0 0", "d--755 0 0", *_xfs_lines(DATA.resolve()), "$", "$"]) + "\n")
    subprocess.run([make, "-q", "-p", str(prototype), str(image)], check=True, capture_output=True)
    assert nameless(rows_of(image)[0]) == nameless(rows_of(DATA)[0])


def _xfs_lines(directory: Path) -> Iterator[str]:
    for path in sorted(directory.iterdir()):
        if path.is_dir():
            yield f"{path.name} d--755 0 0"
            yield from _xfs_lines(path)
            yield "$"
        else:
            yield f"{path.name} ---644 0 0 {path}"


@pytest.mark.parametrize("form", [("qcow2",), ("qcow2", "-c"), ("vmdk",), ("vmdk", "-o", "subformat=streamOptimized")],
                         ids=" ".join)  # fmt: skip
def test_forms_of_virtual_disks(form: tuple[str, ...], system: bytes, tmp_path: Path) -> None:
    if (convert := shutil.which("qemu-img")) is None:
        pytest.skip("needs qemu-img of qemu-utils")
    raw, image = tmp_path / "disk.raw", tmp_path / "disk.virtual"
    raw.write_bytes(gpt(system))
    subprocess.run([convert, "convert", "-f", "raw", "-O", *form, str(raw), str(image)], check=True)
    rows, problems = rows_of(image)
    assert (nameless(rows), problems) == (nameless(rows_of(DATA)[0]), [])


def test_e01_in_parts(system: bytes, tmp_path: Path) -> None:
    if (acquire := shutil.which("ewfacquirestream")) is None:
        pytest.skip("needs ewfacquirestream of ewf-tools")
    noise = tmp_path / "noise"
    noise.mkdir()
    (noise / "file").write_bytes(random.Random(4).randbytes(3 * MIB))
    ext4(tmp_path / "noise.img", noise, 6 * MIB)
    subprocess.run([acquire, "-S", str(MIB), "-t", str(tmp_path / "disk"), "-f", "encase6"], check=True,
                   input=gpt((tmp_path / "noise.img").read_bytes(), system), capture_output=True)  # fmt: skip
    assert (tmp_path / "disk.E02").exists()
    rows, problems = rows_of(tmp_path / "disk.E01")
    assert (nameless(rows), problems) == (nameless(rows_of(DATA)[0]), [])


def _packed(form: str, image: bytes, folder: Path) -> tuple[Path, str]:
    """An image in a file of a form, and what its files' names begin with."""
    beside = folder / "ticket"
    beside.mkdir()
    name = "disk.img.gz" if form.endswith(".img.gz") else "disk.img"
    (beside / name).write_bytes(gzip.compress(image, 1) if name.endswith(".gz") else image)
    (beside / "notes.img").write_bytes(b"a picture, say")
    match form.split()[0]:
        case "zip":
            data = zip_of(beside)
        case "tar":
            data = tar_of(beside)
        case "tar.gz":
            data = gzip.compress(tar_of(beside), 1)
        case codec:
            path = folder / f"disk.img.{codec}"
            path.write_bytes(COMPRESS[codec](image))
            return path, f"{path}!/disk.img!/"
    path = folder / f"ticket.{form.split()[0]}"
    path.write_bytes(data)
    return path, f"{path}!/data/{name}!/{'disk.img!/' if name.endswith('.gz') else ''}"


PACKED = (*COMPRESS, "zip", "tar", "tar.gz", "zip of .img.gz", "tar of .img.gz")


@pytest.mark.parametrize("form", PACKED)
def test_an_image_in_another_file(form: str, system: bytes, other: bytes, tmp_path: Path) -> None:
    path, inside = _packed(form, mbr(other, system), tmp_path)
    rows, problems = rows_of(path)
    wanted, _ = rows_of(DATA)
    assert (nameless(rows), problems) == (nameless(wanted), [])
    assert all(row["segment"].startswith(f"{inside}2/var/lib/kafka/") for row in rows)
    files = [one.as_dict() for one in check(path)]
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert [one["sha256"] for one in files if one["type"] == "container" and one["path"] == str(path)] == [digest]


def test_an_image_that_is_cut_short_in_another_file(system: bytes, tmp_path: Path) -> None:
    path = tmp_path / "disk.img.gz"
    path.write_bytes(gzip.compress(system, 1)[:-20])
    rows, problems = rows_of(path)
    assert (nameless(rows), [one.kind for one in problems]) == (nameless(rows_of(DATA)[0]), ["damaged_archive"])


@pytest.mark.parametrize("form", ["tar.gz", "zip"])
@pytest.mark.parametrize("content", ["noise", "image"])
def test_what_is_named_like_an_image_is_not_in_the_way(form: str, content: str, system: bytes, tmp_path: Path) -> None:
    """Noise is not unpacked; an image that has no room is a problem. The rest of the archive is read."""
    folder = tmp_path / "ticket"
    shutil.copytree(DATA, folder / "broker1")
    noise = random.Random(3).randbytes(8 * MIB)
    (folder / "vm.img").write_bytes(noise if content == "noise" else system)
    path = tmp_path / f"ticket.{form}"
    path.write_bytes(zip_of(folder) if form == "zip" else gzip.compress(tar_of(folder), 1))
    few = {**ENVIRONMENT, "OFFDECODE_SPOOL_BYTES": str(4 * MIB)}
    command = [sys.executable, "-m", "offdecode", "decode", str(path)]
    found = finished(subprocess.run(command, capture_output=True, env=few, check=False))
    assert found.rows == run("decode", DATA).rows
    problems = [(one["kind"], one["message"]) for one in found.problems]
    room = f"a copy of it needs more than {4 * MIB} bytes; OFFDECODE_SPOOL_BYTES sets the limit"
    assert problems == ([] if content == "noise" else [("unused_member", room)])


@pytest.mark.parametrize("form", ["tar", "zip"])
def test_a_damaged_image_in_an_archive_is_told(form: str, tmp_path: Path) -> None:
    folder = tmp_path / "ticket"
    shutil.copytree(DATA, folder / "broker1")
    (folder / "d.qcow2").write_bytes(b"QFI\xfb" + bytes(5000))
    path = tmp_path / f"ticket.{form}"
    path.write_bytes(zip_of(folder, zipfile.ZIP_STORED) if form == "zip" else tar_of(folder))
    done = run("decode", path)
    assert (done.rows, done.status) == (run("decode", DATA).rows, 1)
    (problem,) = done.problems
    assert (problem["kind"], problem["source"]) == ("unreadable", f"{path}!/data/d.qcow2")


def test_an_archive_with_an_image_without_the_libraries(system: bytes, tmp_path: Path) -> None:
    """The rest of the archive is read."""
    folder = tmp_path / "both"
    shutil.copytree(DATA, folder / "broker1")
    (folder / "disk.img").write_bytes(system)
    path = tmp_path / "both.tar"
    path.write_bytes(tar_of(folder))
    code = "import sys; sys.modules['dissect'] = None; from offdecode.__main__ import main; main()"
    command = [sys.executable, "-c", code, "decode", str(path)]
    found = finished(subprocess.run(command, capture_output=True, env=ENVIRONMENT, check=False))
    assert found.rows == run("decode", DATA).rows
    assert "pip install 'offdecode[images]'" in found.stderr


def test_checkpoints_leftovers_and_every_question(tmp_path: Path) -> None:
    """What lies beside the segments is found too."""
    shutil.copytree(TRANSACTIONS / "log", tmp_path / "disk")
    log = tmp_path / "disk" / "__consumer_offsets-3"
    (log / f"{0:020}.log.deleted").write_bytes(next(log.glob("*.log")).read_bytes())
    image = tmp_path / "disk.img"
    ext4(image, tmp_path / "disk", 16 * MIB)
    found, wanted = ([one.as_dict() for one in check(place)] for place in (image, tmp_path / "disk"))
    assert str(found).replace(f"{image}!/", "") == str(wanted).replace(f"{tmp_path / 'disk'}/", "")
    assert any(one["type"] == "leftover" for one in found)
    assert any(isinstance(one, PartitionCheck) and one.checkpoints.recovery_point for one in check(image))
    for command in ("state", "generations", "explain", "transactions", "groups", "lag"):
        assert run(command, image).rows == run(command, tmp_path / "disk").rows


# What cannot be read


def test_without_the_libraries_the_extra_is_named(system: bytes, tmp_path: Path) -> None:
    image = tmp_path / "disk.img"
    image.write_bytes(system)
    code = "import sys; sys.modules['dissect'] = None; from offdecode.__main__ import main; main()"
    command = [sys.executable, "-c", code, "decode", str(image)]
    found = finished(subprocess.run(command, capture_output=True, env=ENVIRONMENT, check=False))
    assert found.status == 2
    assert "pip install 'offdecode[images]'" in found.words


def test_a_disk_without_a_log_is_said(other: bytes, tmp_path: Path) -> None:
    image = tmp_path / "disk.img"
    image.write_bytes(other)
    with pytest.raises(SourceError, match=r"no segment.*offdecode carve"):
        rows_of(image)


def test_a_volume_that_cannot_be_read_is_a_problem(system: bytes, other: bytes, tmp_path: Path) -> None:
    broken = bytearray(other)
    broken[1024 + 32 : 1024 + 36] = bytes(4)  # blocks per group
    image = tmp_path / "disk.img"
    image.write_bytes(mbr(bytes(broken), system))
    rows, (problem,) = rows_of(image)
    assert nameless(rows) == nameless(rows_of(DATA)[0])
    assert problem.kind == "damaged_image"
    assert "its volume 1 cannot be read" in problem.message
    image.write_bytes(broken)
    with pytest.raises(SourceError, match="offdecode carve"):
        rows_of(image)


@pytest.mark.parametrize("seed", range(6))
def test_a_damaged_file_system_gives_problems(seed: int, system: bytes, tmp_path: Path) -> None:
    """Flipped bits in its structures, blocks overwritten, the end cut off: never a traceback, nor an endless walk."""
    randomly = random.Random(seed)
    damaged = bytearray(system)
    for _ in range(40):
        at = randomly.randrange(1024, 2 * MIB)
        damaged[at] ^= 1 << randomly.randrange(8)
    for _ in range(4):
        at = randomly.randrange(len(damaged) // 4096) * 4096
        damaged[at : at + 4096] = randomly.randbytes(4096)
    image = tmp_path / "disk.img"
    image.write_bytes(damaged[: len(damaged) // (1 + seed % 2)])
    for command in ("decode", "check"):
        assert run(command, image).status in (0, 1, 2)


def test_a_segment_is_not_taken_for_a_disk(tmp_path: Path) -> None:
    """Whatever its bytes are where images have their marks, if its name is a segment's; archives go first."""
    segment = next(iter(sorted(DATA.glob("*/*.log")))).read_bytes()
    marked = segment[:510] + b"\x55\xaa" + segment[512:1080] + b"\x53\xef" + segment[1082:]
    for name in ("00000000000000000000.log", "evidence"):
        (tmp_path / name).write_bytes(marked)
        assert run("decode", tmp_path / name, "--as-log-partition", "0").rows
    (tmp_path / "archive").write_bytes(tar_of(DATA))
    assert nameless(rows_of(tmp_path / "archive")[0]) == nameless(rows_of(DATA)[0])
