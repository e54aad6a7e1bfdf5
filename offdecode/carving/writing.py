"""What was carved to a directory: segments as every command reads them, and a manifest of each batch's place.

A batch is written as it lies in the image. The directory appears when all of it is there.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import orjson

import offdecode
from offdecode.carving.carve import Carved, ranges_of, reading
from offdecode.carving.continuations import BLOCK_BYTES, Read
from offdecode.carving.placing import File
from offdecode.errors import UsageError
from offdecode.sources.names import CARVED_NOTE

MANIFEST = "manifest.jsonl"
_PIECE_BYTES = 8 << 20  # that are read and written at once
_NOTE = """\
The segments in this directory were carved out of images by offdecode {version}: {manifest} says from where.
Each file holds batches that belong together. What lay between two files was not found, or the log cleaner had
removed it: nothing tells which. offdecode knows such a directory by this file.
"""


def check_target(directory: Path) -> None:
    """Raise UsageError where the directory cannot be made, or holds something."""
    if directory.exists() and not (directory.is_dir() and not any(directory.iterdir())):
        raise UsageError(f"{directory}: carve writes to a new or empty directory")


def write(carved: Carved, directory: Path, topic: str) -> dict[str, Any]:
    """Write segments and manifest; the summary, which is the manifest's first line. Raises UsageError, OSError."""
    check_target(directory)
    real = Path(os.path.realpath(directory))
    partial = real.with_name(f".{real.name}.{os.getpid()}.partial")
    try:
        partial.mkdir(parents=True)
    except OSError as error:
        raise UsageError(f"{directory}: cannot be written: {error.strerror}") from None
    try:
        summary = _summary(carved)
        with (partial / MANIFEST).open("wb") as manifest, ExitStack() as stack:
            reads = [reading(stack.enter_context(image.location.open()), image.size) for image in carved.images]
            _line(manifest, summary)
            also = _also_at(carved)
            for file in carved.placed.files:
                _write_file(carved, file, partial, topic, reads, manifest, also)
            for index, reason in sorted(carved.placed.left.items()):
                _line(manifest, {"type": "left", "reason": str(reason), **_batch(carved, index, also)})
        with suppress(OSError):
            real.rmdir()
        partial.rename(real)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    return summary


def _summary(carved: Carved) -> dict[str, Any]:
    placed, batches = carved.placed, carved.batches
    written = [file.chosen for file in placed.files]
    every = np.concatenate(written) if written else np.empty(0, np.int64)
    return {
        "type": "carved",
        "offdecode": offdecode.__version__,
        "images": [{"image": image.path, "size": image.size, "sha256": image.sha256} for image in carved.images],
        "topic_partitions": placed.partitions,
        "topic_partitions_known": str(placed.known),
        "batches": len(every),
        "bytes": int(batches.size[every].sum()),
        "put_together": int(np.count_nonzero(batches.tail[every] >= 0)),
        "equal": int(np.count_nonzero(placed.same_as >= 0)),
        "left": len(placed.left),
        "elsewhere": placed.elsewhere,
        "foreign": carved.foreign,
        "gave_up": carved.gave_up,
        "partitions": _partitions(carved),
    }


def _partitions(carved: Carved) -> list[dict[str, int]]:
    found: dict[int, dict[str, int]] = {}
    for file in carved.placed.files:
        one = found.setdefault(
            file.partition, {"log_partition": file.partition, "copies": 0, "segments": 0, "batches": 0, "bytes": 0}
        )
        one["copies"] = max(one["copies"], file.copy)
        one["segments"] += 1
        one["batches"] += len(file.chosen)
        one["bytes"] += int(carved.batches.size[file.chosen].sum())
    return list(found.values())


def _also_at(carved: Carved) -> dict[int, list[int]]:
    """The batches that are equal to each."""
    also: dict[int, list[int]] = {}
    for index in np.flatnonzero(carved.placed.same_as >= 0).tolist():
        also.setdefault(int(carved.placed.same_as[index]), []).append(index)
    return also


def _write_file(  # noqa: PLR0913 - one place that writes
    carved: Carved, file: File, root: Path, topic: str, reads: list[Read], manifest: BinaryIO,
    also: dict[int, list[int]],
) -> None:  # fmt: skip
    directory = root / str(file.copy) / f"{topic}-{file.partition}"
    if not directory.exists():
        directory.mkdir(parents=True)
        note = _NOTE.format(version=offdecode.__version__, manifest=f"../../{MANIFEST}")
        (directory / CARVED_NOTE).write_text(note, "utf-8")
    batches, chosen = carved.batches, file.chosen
    segment = directory / f"{int(batches.base_offset[chosen[0]]):020}.log"
    with segment.open("xb") as target:
        for image, start, size in _ranges(carved, file):
            target.write(reads[image](start, size))
    name, position = str(segment.relative_to(root)), 0
    for index in chosen.tolist():
        size = int(batches.size[index])
        place = {"segment": name, "position": position, "size": size}
        _line(manifest, {"type": "batch", **place, "log_partition": file.partition, **_batch(carved, index, also)})
        position += size


def _ranges(carved: Carved, file: File) -> Iterator[tuple[int, int, int]]:
    """What a file is made of: image, position and size; ranges that join as one, within limits."""
    known: tuple[int, int, int] | None = None
    for index in file.chosen.tolist():
        image = int(carved.batches.image[index])
        for start, size in ranges_of(carved.batches, index):
            if known and known[0] == image and known[1] + known[2] == start and known[2] < _PIECE_BYTES:
                known = image, known[1], known[2] + size
                continue
            if known:
                yield known
            known = image, start, size
    if known:
        yield known


def _batch(carved: Carved, index: int, also: dict[int, list[int]]) -> dict[str, Any]:
    batches = carved.batches
    found: dict[str, Any] = {
        "base_offset": int(batches.base_offset[index]),
        "last_offset": int(batches.last_offset[index]),
        "sha256": batches.digest[index].tobytes().hex(),
        **_place(carved, index),
        "piece": int(carved.placed.piece[index]),
    }
    if index in also:
        found["also_at"] = [_place(carved, other) for other in also[index]]
    return found


def _place(carved: Carved, index: int) -> dict[str, Any]:
    """Where a batch lies. alignment: the largest power of two up to a block's size that divides its position."""
    ranges = ranges_of(carved.batches, index)
    start = ranges[0][0]
    return {
        "image": carved.images[int(carved.batches.image[index])].path,
        "ranges": ranges,
        "alignment": min(start & -start, BLOCK_BYTES) or BLOCK_BYTES,
    }


def _line(manifest: BinaryIO, values: dict[str, Any]) -> None:
    manifest.write(orjson.dumps(values, option=orjson.OPT_APPEND_NEWLINE))
