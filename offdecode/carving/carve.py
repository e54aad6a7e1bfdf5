"""Images to the batches of the offsets topic in them, and where each belongs."""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from offdecode.byte_vectors import big_endian
from offdecode.carving.continuations import Continuations, Cut, Read, Start, Whole
from offdecode.carving.judge import Judge
from offdecode.carving.placing import Placed, place
from offdecode.carving.runs import DIGEST, SECTOR_BYTES, Batches, Runs, Whose, joined, no_batches
from offdecode.errors import SourceError
from offdecode.log.batches import Frames
from offdecode.log.headers import MAGIC_AT, MAX_BATCH_BYTES, plausible
from offdecode.log.inventory import ChunksChecksum
from offdecode.log.transactions import Place
from offdecode.logs import frames_from
from offdecode.model import Chunk, Problem, Vector
from offdecode.sources.archives import Archive
from offdecode.sources.codecs import HEAD_BYTES, codec_of
from offdecode.sources.containers import Containers
from offdecode.sources.disk_images import DiskImage, raw_disk
from offdecode.sources.locations import Location
from offdecode.sources.names import ARCHIVE_NAME, COMPRESSED_SUFFIXES, IMAGE_NAME
from offdecode.sources.readers import Reader
from offdecode.sources.segments import PartitionLog, Segment
from offdecode.sources.unreadable import PatientReader

_CHUNK_BYTES = 4 << 20
_MOST_LONE = 100_000  # headers at blocks' starts that are kept: hostile bytes may hold one in each
_SURELY_FOREIGN = 16  # so many batches more of other topics than of this, and a run is not looked at further
_TOLD = ("unreadable", "changed_while_read")

Report = Callable[[Problem], None]
Meter = Callable[[int, int], None]  # called with the bytes and batches since the last call


@dataclass(frozen=True, slots=True)
class Image:
    """One image. sha256: None where some of its bytes could not be read."""

    location: Location
    size: int
    sha256: str | None

    @property
    def path(self) -> str:
        return self.location.text


@dataclass(frozen=True, slots=True)
class Carved:
    """What was found. foreign: batches of other topics; gave_up: not all batches that are cut were tried."""

    images: tuple[Image, ...]
    batches: Batches
    placed: Placed
    foreign: int
    gave_up: bool


def carve(paths: Sequence[Path], partitions: int | None, report: Report, meter: Meter) -> Carved:
    """Look through images. partitions: of the offsets topic, None = as what is found tells.

    Raises SourceError for what cannot be opened, and where no batch of the offsets topic is found.
    """
    scan = _Scan()
    images = [scan.image(place, report, meter) for place in _places(paths, report)]
    links = scan.put_together(images)
    batches, runs = scan.of_the_topic(), scan.runs
    if not len(batches):
        raise SourceError(", ".join(image.path for image in images), "no batch of the offsets topic is in it")
    foreign = sum(counts[Whose.FOREIGN] for counts in runs.counts)
    return Carved(tuple(images), batches, place(batches, runs, links, partitions), foreign, scan.gave_up)


def _places(paths: Sequence[Path], report: Report) -> Iterator[Location]:
    containers = Containers("", any_image=True)
    for path in paths:
        place = containers.location(path)
        if not place.exists():
            raise SourceError(place.text, "there is no such file or device")
        if place.is_directory():
            raise SourceError(place.text, "is a directory; carve takes images, files and devices")
        if not place.is_file():
            raise SourceError(place.text, "is neither a file nor a block device")
        # An image may begin with anything, so its name must say what it is in.
        archive = containers.archive(place) if ARCHIVE_NAME.fullmatch(place.name) else None
        for image in [place] if archive is None else _images_in(archive, report) or [place]:
            yield _disk(image, containers, report)


def _images_in(archive: Archive | DiskImage, report: Report) -> list[Location]:
    """The images in an archive. What is wrong is told where there are some, be it that they cannot be used."""
    images = [one for one in archive.members if IMAGE_NAME.fullmatch(one.name)]
    if images or any(IMAGE_NAME.fullmatch(problem.source) for problem in archive.problems):
        for problem in archive.problems:
            report(problem)
    return images


