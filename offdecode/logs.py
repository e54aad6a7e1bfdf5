"""One log's segments to its frames: read in order, judged, with the status of each batch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import numpy as np

from offdecode.engines.reference_rows import sample_looks_like_offsets
from offdecode.errors import SourceError
from offdecode.log.batches import Frames, iter_frames, read_frames
from offdecode.log.foreign import redpanda_header
from offdecode.log.holes import Cleaning
from offdecode.log.offset_map import OffsetMap
from offdecode.log.records import iter_records
from offdecode.log.repeats import Repeats
from offdecode.log.transactions import Place, TransactionResolver
from offdecode.model import PADDING, Chunk, Problem, Vector
from offdecode.sources.segments import PartitionLog, Segment, open_segment, read_chunk
from offdecode.sources.unreadable import PatientReader, Unread

_NOTHING_IN_IT = "this does not look like an offsets log: there is no batch in it"
NOT_OFFSETS = "this does not look like an offsets log: its record keys are not those of consumer offsets or groups"


def offset_map(log: PartitionLog) -> OffsetMap:
    """A map of the log's offsets in which nothing is entered yet."""
    marks = log.checkpoints
    return OffsetMap(
        log.log_partition, Cleaning(marks.cleaner), named_offset=log.segments[0].named_offset,
        log_start=marks.log_start, high_watermark=marks.high_watermark,
    )  # fmt: skip


def iter_log(log: PartitionLog, offsets: OffsetMap, chunk_bytes: int) -> Iterator[tuple[Frames, Vector]]:
    """The frames of a log in order, with all problems that show before decoding, and the status of each batch.

    They are entered in the map of the log's offsets. Raises SourceError where the log is not one of the offsets topic.
    """
    _refuse_foreign(log)
    judged: bool | None = None
    batches = lost = 0
    unread = False
    repeats = Repeats()
    from_place = partial(frames_from, log, chunk_bytes)
    for frames, status in TransactionResolver(from_place, offsets.cleaning):
        lost += sum(problem.kind in ("garbage_tail", "damaged_bytes") for problem in frames.problems)
        unread |= any(problem.kind == "unreadable" for problem in frames.problems)
        batches += len(frames)
        if judged is None:
            judged = looks_like_offsets(frames, _place(log))
        found = sorted((*repeats.add(frames), *offsets.add(frames, status)), key=lambda one: one.position or 0)
        yield replace(frames, problems=(*frames.problems, *found)), status
    if lost and not batches and not unread:
        raise SourceError(_place(log), _NOTHING_IN_IT)
    if late := offsets.finish():
        yield replace(_no_frames(log.segments[-1], log.log_partition), problems=late), np.empty(0, np.int64)


def looks_like_offsets(frames: Frames, source: str) -> bool | None:
    """Whether the first records are those of an offsets topic; None where there are none. SourceError if not."""
    judged = sample_looks_like_offsets(next(iter_records(frames, frames.crc_valid)))
    if judged is False:
        raise SourceError(source, NOT_OFFSETS)
    return judged


def _place(log: PartitionLog) -> str:
    return log.segments[0].name


def _refuse_foreign(log: PartitionLog) -> None:
    for segment in log.segments:
        try:
            with open_segment(segment) as reader:
                head = reader.read(0, 61)
        except OSError:
            continue  # reported where it is read
        if redpanda_header(head):
            raise SourceError(
                segment.name, "this is a Redpanda segment, whose batches differ from Kafka's; offdecode reads Kafka's"
            )


def frames_from(log: PartitionLog, chunk_bytes: int, place: Place) -> Iterator[tuple[Place, Frames]]:
    """The frames of a log from a place on, chunk by chunk, with the place behind each."""
    position = place.position
    for index in range(place.segment, len(log.segments)):
        segment = log.segments[index]
        try:
            with open_segment(segment) as reader:
                patient = PatientReader(reader, segment.size)
                read = partial(read_chunk, patient, segment, log.log_partition)
                for frames in iter_frames(read, chunk_bytes, position):
                    last = frames.chunk.final
                    unread = patient.found_before(segment.size if last else frames.next_position)
                    problems = [_unread(segment, log.log_partition, one) for one in unread]
                    if last and (changed := reader.changed(segment.size)) is not None:
                        problems.append(Problem("changed_while_read", segment.name, changed, log.log_partition))
                    if problems:
                        frames = replace(frames, problems=(*problems, *frames.problems))
                    yield (Place(index + 1, 0) if last else Place(index, frames.next_position)), frames
        except OSError as error:
            yield Place(index + 1, 0), _unreadable(segment, log.log_partition, error)
        position = 0


def _unread(segment: Segment, log_partition: int | None, bad: Unread) -> Problem:
    length = bad.end - bad.start
    message = f"{length} bytes cannot be read: {bad.reason}"
    return Problem("unreadable", segment.name, message, log_partition, bad.start, length)


def _unreadable(segment: Segment, log_partition: int | None, error: OSError) -> Frames:
    """No frames, and the problem that says why: bytes are missing here."""
    problem = Problem("unreadable", segment.name, f"cannot be read: {error.strerror}", log_partition)
    return replace(_no_frames(segment, log_partition), problems=(problem,), breaks=(0,))


def _no_frames(segment: Segment, log_partition: int | None) -> Frames:
    empty = Chunk(segment.name, log_partition, 0, np.zeros(PADDING, np.uint8), 0, 0)
    return read_frames(empty)
