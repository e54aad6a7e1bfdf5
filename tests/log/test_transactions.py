"""The status of transactional batches, against a plain reading of the rules over the whole log."""

from __future__ import annotations

import itertools
import random
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import crc32c
import numpy as np
import pytest

from offdecode.log.batches import Frames, iter_frames
from offdecode.log.holes import Cleaning
from offdecode.log.transactions import FramesFrom, Place, Status, TransactionResolver
from offdecode.model import PADDING, Chunk
from tests.segment_builder import CONTROL, TRANSACTIONAL, Header, batch, commit, marker

LETTERS = {"-": Status.NONE, "c": Status.COMMITTED, "a": Status.ABORTED, "o": Status.OPEN, "u": Status.UNKNOWN}

WORDS = {
    "d": "data", "p": "plain", "c": "commit", "a": "abort",
    "e": "empty", "!": "lost", "x": "bad", "~": "cleaned",
}  # fmt: skip
BY_END = {"commit": Status.COMMITTED, "abort": Status.ABORTED, "empty": Status.UNKNOWN, "open": Status.OPEN}


@dataclass(frozen=True)
class Entry:
    """One batch of a log, or `lost` offsets. what: plain, data, commit, abort, empty, lost, bad, cleaned."""

    what: str
    producer: int = -1


def parse(text: str) -> list[Entry]:
    """ "d1 p c1 !" -> entries: data, plain, commit, abort, empty marker; ! lost offsets, x bad CRC, ~ cleaned."""
    return [Entry(WORDS[word[0]], int(word[1:] or -1)) for word in text.split()]


def emptied(data: bytes, count: int) -> bytes:
    """A batch as the cleaner leaves it when it drops records: its range stays, its count and records go."""
    covered = bytearray(data[21:61])
    covered[2:6] = struct.pack(">i", 3)
    covered[36:40] = struct.pack(">i", count)
    body = bytes(covered) + (data[61:] if count else b"")
    return data[:8] + struct.pack(">i", 9 + len(body)) + data[12:17] + struct.pack(">I", crc32c.crc32c(body)) + body


def build(entries: Sequence[Entry]) -> list[bytes]:
    """The bytes of each entry, offsets going on from one to the next."""
    out: list[bytes] = []
    offset = 0
    for entry in entries:
        if entry.what == "lost":
            offset += 5
            out.append(b"")
            continue
        if entry.what in ("commit", "abort"):
            data = marker(offset, entry.producer, commit=entry.what == "commit")
        elif entry.what == "empty":
            data = emptied(batch([], Header(offset, TRANSACTIONAL | CONTROL, entry.producer, 0)), 0)
        elif entry.what == "data":
            data = batch([commit("g")], Header(offset, TRANSACTIONAL, entry.producer, 0))
        else:
            data = batch([commit("g")], Header(offset))
        if entry.what == "cleaned":
            data = emptied(data, 1)
        if entry.what == "bad":
            data = data[:-1] + bytes([data[-1] ^ 1])
        out.append(data)
        offset += 4 if entry.what in ("cleaned", "empty") else 1
    return out


def frames_of(segments: Sequence[bytes], chunk_bytes: int, reads: list[int] | None = None) -> FramesFrom:
    """A log in memory, as the resolver reads it. `reads` gets the length of every chunk that is read."""

    def frames_from(place: Place) -> Iterator[tuple[Place, Frames]]:
        for index in range(place.segment, len(segments)):
            data = segments[index]

            def read(position: int, size: int, data: bytes = data, index: int = index) -> Chunk:
                part = data[position : position + size]
                if reads is not None:
                    reads.append(len(part))
                buffer = np.frombuffer(part + bytes(PADDING), np.uint8)
                return Chunk(f"{index}.log", 0, position, buffer, len(part), len(data))

            start = place.position if index == place.segment else 0
            for frames in iter_frames(read, chunk_bytes, start):
                last = frames.chunk.final
                yield (Place(index + 1, 0) if last else Place(index, frames.next_position)), frames

    return frames_from


def resolved(segments: Sequence[bytes], chunk_bytes: int, checkpoint: int | None = None) -> list[int]:
    resolver = TransactionResolver(frames_of(segments, chunk_bytes), Cleaning(checkpoint))
    return [int(status) for _, statuses in resolver for status in statuses]


def expected(entries: Sequence[Entry], checkpoint: int | None = None, cuts: Sequence[int] = ()) -> list[int]:
    """The rules, read backwards over the whole log. cuts: the entries at which a segment starts."""
    offsets, offset = [], 0
    for entry in entries:
        offsets.append(offset)
        offset += {"lost": 5, "cleaned": 4, "empty": 4}.get(entry.what, 1)
    batches = [(entry, at) for entry, at in zip(entries, offsets, strict=True) if entry.what != "lost"]
    places = [place for place, entry in enumerate(entries) if entry.what != "lost"]
    cleaned = [
        index for index, (entry, at) in enumerate(batches)
        if entry.what in ("cleaned", "empty") and at >= (checkpoint or 0)
    ]  # fmt: skip
    last_sign = cleaned[-1] if cleaned else -1
    barriers = [index for index, (entry, _) in enumerate(batches) if entry.what == "bad"]
    end = 0
    for index, (entry, at) in enumerate(batches):
        if index and at > end:
            within = not any(places[index - 1] < cut <= places[index] for cut in cuts)
            cleaners = at <= (checkpoint or 0) or index <= last_sign or (within and cleaned)
            barriers += [] if cleaners else [index]
        end = at + {"cleaned": 4, "empty": 4}.get(entry.what, 1)
    out = []
    for index, (entry, _) in enumerate(batches):
        if entry.what != "data":
            out.append(Status.NONE)
            continue
        decided = [
            (place, other.what)
            for place, (other, _) in enumerate(batches)
            if place > index and other.producer == entry.producer and other.what in ("commit", "abort", "empty")
        ]
        place, kind = decided[0] if decided else (len(batches), "open")
        if any(index < barrier <= place for barrier in barriers):
            kind = "empty"
        out.append(BY_END[kind])
    return [int(status) for status in out]