def _disk(place: Location, containers: Containers, report: Report) -> Location:
    """The bytes of the disk that a file is an image of."""
    try:
        with place.open() as reader:
            codec = codec_of(reader.read(0, HEAD_BYTES))
        if codec is not None and place.name.endswith(COMPRESSED_SUFFIXES):
            place, problems = containers.unpacked(place, codec)
            for problem in problems:
                report(problem)
        return raw_disk(place)
    except OSError as error:
        raise SourceError(place.text, f"cannot be read: {error.strerror}") from None


class _Scan:
    """The batches of all images, so far."""

    def __init__(self) -> None:
        self.runs = Runs()
        self._judge = Judge()
        self._found: list[Batches] = []
        self._lone: dict[tuple[int, int], None] = {}  # image and position
        self._images = 0
        self.gave_up = False

    def image(self, place: Location, report: Report, meter: Meter) -> Image:
        """Look through the next image."""
        number, self._images = self._images, self._images + 1
        with place.open() as reader:
            size = reader.size
        checksum, whole = ChunksChecksum(), True
        whole_image = PartitionLog(None, (Segment(place, size, 0),))
        for _, frames in frames_from(whole_image, _CHUNK_BYTES, Place(0, 0)):
            for problem in frames.problems:
                if problem.kind in _TOLD:
                    report(problem)
                    whole = False
            meter(checksum.add(frames.chunk), self._add(number, frames))
        return Image(place, size, checksum.sha256 if whole else None)

    def _add(self, image: int, frames: Frames) -> int:
        valid = np.flatnonzero(frames.crc_valid)
        found = _lone_headers(frames.chunk, frames.position[valid], frames.end[valid])
        self._lone |= dict.fromkeys((image, frames.chunk.position + at) for at in found[: _MOST_LONE - len(self._lone)])
        self.gave_up |= len(self._lone) == _MOST_LONE
        return self._enter(image, frames, valid) if len(valid) else 0

    def _enter(self, image: int, frames: Frames, valid: Vector) -> int:
        """Enter batches, but for those of other topics; how many are the coordinator's."""
        batches = self._batches(image, frames, valid)
        batches = replace(batches, run=self.runs.add(batches))
        kept = np.flatnonzero(batches.whose != Whose.FOREIGN)
        if len(kept) < len(batches):
            first = int(batches.run[0])
            counts = np.asarray(self.runs.counts[first:], np.int64)
            others = counts[:, Whose.FOREIGN] > counts[:, Whose.COORDINATOR] + _SURELY_FOREIGN
            kept = kept[~others[batches.run[kept] - first]]
        batches = batches.take(kept)
        data = frames.chunk.buffer.data
        starts = (batches.position - frames.chunk.position).tolist()
        for index, (start, size) in enumerate(zip(starts, batches.size.tolist(), strict=True)):
            batches.digest[index] = hashlib.sha256(data[start : start + size]).digest()
        self._found.append(batches)
        return int(np.count_nonzero(batches.whose == Whose.COORDINATOR))

    def _batches(self, image: int, frames: Frames, valid: Vector) -> Batches:
        whose, code = self._judge.judge(frames)
        size = (frames.end - frames.position)[valid]
        return Batches(
            image=np.full(len(valid), image),
            position=frames.chunk.position + frames.position[valid],
            size=size,
            head=size,
            tail=np.full(len(valid), -1),
            base_offset=frames.base_offset[valid],
            last_offset=frames.last_offset[valid],
            leader_epoch=frames.leader_epoch[valid],
            producer_id=frames.producer_id[valid],
            producer_epoch=frames.producer_epoch[valid],
            whose=whose[valid],
            code=code[valid],
            run=np.zeros(len(valid), np.int64),
            digest=np.empty(len(valid), DIGEST),
        )

    def put_together(self, images: Sequence[Image]) -> list[tuple[int, int]]:
        """Find the rest of batches that are cut; the runs that these link."""
        runs = self.runs
        of_markers = runs.of_markers()
        known = np.flatnonzero(runs.of_the_topic() | of_markers).tolist()
        markers = frozenset(np.flatnonzero(of_markers).tolist())
        followed = frozenset(runs.follows)
        links: list[tuple[int, int]] = []
        for number, image in enumerate(images):
            mine = [run for run in known if runs.image[run] == number]
            starts = [Start(runs.first_offset[run], runs.start[run], run) for run in mine if runs.follows[run] < 0]
            ends = {
                runs.end[run]: Cut(number, runs.end[run], runs.last_offset[run], run)
                for run in mine
                if run not in followed
            }
            lone = [Cut(number, at, -1, -1) for at in self._lone_in(number) if at not in ends]
            with ExitStack() as stack:
                read = reading(stack.enter_context(image.location.open()), image.size)
                continuations = Continuations(read, starts, image.size)
                for whole in continuations.whole(ends.values(), lone):
                    run = self._enter_whole(whole)
                    # A short rest may fit before any run: a link counts for those that tell nothing themselves.
                    if run is not None and whole.next_run >= 0 and markers & {run, whole.next_run}:
                        links.append((run, whole.next_run))
                self.gave_up |= continuations.budget <= 0
        return links

    def _lone_in(self, image: int) -> Iterator[int]:
        """Where in an image a batch may begin, though none was found there in the end."""
        runs = [run for run in range(len(self.runs)) if self.runs.image[run] == image]
        starts = [self.runs.start[run] for run in runs]
        for number, at in self._lone:
            before = bisect_right(starts, at) - 1 if number == image else -1
            if number == image and (before < 0 or at >= self.runs.end[runs[before]]):
                yield at

    def _enter_whole(self, whole: Whole) -> int | None:
        """Enter a batch that was put together; its run."""
        cut, frames = whole.cut, whole.frames
        batches = self._batches(cut.image, frames, np.array([0]))
        if batches.whose[0] == Whose.FOREIGN:
            return None
        batches.digest[0] = hashlib.sha256(frames.chunk.buffer[: frames.chunk.size].data).digest()
        vectors = {"image": cut.image, "position": cut.position, "head": whole.head, "tail": whole.tail}
        batches = replace(batches, **{name: np.array([value]) for name, value in vectors.items()})
        run = int(self.runs.add(batches)[0]) if cut.run < 0 else cut.run
        self._found.append(replace(batches, run=np.array([run])))
        return run

    def of_the_topic(self) -> Batches:
        """The batches of runs of the offsets topic, and those of runs that hold nothing but ends of transactions.

        Beheaded ones too, but for those that were put together with their head.
        """
        found = joined(self._found)
        known = self.runs.of_the_topic()
        if not known.any():
            return no_batches()
        known |= self.runs.of_markers()
        beheaded = np.zeros(len(known), np.bool_)
        beheaded[list(self.runs.beheaded)] = True
        whole = found.tail >= 0
        ends = found.position + found.size
        ends[whole] = (found.tail + found.size - found.head)[whole]
        again = np.isin(found.image + ends * self._images, (found.image + ends * self._images)[whole])
        alone = beheaded[found.run] & (found.whose == Whose.COORDINATOR) & ~again
        return found.take(np.flatnonzero(known[found.run] | alone))


