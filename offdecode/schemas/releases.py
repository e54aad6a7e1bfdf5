"""What releases of Kafka make of the offsets topic's records when they load it: which they read, skip or refuse.

Up to 3.9 the old group coordinator loads it (kafka.coordinator.group.GroupMetadataManager), from 4.0 on the new one
(org.apache.kafka.coordinator.group.GroupCoordinatorRecordSerde). Either gives up on a partition at a record that it
refuses, and serves none of its groups. Since 3.4.1 (KIP-915) record types that are not known are skipped.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from offdecode.errors import UsageError
from offdecode.schemas.registry import RECORD_TYPES


class Loading(StrEnum):
    """What a release makes of a record, the worst first."""

    REFUSED = "refused"  # and with it the whole partition
    MISREAD = "misread"  # taken for another layout: wrong values, or refused
    SKIPPED = "skipped"  # with a warning; the record stays in the log
    IN_PART = "read_in_part"  # but for fields that it passes over
    READ = "read"


@dataclass(frozen=True, slots=True)
class Release:
    """From which release on this holds. highest: by key type the highest version of values that it reads.

    later_fields: tagged fields that later releases write, and this one passes over. shapes: by key type the layout that
    it reads where that is not today's.
    """

    since: tuple[int, int, int]
    highest: dict[int, int]
    skips_unknown_types: bool = True
    later_fields: frozenset[str] = frozenset()
    shapes: Mapping[int, str] = field(default_factory=dict)

    def loading(self, key_type: int | None, value_version: int | None, shape: str | None) -> tuple[Loading, str]:
        """What it makes of a record, and why. value_version: None for a tombstone. shape: an older layout's name."""
        if key_type is None:
            return Loading.REFUSED, "its key is too short"
        if key_type not in self.highest:
            loading = Loading.SKIPPED if self.skips_unknown_types else Loading.REFUSED
            return loading, f"it does not know key type {key_type}"
        if value_version is not None and not 0 <= value_version <= self.highest[key_type]:
            return Loading.REFUSED, f"value version {value_version}: it reads those up to {self.highest[key_type]}"
        if value_version is not None and shape != self.shapes.get(key_type):
            whose = "a later release" if shape is None else f"Kafka {shape}"
            return Loading.MISREAD, f"the value has the layout of {whose}, under a version that it knows"
        return Loading.READ, ""


    def ignored_columns(self, row_type: str) -> tuple[str, ...]:
        """The columns of a row type that it passes over, of records that it reads otherwise."""
        layouts = [
            layout for record in RECORD_TYPES if record.row_type == row_type and record.key_type in self.highest
            for layout in record.values
        ]  # fmt: skip
        fields = [one for layout in layouts for one in layout.fields if one.tag is not None]
        return tuple(dict.fromkeys(one.name for one in fields if one.name in self.later_fields))


_OLD = {0: 3, 1: 3, 2: 3}
_LATER_OLD = {0: 4, 1: 4, 2: 4}
_NEW_4_0 = {0: 4, 1: 4, 2: 4, **dict.fromkeys(range(3, 17), 0)}
_NEW_4_1 = {**{key: highest for key, highest in _NEW_4_0.items() if key != 9}, 0: 0}
_NEW_4_1 |= dict.fromkeys((17, 19, 20, 21, 22, 23), 0)
_SINCE_4_4 = frozenset({"stored_description_topology_epoch", "failed_description_topology_epoch"})
_SINCE_4_3 = _SINCE_4_4 | {"assignment_timestamp"}
_SINCE_4_2 = _SINCE_4_3 | {"validated_topology_epoch", "last_assignment_configs"}
_SINCE_4_1 = _SINCE_4_2 | {"metadata_hash", "topic_id"}

RELEASES = (
    Release((2, 8, 0), _OLD, skips_unknown_types=False),
    Release((3, 4, 1), _LATER_OLD, later_fields=_SINCE_4_1),
    Release((4, 0, 0), _NEW_4_0, later_fields=_SINCE_4_1, shapes={11: "4.0.0", 15: "4.0.0"}),
    Release((4, 1, 0), _NEW_4_1, later_fields=_SINCE_4_2),
    Release((4, 2, 0), _NEW_4_1, later_fields=_SINCE_4_3),
    Release((4, 3, 0), _NEW_4_1, later_fields=_SINCE_4_4),
    Release((4, 4, 0), _NEW_4_1),
)
_FIRST, _LAST = (2, 8), (4, 4)


def release(text: str) -> Release:
    """The release of a version as 3.9 or 3.4.1; without a third number its latest.

    Raises UsageError for what is no version, or one that is not known.
    """
    match = re.fullmatch(r"(\d{1,3})\.(\d{1,3})(?:\.(\d{1,3}))?", text)
    if match is None:
        raise UsageError(f"{text!r} is no release of Kafka: 3.9, 4.0.1")
    major, minor, patch = int(match[1]), int(match[2]), 999 if match[3] is None else int(match[3])
    if not _FIRST <= (major, minor) <= _LAST:
        raise UsageError(f"what Kafka {text} reads is not known: {_FIRST[0]}.{_FIRST[1]} to {_LAST[0]}.{_LAST[1]} are")
    return [one for one in RELEASES if one.since <= (major, minor, patch)][-1]
