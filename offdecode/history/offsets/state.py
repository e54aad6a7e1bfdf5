"""The rows of one log, up to a moment, to the state then: committed and pending offsets, and the groups."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field, fields, replace
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from offdecode.filtering import key_mask, matches
from offdecode.history.groups.generations import assignment_rows
from offdecode.history.groups.images import Assigned, GroupEvent, GroupImage, Member
from offdecode.history.groups.replay import GroupReplay
from offdecode.history.offsets.commits import Commits, WithTexts
from offdecode.history.offsets.keys import KeyCodes
from offdecode.history.offsets.moment import AsOf, Cut
from offdecode.history.offsets.replay import OffsetReplay
from offdecode.history.offsets.rules import Coordinator
from offdecode.history.offsets.state_chunks import DescribedGroups, iter_state
from offdecode.history.offsets.trust import group_reasons, log_reasons
from offdecode.history.topic_names import TopicNames, learn_topic_names
from offdecode.model import Coverage, DecodedChunk, arrow
from offdecode.options import ALL_ROWS, Filter
from offdecode.schemas.registry import RECORD_TYPES
from offdecode.schemas.rows import UNKNOWN_ROW, row_type
from offdecode.schemas.state_rows import GROUP_ROW

Row = dict[str, Any]

_UNDECODED = ("undecodable_record", "bad_export_line")  # records that cannot be read are missing from the coverage
_KNOWN_KEY_TYPES = pa.array([record.key_type for record in RECORD_TYPES], pa.int32())


@dataclass(frozen=True, slots=True)
class Question:
    """What state is asked for. commits: offsets of these only, and groups that have any."""

    as_of: AsOf = field(default_factory=AsOf)
    coordinator: Coordinator = Coordinator.NEW
    commits: Filter = ALL_ROWS


class LogState:
    """Takes the chunks of one log in order. topic_names: {topic id: name}; those that the log tells are added."""

    def __init__(self, question: Question, topic_names: TopicNames) -> None:
        self._question = question
        self._names = topic_names
        self._cut = Cut(question.as_of)
        self._offsets = OffsetReplay()
        self._groups = GroupReplay(_ignore, topic_names, tells=False, holds=False)
        self._undecoded: int | None = None

    def add(self, chunk: DecodedChunk) -> None:
        """Take the next chunk. It must hold the rows of all types for the wanted groups."""
        learn_topic_names(chunk, self._names)
        chunk = self._cut.cut(chunk)
        self._note_undecoded(chunk)
        self._offsets.add(chunk)
        self._groups.apply(chunk)

    @property
    def latest(self) -> int | None:
        """The latest time of a record that was taken."""
        return self._cut.latest

    def _note_undecoded(self, chunk: DecodedChunk) -> None:
        found = [problem.log_offset for problem in chunk.problems if problem.kind in _UNDECODED]
        unknown = chunk.batches.get(UNKNOWN_ROW)
        if unknown is not None:
            known = pc.is_in(unknown.column("key_type"), value_set=_KNOWN_KEY_TYPES)
            found += unknown.column("log_offset").filter(known).to_pylist()
        for offset in found:
            if self._undecoded is None:
                self._undecoded = -1 if offset is None else offset

    def chunks(self, coverage: Coverage, now: int | None) -> Iterator[DecodedChunk]:
        """The rows of the state, group by group. now: the moment from which ages count, in milliseconds."""
        self._groups.finish()
        question = self._question
        committed = self._wanted(self._offsets.committed(question.coordinator))
        pending = self._wanted(self._offsets.waiting(question.coordinator))
        described = self._described_groups(coverage, committed, pending)
        yield from iter_state(committed, pending, described, self._offsets.codes, now)

    def _wanted(self, commits: Commits) -> Commits:
        """The offsets that are asked for."""
        number = commits.rows.column("topic").combine_chunks()
        topic = pa.DictionaryArray.from_arrays(number, self._offsets.codes.names.all())
        keys = pa.table({"topic": topic, "partition": commits.rows.column("partition")})
        return commits.where(key_mask(self._question.commits, keys))

    def _described_groups(self, coverage: Coverage, committed: Commits, pending: Commits) -> DescribedGroups:
        question, codes = self._question, self._offsets.codes
        if self._undecoded is not None:
            coverage = replace(coverage, undecoded=self._undecoded)
        general = list(log_reasons(coverage, question.as_of, self._cut))
        texts = WithTexts(codes)
        outlived = committed.rows.select(["key_type", "group"]).filter(pc.field("key_type") == 0)
        own = group_reasons(coverage, texts.rows(outlived), texts.rows(_producers(pending, codes)))
        images = {image.group: image for image in self._groups.images()}
        differences = self._differences()
        shown = set(differences)
        if question.commits == ALL_ROWS:
            shown |= images.keys()
        simple = {**_simple(coverage.log_partition), **_trust(general)}
        rows: dict[int, Row] = {}
        names = list(images.keys() | differences.keys() | own.keys())
        for number, name in zip(codes.names.numbers(pa.array(names, pa.string())).tolist(), names, strict=True):
            image = images.get(name)
            reasons = [*general, *own.get(name, ())]
            if image is not None and image.incomplete_reason is not None:
                reasons.append(image.incomplete_reason)
            rows[number] = {
                **(simple if image is None else _described(image)),
                "group": name,
                "differences": differences.get(name),
                **_trust(reasons),
            }
        return DescribedGroups(simple, rows, codes.names.numbers(pa.array(list(shown), pa.string())))

    def _differences(self) -> dict[str, list[Row]]:
        """By group, in the order of topics and partitions."""
        found: dict[str, list[Row]] = defaultdict(list)
        for item in sorted(self._offsets.differences(), key=lambda item: (item.topic, item.partition)):
            if not matches(self._question.commits, topic=item.topic, partition=item.partition):
                continue
            offsets = {
                coordinator.name.lower(): None if row is None else row["offset"]
                for coordinator, row in item.committed.items()
            }
            found[item.group].append({"topic": item.topic, "partition": item.partition, **offsets})
        return found


def _simple(log_partition: int | None) -> Row:
    return {"type": GROUP_ROW, "group_type": "simple", "state": "Empty", "log_partition": log_partition}


def _trust(reasons: list[str]) -> Row:
    return {"complete": not reasons, "incomplete_reason": "; ".join(reasons) or None}


_SHOWN = {item.name for item in fields(GroupImage)} & set(row_type(GROUP_ROW).arrow_schema.names)
_SHOWN_OF_MEMBER = Member._fields


def _described(image: GroupImage) -> Row:
    shown = {name: getattr(image, name) for name in _SHOWN}
    classic = image.group_type == "classic"
    return {
        **shown,
        "type": GROUP_ROW,
        "generation": image.generation if classic else None,
        "epoch": None if classic else image.generation,
        "members": [_shown(member) for member in image.members],
    }


def _shown(member: Member) -> Row:
    values = {name: getattr(member, name) for name in _SHOWN_OF_MEMBER}
    for name, value in values.items():
        if isinstance(value, tuple) and value and isinstance(value[0], Assigned):
            values[name] = assignment_rows(value)
    return values


def _producers(pending: Commits, codes: KeyCodes) -> pa.Table:
    """Each group's transactions and producers, once, in the order of the pending offsets."""
    rows = pending.rows.select(["group", "transaction", "producer_id"])
    if not len(rows):
        return rows
    rows = rows.take(arrow(codes.order(pending.key, codes.names.rank())))
    return rows.group_by(rows.schema.names, use_threads=False).aggregate([])


def _ignore(event: GroupEvent) -> None:
    """The state is what there is in the end."""
