"""What of all that was found goes onto the page: as much as a reader can look at, and a browser can hold."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice

import numpy as np
import pyarrow as pa

from offdecode.filtering import key_mask
from offdecode.history.overview import notability
from offdecode.model import Vector, arrow, rows_of
from offdecode.options import Filter
from offdecode.questions.beside import Beside
from offdecode.reporting.log_walk import LogWalk
from offdecode.reporting.marks import LOG, Marks
from offdecode.reporting.points import POINT, Points
from offdecode.reporting.seen import NUMBER, Group, Line
from offdecode.reporting.stories import MOST_GROUPS, Stories, fair

_MOST_LINES = 12_000
_MOST_POINTS = 150_000
_MOST_HIDDEN = 12_000  # partitions of which bars are left out
_MOST_ENDS = 6000
_ENDS_OF_A_LINE = 48


def chosen_groups(tables: Iterable[pa.Table], wanted: Filter) -> tuple[list[Group], int]:
    """Of the groups that are wanted those with the most kinds of notable things, then those that commit most.

    And how many there are in all.
    """
    best, count = None, 0
    for table in tables:
        own = table.filter(arrow(key_mask(wanted, table)))
        if len(own):
            count += len(own)
            both = own if best is None else pa.concat_tables([best, own]).unify_dictionaries()
            best = _most_notable(both).combine_chunks()
    if best is None:
        return [], 0
    groups = (row for batch in best.to_batches() for row in rows_of(batch, batch.schema.names))
    return [Group(row, row.pop(LOG), row.pop(NUMBER)) for row in groups], count


def _most_notable(table: pa.Table) -> pa.Table:
    kinds, times = notability(table)
    order = np.lexsort((-np.asarray(table.column("commits")), -times, -kinds))
    return table.take(arrow(order[:MOST_GROUPS]))


def add_marks(groups: Sequence[Group], marks: Marks) -> None:
    """The marks of the groups that are chosen."""
    by_name = {(group.log, group.row["group"]): group for group in groups}
    for batch in marks.table().combine_chunks().to_batches():
        for row in rows_of(batch, batch.schema.names):
            group = by_name.get((row.pop(LOG), row["group"]))
            if group is not None:
                group.marks.append(row)


def add_stories(groups: Sequence[Group], logs: Sequence[LogWalk], stories: Stories, names: Mapping[str, str]) -> None:
    """Their generations, and who held what. names: of topics by id; any log may have told them."""
    for group in groups:
        group.story = logs[group.log].membership.story(group.row["group"])
    stories.choose([group.story for group in groups])
    hidden = [group.story.hidden() for group in groups]
    most = fair(list(map(len, hidden)), _MOST_HIDDEN)
    for group, own in zip(groups, hidden, strict=True):
        group.hidden_bars = sum(one.count for one in own.values())
        group.hidden = [(names.get(topic, topic), at, one) for (topic, at), one in islice(own.items(), most)]
        group.bars = [
            (names.get(bar.topic, bar.topic), at, bar) for bar in group.story.bars for at in sorted(bar.partitions)
        ]


def add_lines(groups: Sequence[Group], logs: Sequence[LogWalk], points: Points, beside: Beside) -> None:
    """Their offsets over time, those of marked partitions first, and what lies beside them."""
    keys = [_keys_shown(group, logs[group.log]) for group in groups]
    most = fair([len(own) for own in keys], _MOST_LINES)
    for at, group in enumerate(groups):
        group.hidden_lines = max(len(keys[at]) - most, 0)
        keys[at], names = _marked_first(group, keys[at], logs[group.log], most)
        group.lines = [Line(topic, partition, np.empty(0, POINT)) for topic, partition in names]
    sought = np.concatenate(
        [np.empty(0, np.int64), *(logs[group.log].among_all(own) for group, own in zip(groups, keys, strict=True))]
    )
    found = points.of(sought, _MOST_POINTS)
    starts, ends = (np.searchsorted(found["key"], sought, side).tolist() for side in ("left", "right"))
    lines = (line for group in groups for line in group.lines)
    for line, start, end in zip(lines, starts, ends, strict=True):
        line.points = found[start:end]
    if beside.anything:
        _add_lags(groups, keys, logs, beside)


def _keys_shown(group: Group, log: LogWalk) -> Vector:
    """A group's keys that have an offset or a mark: others are of partitions that members only held."""
    keys = log.keys_of(group.number)
    shown = log.had_offset[keys].copy()
    marked = {(row["topic"], row["partition"]) for row in group.marks}
    if marked and not shown.all():
        shown[~shown] = [name in marked for name in log.names_of(keys[~shown])]
    return keys[shown]


def _marked_first(group: Group, keys: Vector, log: LogWalk, most: int) -> tuple[Vector, list[tuple[str, int]]]:
    """So many of a group's keys, and what they are: those with most marks first, then by topic and partition."""
    marks = Counter((row["topic"], row["partition"]) for row in group.marks)
    if not marks:
        keys = keys[:most]
    names = log.names_of(keys)
    order = sorted(range(len(names)), key=lambda at: (-marks[names[at]], names[at]))[:most]
    return keys[order], [names[at] for at in order]


def _add_lags(groups: Sequence[Group], keys: Sequence[Vector], logs: Sequence[LogWalk], beside: Beside) -> None:
    """Lag where the log ends, and where the users' partitions ended in the meantime."""
    left = _MOST_ENDS
    known: dict[tuple[str, int], list[tuple[int, int, int]]] = {}
    for group, own in zip(groups, keys, strict=True):
        for line, committed in zip(group.lines, logs[group.log].committed(own), strict=True):
            if committed is not None:
                (line.lag,) = beside.rows([committed], None, timed=False)
            place = line.topic, line.partition
            if place not in known and left > 0 and len(line.points):
                times = line.points["time"]
                moments = np.linspace(times.min(), times.max(), _ENDS_OF_A_LINE).astype(np.int64)
                known[place] = beside.ends(*place, sorted(set(moments.tolist())))
                left -= len(known[place])
            line.ends = known.get(place, [])
