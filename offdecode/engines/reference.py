"""The reference engine: a record's bytes become one row's values, by the construct parser of a Layout.

Slow and exact: it reads every record type, names the position and field path of every error, and is the
judge of what the column engine may accept.
"""

from __future__ import annotations

from typing import Any

from offdecode.errors import CorruptError, UnknownVersionError
from offdecode.schemas.layout import Layout, RecordType

Values = dict[str, Any]


def read_layout(layout: Layout, version: int, data: bytes, position: int = 0, path: str = "") -> Values:
    """Read `data` from `position` to its last byte as `layout` at `version`.

    Gives {field name: value}; fields that the version does not have are left out, an absent tagged field
    too. Tagged fields that no table declares stand under UNKNOWN_TAGGED_FIELDS as (tag, bytes).
    Raises UnknownVersionError or a CorruptError whose position counts from the start of `data`.
    """
    known = layout.layout_version(version)
    if known is None:
        raise UnknownVersionError(layout.name, version)
    # Few runs come here, and construct takes as long to import as the column engine.
    from offdecode.engines.reference_blocks import parse

    return parse(layout, known, data, position, path)


def read_value(
    record: RecordType, version: int, data: bytes, position: int = 0, path: str = ""
) -> tuple[Layout, Values]:
    """Read a record's value by the first of its layouts that fits to the last byte; the layout says which it was.

    An older shape is taken only without tagged fields that its table does not declare: the brokers that wrote
    it had none. Raises UnknownVersionError, or the newest layout's CorruptError where no layout fits.
    """
    errors: list[CorruptError] = []
    for layout in record.values:
        if layout.layout_version(version) is None:
            continue
        try:
            return layout, read_layout(layout, version, data, position, path)
        except CorruptError as error:
            errors.append(error)
    if errors:
        raise errors[0]
    raise UnknownVersionError(record.name, version)
