"""What a report has found to one HTML file: nothing is loaded from elsewhere, and no text of the log becomes markup."""

from __future__ import annotations

import base64
import hashlib
import time
from collections.abc import Iterator, Sequence
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np
import orjson
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from offdecode import __version__
from offdecode.model import LARGEST_INT64, Vector
from offdecode.options import GROUPS, TIMES
from offdecode.reporting.evidence import evidence_parts
from offdecode.reporting.method import ask, commands, method_lines
from offdecode.reporting.seen import Group, Line, Row, Seen
from offdecode.sinks.text.lines import printable
from offdecode.sinks.text.words import time_words

ECHARTS_VERSION = "6.1.0"
_SCRIPTS = ("words.js", "charts.js", "overview.js", "groups.js", "group.js", "main.js")
_LONGEST_WORD, _SHORT_WORD = 300, 40
_MOST_LETTERS = 1 << 21  # of all words; longer ones are cut short then
_LARGEST_SAFE = (1 << 53) - 1  # of JavaScript's numbers
_MOST_SPANS = 300
_PIECES_AT_ONCE = 64

_GROUP_COLUMNS = (
    "group", "group_type", "state", "log", "log_partition", "members", "most_members", "clients", "hosts", "topics",
    "partitions", "offsets", "first_commit", "last_commit", "last_record", "commits", "generations",
    "most_generations_an_hour", "rewinds", "reset_likes", "jumps", "deleted", "without_effect", "expires", "complete",
    "why",
)  # fmt: skip
_MARK_FIELDS = (
    "topic", "partition", "kind", "cause", "before", "after", "commits", "log_offset", "log_timestamp",
    "last_log_offset", "decided_log_timestamp", "generation", "owner", "no_owner_reason", "signals", "confidence",
)  # fmt: skip
_GENERATION_FIELDS = (
    "generation", "log_offset", "log_timestamp", "state", "members", "joined", "joined_count", "left", "left_count",
    "replaced_count", "changed_count", "gained", "turned_from", "since_previous_ms", "missing_before",
)  # fmt: skip


class _Words:
    """Texts of the log, each once in the page, by number. cut: those that are too long to be there whole."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.cut: list[int] = []
        self._numbers: dict[str, int] = {}
        self._letters = 0

    def __call__(self, text: str | None) -> int | None:
        if text is None:
            return None
        known = self._numbers.get(text)
        if known is None:
            known = self._numbers[text] = len(self.texts)
            most = _LONGEST_WORD if self._letters < _MOST_LETTERS else _SHORT_WORD
            if len(text) > most:
                self.cut.append(known)
                text = f"{text[:most]}… ({len(text):,} characters)"
            self._letters += len(text)
            self.texts.append(text)
        return known


def chunks(seen: Seen) -> Iterator[bytes]:
    """The page as UTF-8, in pieces."""
    words = _Words()
    style = _asset("page.css")
    echarts = _asset("echarts.min.js")
    script = f'"use strict";\n{"".join(map(_asset, _SCRIPTS))}'
    first, last = _reach(seen)
    template = _templates().get_template("page.html.j2")
    pieces = template.stream(
        **evidence_parts(seen),
        title=printable(seen.title or ", ".join(map(str, seen.request.source.paths))),
        version=__version__,
        written=round(time.time() * 1000),
        echarts=ECHARTS_VERSION,
        commands=commands(seen),
        method=method_lines(seen),
        command=f"{ask(seen, 'report')} -o report.html",
        style=Markup(style),
        style_hash=_hash(style),
        echarts_script=Markup(echarts),
        script=Markup(script),
        script_hashes=Markup(" ".join(f"'{_hash(one)}'" for one in (echarts, script))),
        group_data=(_json(_group_data(group, words)) for group in seen.groups),
        page_data=lambda: _json(_page_data(seen, words, first, last)),
        moment=time_words,
        name=printable,
        count="{:,}".format,
    )
    pieces.enable_buffering(_PIECES_AT_ONCE)
    for piece in pieces:
        yield piece.encode("utf-8", "backslashreplace")


@cache
def _templates() -> Environment:
    return Environment(
        loader=PackageLoader("offdecode.reporting", "assets"), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip


def _asset(name: str) -> str:
    return files("offdecode.reporting").joinpath("assets", name).read_text("utf-8")


def _hash(text: str) -> str:
    """As a Content-Security-Policy names what may run."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _json(value: Any) -> Markup:
    """JSON that is inert within an element: no text in it can end the element, or begin a comment."""
    text = orjson.dumps(value).decode()
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)


def _reach(seen: Seen) -> tuple[int | None, int | None]:
    """The first and the last time that a picture shows."""
    times = [seen.bars.starts]
    for group in seen.groups:
        times += [line.points["time"][[0, -1]] for line in group.lines if len(line.points)]
        marked = [row[name] for row in group.marks for name in ("log_timestamp", "decided_log_timestamp")]
        held = [time for bar in group.story.bars for time in (bar.first, bar.last)]
        told = [row["log_timestamp"] for row in group.story.generations]
        times.append(np.array([time for time in (*marked, *held, *told) if time is not None], np.int64))
    every = np.concatenate(times)
    return (int(every.min()), max(int(every.max()), int(every.min()) + 1)) if len(every) else (None, None)


