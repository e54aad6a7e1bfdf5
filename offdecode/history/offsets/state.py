"""The rows of one log, up to a moment, to the state then: committed and pending offsets, and the groups."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from offdecode.filtering import key_mask, matches
from offdecode.history.groups.images import GroupImage
from offdecode.history.groups.replay import GroupReplay
from offdecode.history.offsets.commits import Commits
from offdecode.history.offsets.moment import AsOf, Cut
from offdecode.history.offsets.replay import OffsetReplay
from offdecode.history.offsets.rules import Coordinator
from offdecode.history.offsets.trust import group_reasons, log_reasons
from offdecode.history.topic_names import learn_topic_names
from offdecode.model import Coverage, DecodedChunk, Vector
from offdecode.options import ALL_ROWS, Filter
from offdecode.schemas.registry import RECORD_TYPES
from offdecode.schemas.rows import UNKNOWN_ROW, row_type
from offdecode.schemas.state_rows import COMMITTED_ROW, GROUP_ROW, PENDING_ROW

Row = dict[str, Any]

_GROUPS_A_CHUNK = 500
_KNOWN_KEY_TYPES = pa.array([record.key_type for record in RECORD_TYPES], pa.int32())


@dataclass(frozen=True, slots=True)
class Question:
    """What state is asked for. commits: offsets of these only, and groups that have any."""

    as_of: AsOf = field(default_factory=AsOf)
    coordinator: Coordinator = Coordinator.NEW
    commits: Filter = ALL_ROWS


class LogState:
    """Takes the chunks of one log in order. topic_names: {topic id: name}; those that the log tells are added."""

    def __init__(self, question: Question, topic_names: dict[str, str]) -> None:
        self._question = question
        self._names = topic_names
        self._cut = Cut(question.as_of)
        self._offsets = OffsetReplay()
        self._groups = GroupReplay(topic_names)
        self._undecoded: int | None = None

    def add(self, chunk: DecodedChunk) -> None:
        """Take the next chunk. It must hold the rows of all types for the wanted groups."""
        learn_topic_names(chunk, self._names)
        chunk = self._cut.cut(chunk)
        self._note_undecoded(chunk)
        self._offsets.add(chunk)
        for _ in self._groups.apply(chunk):
            pass  # generations are another question

    @property
    def latest(self) -> int | None:
        """The latest time of a record that was taken."""
        return self._cut.latest

    def _note_undecoded(self, chunk: DecodedChunk) -> None:
        found = [problem.log_offset for problem in chunk.problems]
        unknown = chunk.batches.get(UNKNOWN_ROW)
        if unknown is not None:
            known = pc.is_in(unknown.column("key_type"), value_set=_KNOWN_KEY_TYPES)
            found += unknown.column("log_offset").filter(known).to_pylist()
        for offset in found:
            if self._undecoded is None:
                self._undecoded = -1 if offset is None else offset

    def chunks(self, coverage: Coverage, now: int | None) -> Iterator[DecodedChunk]:
        """The rows of the state, group by group. now: the moment from which ages count, in milliseconds."""
        for _ in self._groups.finish():
            pass
        question = self._question
        committed = self._wanted(self._offsets.committed(question.coordinator))
        pending = self._wanted(self._offsets.waiting(question.coordinator))
        rows = self._group_rows(coverage, committed, pending)
        offsets = {
            COMMITTED_ROW: _offset_rows(COMMITTED_ROW, committed.rows),
            PENDING_ROW: _offset_rows(PENDING_ROW, _with_age(pending.rows, now)),
        }
        number = {row["group"]: index for index, row in enumerate(rows)}
        owners = {name: _owner(table.column("group"), number) for name, table in offsets.items()}
        for start in range(0, len(rows), _GROUPS_A_CHUNK):
            schema = row_type(GROUP_ROW).arrow_schema
            batches = {GROUP_ROW: pa.RecordBatch.from_pylist(rows[start : start + _GROUPS_A_CHUNK], schema=schema)}
            owner = [np.arange(start, start + len(batches[GROUP_ROW]))]
            for name, table in offsets.items():
                first, end = np.searchsorted(owners[name], (start, start + _GROUPS_A_CHUNK))
                if end > first:
                    batches[name] = table.slice(first, end - first).combine_chunks().to_batches()[0]
                    owner.append(owners[name][first:end])
            yield DecodedChunk(batches, np.argsort(np.concatenate(owner), kind="stable"))

    def _wanted(self, commits: Commits) -> Commits:
        """The offsets that are asked for, by group, topic and partition."""
        commits = commits.where(key_mask(self._question.commits, commits.rows))
        keys = [commits.rows.column("partition").to_numpy()]
        keys += [_rank(commits.rows.column(name)) for name in ("topic", "group")]
        return commits.take(np.lexsort(keys))

    def _group_rows(self, coverage: Coverage, committed: Commits, pending: Commits) -> list[Row]:
        question = self._question
        images = {image.group: image for image in self._groups.images()}
        held, waiting = (_counts(commits.rows.column("group")) for commits in (committed, pending))
        names = held.keys() | waiting.keys()
        differences = self._differences()
        names |= differences.keys()
        if question.commits == ALL_ROWS:
            names |= images.keys()
        if self._undecoded is not None:
            coverage = replace(coverage, undecoded=self._undecoded)
        general = list(log_reasons(coverage, question.as_of, self._cut))
        own = group_reasons(coverage, committed.rows, pending.rows)
        found = []
        for name in sorted(names):
            image = images.get(name)
            reasons = [*general, *own.get(name, ())]
            if image is not None and image.incomplete_reason is not None:
                reasons.append(image.incomplete_reason)
            found.append({
                **(_simple(name, coverage.log_partition) if image is None else _described(image)),
                "committed_offsets": held.get(name, 0),
                "pending_offsets": waiting.get(name, 0),
                "differences": differences.get(name),
                "complete": not reasons,
                "incomplete_reason": "; ".join(reasons) or None,
            })
        return found

    def _differences(self) -> dict[str, list[Row]]:
        found: dict[str, list[Row]] = defaultdict(list)
        for item in self._offsets.differences():
            if not matches(self._question.commits, topic=item.topic, partition=item.partition):
                continue
            offsets = {
                coordinator.name.lower(): None if row is None else row["offset"]
                for coordinator, row in item.committed.items()
            }
            found[item.group].append({"topic": item.topic, "partition": item.partition, **offsets})
        return found


def _simple(name: str, log_partition: int | None) -> Row:
    return {"type": GROUP_ROW, "group": name, "group_type": "simple", "state": "Empty", "log_partition": log_partition}


_SHOWN = {item.name for item in fields(GroupImage)} & set(row_type(GROUP_ROW).arrow_schema.names)


def _described(image: GroupImage) -> Row:
    shown = {name: getattr(image, name) for name in _SHOWN}
    classic = image.group_type == "classic"
    return {
        **shown,
        "type": GROUP_ROW,
        "generation": image.generation if classic else None,
        "epoch": None if classic else image.generation,
        "members": [asdict(member) for member in image.members],
    }


def _offset_rows(name: str, rows: pa.Table) -> pa.Table:
    schema = row_type(name).arrow_schema
    kind = pa.DictionaryArray.from_arrays(pa.array(np.zeros(len(rows), np.int32)), pa.array([name], pa.string()))
    return pa.table([kind if name == "type" else rows.column(name) for name in schema.names], schema=schema)


def _with_age(rows: pa.Table, now: int | None) -> pa.Table:
    written = rows.column("log_timestamp").cast(pa.int64())
    age = pa.nulls(len(rows), pa.int64())
    if now is not None:
        age = pc.subtract(pa.scalar(now, pa.int64()), written)
        fits = pc.equal(pc.greater_equal(age, 0), pc.greater_equal(now, written))  # else 64 bits were too few
        age = pc.if_else(fits, age, None)
    return rows.append_column("age_ms", age)


def _texts(column: pa.ChunkedArray) -> tuple[Vector, list[str]]:
    """The texts that a column has, and which of them each row has."""
    encoded = column.cast(pa.string()).combine_chunks().dictionary_encode()
    return encoded.indices.to_numpy(), encoded.dictionary.to_pylist()


def _counts(groups: pa.ChunkedArray) -> dict[str, int]:
    """How many rows each group has."""
    index, names = _texts(groups)
    return dict(zip(names, np.bincount(index, minlength=len(names)).tolist(), strict=True))


def _owner(groups: pa.ChunkedArray, number: Mapping[str, int]) -> Vector:
    """For each row the number of its group."""
    index, names = _texts(groups)
    return np.fromiter((number[name] for name in names), np.int64, len(names))[index]


def _rank(column: pa.ChunkedArray) -> Vector:
    """Numbers that sort as the texts do."""
    index, texts = _texts(column)
    rank = np.empty(len(texts), np.int64)
    rank[sorted(range(len(texts)), key=texts.__getitem__)] = np.arange(len(texts))
    return np.asarray(rank[index])
