"""Images of disks: file systems made by e2fsprogs, and files in extents strewn over noise."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
from pathlib import Path

import pytest

BLOCK_BYTES = 4096


def tool(name: str) -> str:
    """A program of e2fsprogs. Skips the test without it; fails it where the environment says that all must be there."""
    found = shutil.which(name, path=os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/sbin")))
    if found is None and os.environ.get("OFFDECODE_REQUIRE_BROKER") == "1":
        pytest.fail(f"needs {name} of e2fsprogs, and OFFDECODE_REQUIRE_BROKER=1 forbids to skip")
    if found is None:
        pytest.skip(f"needs {name} of e2fsprogs")
    return found


def ext4(image: Path, contents: Path, size: int, *, block_bytes: int = BLOCK_BYTES) -> None:
    """A file system that holds what lies in a directory."""
    with image.open("wb") as stream:
        stream.truncate(size)
    options = ["-q", "-t", "ext4", "-b", str(block_bytes), "-d", str(contents)]
    subprocess.run([tool("mke2fs"), *options, str(image)], check=True, capture_output=True)


def delete(image: Path, *names: str) -> None:
    """Delete files in a file system. Their blocks stay as they are."""
    requests = "\n".join(f"rm {name}" for name in names)
    subprocess.run([tool("debugfs"), "-w", "-f", "-", str(image)], input=requests.encode(), check=True,
                   capture_output=True)  # fmt: skip


def strewn(files: list[bytes], randomly: random.Random, most_blocks: int) -> bytes:
    """Files in extents of up to so many blocks, in any order, noise between some. A last block is filled with zeros."""
    extents = []
    for data in files:
        at = 0
        while at < len(data):
            size = randomly.randint(1, most_blocks) * BLOCK_BYTES
            extents.append(data[at : at + size] + bytes(-len(data[at : at + size]) % BLOCK_BYTES))
            at += size
    randomly.shuffle(extents)
    noise = (randomly.randbytes(randomly.randint(0, 2) * BLOCK_BYTES) for _ in extents)
    return b"".join(extent + more for extent, more in zip(extents, noise, strict=True))


def parts_of(position: int, size: int) -> int:
    """How many places a batch of a file can lie in at the most, if its blocks lie apart."""
    return (position + size - 1) // BLOCK_BYTES - position // BLOCK_BYTES + 1