def _page_data(seen: Seen, words: _Words, first: int | None, last: int | None) -> Row:
    rows = [_group_row(group, words) for group in seen.groups]
    return {
        "from": first,
        "to": last,
        "words": words.texts,
        "cut": words.cut,
        "explain": ask(seen, "explain", (*GROUPS, "since")),
        "decode": ask(seen, "decode", (*GROUPS, *TIMES)),
        "groups": {"columns": _GROUP_COLUMNS, "rows": rows},
        "mark_fields": _MARK_FIELDS,
        "generation_fields": _GENERATION_FIELDS,
        "logs": [
            {
                "spans": [
                    [span.state, span.first_offset, span.last_offset, span.first_timestamp, span.last_timestamp]
                    for span in log.spans[:_MOST_SPANS]
                ]
            }
            for log in seen.logs
        ],
        "bars": {
            "width": seen.bars.width_ms,
            "starts": _differences(seen.bars.starts),
            "counts": {name: counts.tolist() for name, counts in seen.bars.counts.items()},
        },
        "sparse": {name: [kind.count, kind.one_in] for name, kind in seen.marks.items() if kind.one_in > 1},
        "resolution_ms": seen.resolution_ms,
    }


def _group_row(group: Group, words: _Words) -> list[Any]:
    row = group.row | {
        "log": group.log,
        "deleted": sum(group.row["tombstones"].values()),
        "without_effect": group.row["aborted"] + group.row["pending"] + group.row["overtaken"],
        "clients": [words(one) for one in group.row["clients"]],
        "hosts": [words(one) for one in group.row["hosts"]],
    }
    for name in ("group", "group_type", "state", "why"):
        row[name] = words(row[name])
    return [_safe(row[name]) for name in _GROUP_COLUMNS]


def _group_data(group: Group, words: _Words) -> Row:
    members: dict[tuple[str | None, ...], int] = {}
    bars = []
    for topic, partition, bar in sorted(group.bars, key=lambda one: one[2].first):
        member = bar.member
        identity = member.member_id, member.instance_id, member.client_id, member.client_host
        number = members.setdefault(identity, len(members))
        bars.append([words(topic), partition, number, bar.first, bar.last, bar.log_offset, bar.generation])
    return {
        "lines": [_line(line, words) for line in group.lines],
        "hidden_lines": group.hidden_lines,
        "marks": [_mark(row, words) for row in group.marks],
        "generations": [_generation(row, words) for row in group.story.generations],
        "generation_count": group.story.count,
        "one_in": group.story.one_in,
        "members": [[words(text) for text in identity] for identity in members],
        "bars": bars,
        "hidden_bars": group.hidden_bars,
        "hidden": [
            [words(topic), partition, hidden.first, None if hidden.last == LARGEST_INT64 else hidden.last, hidden.count]
            for topic, partition, hidden in group.hidden
        ],
    }


def _line(line: Line, words: _Words) -> list[Any]:
    lag = line.lag
    return [
        words(line.topic),
        line.partition,
        *(_differences(line.points[name]) for name in ("time", "offset", "log_offset")),
        None if lag is None else {
            "lag": _safe(lag.get("lag")), "lag_most": _safe(lag.get("lag_most")),
            "signals": [words(signal) for signal in lag["signals"]],
        },
        [[moment, _safe(least), _safe(most)] for moment, least, most in line.ends],
    ]  # fmt: skip


def _mark(row: Row, words: _Words) -> list[Any]:
    owner = row["owner"]
    shown = row | {"owner": None if owner is None else owner["member_id"]}
    shown["signals"] = [words(signal) for signal in row["signals"]]
    for name in ("topic", "kind", "cause", "owner", "no_owner_reason", "confidence"):
        shown[name] = words(shown[name])
    return [_safe(shown[name]) for name in _MARK_FIELDS]


def _generation(row: Row, words: _Words) -> list[Any]:
    shown = row | {name: words(row[name]) for name in ("state", "turned_from")}
    shown |= {name: [words(one) for one in row[name]] for name in ("joined", "left")}
    return [_safe(shown[name]) for name in _GENERATION_FIELDS]


def _safe(value: Any) -> Any:
    """Whole numbers beyond what JavaScript can hold as text."""
    return str(value) if isinstance(value, int) and abs(value) > _LARGEST_SAFE else value


def _differences(values: Vector) -> Sequence[int | str]:
    """The first value, then how much each is more than the one before; where numbers are large, all as text."""
    if not len(values):
        return []
    if max(abs(int(values.min())), abs(int(values.max()))) > _LARGEST_SAFE >> 1:
        return [str(value) for value in values.tolist()]
    found = values.copy()
    found[1:] -= values[:-1]
    differences: list[int] = found.tolist()
    return differences