def _lone_headers(chunk: Chunk, start: Vector, end: Vector) -> list[int]:
    """Where a sector begins with what may be a batch, though none is there."""
    first = -chunk.position % SECTOR_BYTES
    at = np.arange(first, max(chunk.size - MAGIC_AT, first), SECTOR_BYTES)
    at = at[(chunk.buffer[at + MAGIC_AT] <= 2) & (big_endian(chunk.buffer, np.int32, at + 8) > 0)]
    inside = np.searchsorted(start, at, side="right") - 1
    at = at[(inside < 0) | (at >= end[inside])] if len(start) else at
    elsewhere = replace(chunk, segment_size=chunk.segment_size + MAX_BATCH_BYTES)  # its end may lie before it
    return [one for one in at.tolist() if plausible(elsewhere, one)]


def reading(reader: Reader, size: int) -> Read:
    """Reads an open image from place to place, around what is refused."""
    patient = PatientReader(reader, size)

    def read(position: int, wanted: int) -> bytes:
        target = bytearray(max(min(wanted, size - position), 0))
        filled = patient.read_into(memoryview(target), position)
        return bytes(target[:filled])

    return read


def ranges_of(batches: Batches, index: int) -> list[tuple[int, int]]:
    """The ranges of the image in which a batch lies: position and size of each."""
    position, size, head, tail = (
        int(vector[index]) for vector in (batches.position, batches.size, batches.head, batches.tail)
    )
    return [(position, size)] if tail < 0 else [(position, head), (tail, size - head)]
