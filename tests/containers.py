"""Directories put into archives and files into compressed ones, by tools that are not ours."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import cramjam


def _zstd(data: bytes) -> bytes:
    return bytes(cramjam.zstd.compress(data))


def _lz4(data: bytes) -> bytes:
    return bytes(cramjam.lz4.compress(data))


def _two_gzip_members(data: bytes) -> bytes:
    middle = len(data) // 2
    return gzip.compress(data[:middle]) + gzip.compress(data[middle:])


COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    "gz": _two_gzip_members,
    "zst": _zstd,
    "lz4": _lz4,
    "xz": lzma.compress,
    "bz2": bz2.compress,
}


def tar_of(directory: Path, form: int = tarfile.PAX_FORMAT, inside: str = "data") -> bytes:
    """All of a directory as a tar archive, below the folder `inside`."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=form) as archive:
        archive.add(directory, inside)
    return stream.getvalue()


def zip_of(directory: Path, method: int = zipfile.ZIP_DEFLATED, inside: str = "data", *, zip64: bool = False) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        for path in sorted(directory.rglob("*")):
            name = f"{inside}/{path.relative_to(directory)}"
            if path.is_file():
                with archive.open(name, "w", force_zip64=zip64) as member:
                    member.write(path.read_bytes())
    return stream.getvalue()


def compressed_segments(directory: Path, target: Path, suffix: str) -> None:
    """A copy of a data directory in which each segment is compressed."""
    for path in sorted(directory.rglob("*")):
        if path.is_file():
            place = target / path.relative_to(directory)
            place.parent.mkdir(parents=True, exist_ok=True)
            if path.suffix == ".log":
                place.with_name(f"{place.name}.{suffix}").write_bytes(COMPRESS[suffix](path.read_bytes()))
            else:
                place.write_bytes(path.read_bytes())


ARCHIVES: dict[str, Callable[[Path], bytes]] = {
    "tar": tar_of,
    "ustar.tar": lambda directory: tar_of(directory, tarfile.USTAR_FORMAT),
    "gnu.tar": lambda directory: tar_of(directory, tarfile.GNU_FORMAT, "deep/" * 30 + "x" * 120),
    "long.tar": lambda directory: tar_of(directory, tarfile.PAX_FORMAT, "größe/" + "x" * 200),
    **{f"tar.{suffix}": lambda directory, suffix=suffix: COMPRESS[suffix](tar_of(directory)) for suffix in COMPRESS},  # type: ignore[misc]
    "stored.zip": lambda directory: zip_of(directory, zipfile.ZIP_STORED),
    "zip": zip_of,
    "zip64.zip": lambda directory: zip_of(directory, zip64=True),
    "bzip2.zip": lambda directory: zip_of(directory, zipfile.ZIP_BZIP2),
}
