"""One log's segments to its frames: read in order, judged, with the status of each batch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from offdecode.engines.sample import sample_looks_like_offsets
from offdecode.errors import SourceError
from offdecode.log.batches import Frames, iter_frames, read_frames
from offdecode.log.copies import merged_from
from offdecode.log.copy_readings import Copy
from offdecode.log.foreign import redpanda_header
from offdecode.log.holes import Cleaning, in_place
from offdecode.log.lineage import Epochs, Lineage, agrees
from offdecode.log.offset_map import End, Marks, OffsetMap
from offdecode.log.records import iter_records
from offdecode.log.repeats import Repeats
from offdecode.log.transactions import FramesFrom, Place, TransactionResolver
from offdecode.model import PADDING, Chunk, Problem, Vector
from offdecode.sources.checkpoints import broker_id
from offdecode.sources.locations import listed
from offdecode.sources.names import SEGMENT_NAME, named_offset
from offdecode.sources.segments import PartitionLog, Segment, open_segment, read_chunk
from offdecode.sources.unreadable import PatientReader, Unread

_NOTHING_IN_IT = "this does not look like an offsets log: there is no batch in it"
NOT_OFFSETS = "this does not look like an offsets log: its record keys are not those of consumer offsets or groups"


Copies = Sequence[PartitionLog]  # of one partition's log; most often one


def offset_map(copies: Copies) -> OffsetMap:
    """A map of a log's offsets in which nothing is entered yet. What any copy's broker knew holds for all."""
    marks = [log.checkpoints for log in copies]
    named = [log.segments[0].named_offset for log in copies]
    served = [log.checkpoints.high_watermark for log in copies if log.served]
    found = Marks(
        named_offset=None if None in named else _known(min, named),
        log_start=_known(min, (one.log_start for one in marks)),
        ends=tuple(End(log.segments[-1].named_offset, log.checkpoints.high_watermark) for log in copies),
        carved=all(log.carved for log in copies),
        to_the_end=all(map(_is_read_to_the_end, copies)),
    )
    cleaning = Cleaning(_known(max, (one.cleaner for one in marks)), _known(max, served) or 0)
    return OffsetMap(copies[0].log_partition, cleaning, found)


def _is_read_to_the_end(log: PartitionLog) -> bool:
    """Whether its directory has no later segment."""
    last = log.segments[-1].named_offset
    names = (name for name in listed(log.directory) if SEGMENT_NAME.fullmatch(name))
    return last is None or all((named_offset(name) or 0) <= last for name in names)


def _known(choose: Callable[[Iterable[int]], int], values: Iterable[int | None]) -> int | None:
    known = [value for value in values if value is not None]
    return choose(known) if known else None


def iter_log(copies: Copies, offsets: OffsetMap, chunk_bytes: int) -> Iterator[tuple[Frames, Vector]]:
    """The frames of a log in order, with all problems that show before decoding, and the status of each batch.

    They are entered in the map of the log's offsets. Of several copies each batch comes once. Raises SourceError where
    the log is not one of the offsets topic.
    """
    for log in copies:
        _refuse_foreign(log)
    place = copies[0].segments[0].name
    judged: bool | None = None
    batches = lost = 0
    unread = False
    repeats = Repeats()
    for frames, status in TransactionResolver(_frames_of(copies, chunk_bytes), offsets.cleaning):
        lost += sum(problem.kind in ("garbage_tail", "damaged_bytes") for problem in frames.problems)
        unread |= any(problem.kind == "unreadable" for problem in frames.problems)
        batches += len(frames)
        if judged is None:
            judged = looks_like_offsets(frames, place)
        found = sorted((*repeats.add(frames), *offsets.add(frames, status)), key=lambda one: one.position or 0)
        problems, branch, whole = (*frames.problems, *found), frames.lost, frames.whole
        if whole is not None and whole.origin is not None:
            frames, status = whole, status[whole.origin.component]
        yield replace(frames, problems=problems, lost=branch), status
    if lost and not batches and not unread:
        raise SourceError(place, _NOTHING_IN_IT)
    if late := offsets.finish():
        none = _no_frames(copies[0].segments[-1], copies[0].log_partition)
        yield replace(none, problems=late), np.empty(0, np.int64)


def _frames_of(copies: Copies, chunk_bytes: int) -> FramesFrom:
    streams = [partial(frames_from, log, chunk_bytes) for log in copies]
    if len(copies) == 1:
        return streams[0]
    ends = [_end_of(log, chunk_bytes) for log in copies]
    found = [
        Copy(
            log.directory.text, stream, end=end, cleaner=_cleaned_to(log),
            broker=broker_id(log.directory.parent), start=log.segments[0].named_offset,
        )
        for log, stream, (_, end) in zip(copies, streams, ends, strict=True)
    ]  # fmt: skip
    notes = [_note_of(log, *end) for log, end in zip(copies, ends, strict=True)]
    latest = [max(epoch, note[-1][0] if note else -1) for note, (epoch, _) in zip(notes, ends, strict=True)]
    stood = max(range(len(copies)), key=lambda at: (latest[at], ends[at][1], -at))
    # An epoch has one leader: copies that came to the last one have one history, as far as they go.
    lineage = Lineage(note for note, epoch in zip(notes, latest, strict=True) if epoch == latest[stood])
    return partial(merged_from, found, stood, lineage)


def _note_of(log: PartitionLog, epoch: int, offset: int) -> Epochs:
    """What is noted of a log's leader epochs, unless its last batch shows that this is not of it, or older than it."""
    note = log.leader_epochs
    return note if agrees(note, epoch, offset) else ()


def _cleaned_to(log: PartitionLog) -> int:
    """The offset before which the log lacks nothing but what the log cleaner has removed."""
    return max(log.checkpoints.cleaner or 0, (log.checkpoints.high_watermark or 0) if log.served else 0)


def _end_of(log: PartitionLog, chunk_bytes: int) -> tuple[int, int]:
    """The leader epoch and the offset of a log's last batch; -1 where it has none."""
    for index in range(len(log.segments) - 1, -1, -1):
        last = replace(log, segments=log.segments[index : index + 1])
        ends = (-1, -1)
        for _, frames in frames_from(last, chunk_bytes, Place(0, 0)):
            good = in_place(frames, np.flatnonzero(frames.crc_valid))
            if len(good):
                ends = (int(frames.leader_epoch[good[-1]]), int(frames.last_offset[good[-1]]))
        if ends != (-1, -1):
            return ends
    return -1, -1


def looks_like_offsets(frames: Frames, source: str) -> bool | None:
    """Whether the first records are those of an offsets topic; None where there are none. SourceError if not."""
    judged = sample_looks_like_offsets(next(iter_records(frames, frames.crc_valid)))
    if judged is False:
        raise SourceError(source, NOT_OFFSETS)
    return judged


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
                    if log.carved and index and not frames.chunk.position and 0 not in frames.breaks:
                        frames = replace(frames, breaks=(0, *frames.breaks))
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
