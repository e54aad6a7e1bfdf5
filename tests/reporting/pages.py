"""A report's page read back from its file, as a browser would: the data blocks, the tables, what may run."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import cached_property
from html.parser import HTMLParser
from itertools import accumulate
from pathlib import Path
from typing import Any

Row = dict[str, Any]


class _Reader(HTMLParser):
    """Elements in order, and the text of those that hold scripts, styles and table cells."""

    def __init__(self) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[str, dict[str, str | None], str]] = []
        self.tables: dict[str, list[list[str]]] = {}
        self._table: list[list[str]] | None = None
        self._within = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        self._within = tag
        self.elements.append((tag, named))
        if tag == "table":
            self._table = self.tables.setdefault(named.get("id") or f"table-{len(self.tables)}", [])
        if self._table is not None and tag == "tr":
            self._table.append([])
        if self._table is not None and tag in ("td", "th") and self._table:
            self._table[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        self._within = ""
        if tag == "table":
            self._table = None

    def handle_data(self, data: str) -> None:
        if self._within in ("script", "style"):
            self.texts.append((*self.elements[-1], data))
        if self._table and self._table[-1]:
            self._table[-1][-1] += data


@dataclass(frozen=True)
class Shown:
    """A page. html: its text."""

    html: str
    _reader: _Reader = field(default_factory=_Reader)

    def __post_init__(self) -> None:
        self._reader.feed(self.html)

    @property
    def elements(self) -> list[tuple[str, dict[str, str | None]]]:
        return self._reader.elements

    @property
    def tables(self) -> dict[str, list[list[str]]]:
        return self._reader.tables

    @cached_property
    def scripts(self) -> list[str]:
        """Those that run."""
        return [text for tag, named, text in self._reader.texts if tag == "script" and "type" not in named]

    @cached_property
    def styles(self) -> list[str]:
        return [text for tag, _, text in self._reader.texts if tag == "style"]

    @cached_property
    def data(self) -> dict[str, Any]:
        """The data blocks by id."""
        return {
            str(named["id"]): json.loads(text)
            for tag, named, text in self._reader.texts
            if tag == "script" and named.get("type") == "application/json"
        }

    @property
    def page(self) -> Row:
        found: Row = self.data["page-data"]
        return found

    def word(self, number: int | None) -> str | None:
        return None if number is None else self.page["words"][number]

    @cached_property
    def groups(self) -> list[Row]:
        """The table of groups, with words."""
        columns = self.page["groups"]["columns"]
        rows = [dict(zip(columns, values, strict=True)) for values in self.page["groups"]["rows"]]
        for row in rows:
            row |= {name: self.word(row[name]) for name in ("group", "group_type", "state", "why")}
            row |= {name: [self.word(one) for one in row[name]] for name in ("clients", "hosts")}
            row["expires"] = None if row["expires"] is None else int(row["expires"])
        return rows

    def of(self, number: int) -> Row:
        """A group's data, with words, its numbers summed up."""
        found = dict(self.data[f"group-{number}"])
        marks = [dict(zip(self.page["mark_fields"], values, strict=True)) for values in found["marks"]]
        for row in marks:
            texts = ("topic", "kind", "cause", "owner", "no_owner_reason", "confidence")
            row |= {name: self.word(row[name]) for name in texts}
            row |= {name: None if row[name] is None else int(row[name]) for name in ("before", "after")}
            row["signals"] = [self.word(one) for one in row["signals"]]
        generations = [dict(zip(self.page["generation_fields"], one, strict=True)) for one in found["generations"]]
        for row in generations:
            row |= {name: self.word(row[name]) for name in ("state", "turned_from")}
            row |= {name: [self.word(one) for one in row[name]] for name in ("joined", "left")}
        lines = [
            (self.word(topic), partition, list(zip(*map(summed, points), strict=True)), lag, ends)
            for topic, partition, *points, lag, ends in found["lines"]
        ]
        members = [tuple(self.word(one) for one in member) for member in found["members"]]
        bars = [(self.word(topic), partition, members[at][0], *rest) for topic, partition, at, *rest in found["bars"]]
        return found | {"marks": marks, "generations": generations, "lines": lines, "bars": bars, "members": members}


def as_word(text: str) -> str:
    """A text as the page has it: cut where it is long."""
    return text if len(text) <= 300 else f"{text[:300]}… ({len(text):,} characters)"


def summed(values: list[Any]) -> list[int]:
    """Differences as what they are differences of; large numbers are there as text."""
    return [int(one) for one in values] if values and isinstance(values[0], str) else list(accumulate(values))


def read(path: Path) -> Shown:
    return Shown(path.read_text("utf-8"))