CASES = [
    ("d1 c1", "c-"),
    ("d1 a1", "a-"),
    ("d1", "o"),
    ("c1 d1 a2", "-o-"),
    ("d1 d2 c2 d1 a1 d2", "ac-a-o"),
    ("d1 d1 c1 d1 a1", "cc-a-"),
    ("d1 ! c1", "u-"),
    ("d1 c1 ! d1", "c-o"),
    ("d1 ! p", "u-"),
    ("d1 ! c1 ~", "c--"),
    ("d1 ! c1 ~ d2 ! c2", "c--c-"),
    ("d1 x c1", "u--"),
    ("d1 c1 x", "c--"),
    ("d1 x", "u-"),
    ("d1 e1 c1", "u--"),
    ("d1 e2 c1", "c--"),
    ("p c1 e1 p", "----"),
]


@pytest.mark.parametrize("chunk_bytes", [150, 4096])
@pytest.mark.parametrize(("text", "letters"), CASES, ids=[case[0] for case in CASES])
def test_cases(text: str, letters: str, chunk_bytes: int) -> None:
    entries = parse(text)
    assert resolved([b"".join(build(entries))], chunk_bytes) == [LETTERS[letter] for letter in letters]
    assert expected(entries) == [LETTERS[letter] for letter in letters]


@pytest.mark.parametrize(("checkpoint", "letters"), [(0, "u-"), (2, "u-"), (5, "u-"), (6, "c-"), (99, "c-")])
def test_holes_below_the_cleaner_checkpoint_are_the_cleaners(checkpoint: int, letters: str) -> None:
    entries = parse("d1 ! c1")  # offsets 0, then 6
    assert resolved([b"".join(build(entries))], 4096, checkpoint) == [LETTERS[letter] for letter in letters]
    assert expected(entries, checkpoint) == [LETTERS[letter] for letter in letters]


def test_a_batch_with_a_wrong_checksum_has_no_known_end() -> None:
    data = build(parse("d1 c1"))
    data[0] = data[0][:-1] + bytes([data[0][-1] ^ 1])
    assert resolved([b"".join(data)], 4096) == [Status.UNKNOWN, Status.NONE]


def test_a_torn_or_zero_tail_leaves_a_transaction_open() -> None:
    (data,) = build(parse("d1"))
    assert resolved([data + data[:40]], 4096) == [Status.OPEN]
    assert resolved([data + bytes(200)], 4096) == [Status.OPEN]
    assert resolved([data + b"\xaa" * 200], 4096) == [Status.UNKNOWN]


def test_a_later_segment_decides() -> None:
    parts = build(parse("d1 p p c1 d1"))
    assert resolved(parts, 4096) == [Status.COMMITTED, Status.NONE, Status.NONE, Status.NONE, Status.OPEN]
    assert resolved([parts[0], b"", parts[1], b"", parts[2] + parts[3]], 4096)[0] == Status.COMMITTED
    assert resolved([parts[0], parts[2], parts[3]], 4096)[0] == Status.UNKNOWN  # a segment is missing


@pytest.mark.parametrize("seed", range(400))
def test_random_logs(seed: int) -> None:
    rnd = random.Random(seed)
    kinds = ["data"] * 6 + ["plain"] * 4 + ["commit"] * 3 + ["abort"] * 2
    kinds += rnd.choice(([], ["lost"], ["cleaned"], ["bad"], ["empty"], ["lost", "cleaned", "bad", "empty"]))
    entries = [Entry(rnd.choice(kinds), rnd.randrange(rnd.choice((1, 3, 9)))) for _ in range(rnd.randrange(1, 120))]
    checkpoint = rnd.choice((None, None, 0, 40, 10_000))
    parts = build(entries)
    cuts = sorted(rnd.sample(range(len(parts) + 1), min(rnd.randrange(3), len(parts))))
    bounds = [0, *cuts, len(parts)]
    segments = [b"".join(parts[start:end]) for start, end in itertools.pairwise(bounds)]
    chunk_bytes = rnd.choice((130, 200, 500, 2000, 100_000))
    assert resolved(segments, chunk_bytes, checkpoint) == expected(entries, checkpoint, cuts), f"seed {seed}"


def test_a_hanging_transaction_is_looked_for_once() -> None:
    """A producer whose marker never comes costs one pass over the log, not one for each of its batches."""
    entries = parse("d1 " + "d2 c2 d1 " * 500)
    data = b"".join(build(entries))
    reads: list[int] = []
    resolver = TransactionResolver(frames_of([data], 2000, reads), Cleaning())
    statuses = [int(status) for _, found in resolver for status in found]
    assert statuses == expected(entries)
    assert sum(reads) < 4 * len(data)


def test_the_first_chunk_comes_without_reading_the_log() -> None:
    data = b"".join(build(parse("d1 c1 " + "p " * 2000)))
    reads: list[int] = []
    next(iter(TransactionResolver(frames_of([data], 2000, reads), Cleaning())))
    assert sum(reads) <= 2 * 2000
