"""A JSON object of an export to the record that it tells of.

Ours (key_hex, value_base64, ...), and those of other tools, told by their names: `kcat -J` writes the bytes of key and
payload as they are into its strings, which then are no UTF-8; `rpk topic consume` writes U+FFFD for bytes that are no
UTF-8: what these were is lost, not where they were.
Sources: kcat's json.c, rpk's topic/consume.go.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable
from typing import Any

import orjson

from offdecode.errors import CorruptError
from offdecode.log.told import Place, Printed, Told, ToldRecord
from offdecode.model import is_utf8

SEAM = b'}{"key":'
_LONG_LINE_BYTES = 1 << 16
_MOST_VALUES = 10_000
_STRING = re.compile(rb'"(?:[^"\\]|\\.)*+"')
_REPLACED = "\ufffd"
_LOST = 0xFF
_NO_TIME = "unknown"  # kcat's tstype


def objects(line: bytes) -> list[bytes]:
    """The objects in a line: a console consumer prints them one behind the other. No text holds the seam unescaped."""
    parts = line.split(SEAM)
    return [
        (SEAM[1:] if index else b"") + part + (SEAM[:1] if index < len(parts) - 1 else b"")
        for index, part in enumerate(parts)
    ]


def record_of(line: bytes, printed: Printed) -> ToldRecord:
    """The record that an object tells of. Raises CorruptError where it tells of none."""
    if len(line) > _LONG_LINE_BYTES and _values_in(line) > _MOST_VALUES:
        raise CorruptError(f"the line holds more than {_MOST_VALUES} values")  # each takes more memory than text
    entry, is_text = _parsed(line)
    if isinstance(entry.get("key"), dict):
        return ToldRecord(Place(), printed.of_json(entry["key"], entry.get("value")))
    if "payload" in entry:
        place = _place(entry, None if entry.get("tstype", _NO_TIME) == _NO_TIME else "ts")
        return _from_bytes(entry, is_text, place, "payload", printed)
    if "topic" in entry and "timestamp" in entry:
        if "value_size" in entry:
            raise CorruptError("rpk was asked not to print values (--meta-only)", path="value")
        return _from_bytes(entry, is_text, _place(entry, "timestamp"), "value", printed)
    return ToldRecord(_place(entry, "timestamp"), Told(_encoded(entry, "key"), _encoded(entry, "value")))


def json_of(text: bytes) -> Any:
    """Raises CorruptError for what is no JSON."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise CorruptError(f"the line is no JSON: {error}") from None


def _values_in(line: bytes) -> int:
    """How many values a line has at most."""
    signs = (b",", b"[", b"{")
    count = sum(map(line.count, signs))
    return count if count <= _MOST_VALUES else sum(map(_STRING.sub(b"", line).count, signs))


def _parsed(line: bytes) -> tuple[dict[str, Any], bool]:
    """An object, and whether it is UTF-8; else a character of its strings stands for each byte."""
    try:
        entry, is_text = json_of(line), True
    except CorruptError:
        if is_utf8(line):
            raise
        entry, is_text = _json_of_bytes(line), False
    if not isinstance(entry, dict):
        raise CorruptError("the line is no JSON object")
    return entry, is_text


def _json_of_bytes(line: bytes) -> Any:
    try:
        return json.loads(line.decode("latin-1"))
    except (ValueError, RecursionError) as error:
        raise CorruptError(f"the line is no JSON: {error}") from None


def _place(entry: dict[str, Any], time: str | None) -> Place:
    """time: the name of the record's time; None = there is none."""
    timestamp = None if time is None else _integer(entry, time, 63)
    return Place(_integer(entry, "partition", 31), _integer(entry, "offset", 63), timestamp)


def _from_bytes(entry: dict[str, Any], is_text: bool, place: Place, value_name: str, printed: Printed) -> ToldRecord:
    """A record whose bytes were written as if they were text. rpk leaves out a key and a value that are null."""
    (key, lost_of_key), (value, lost) = (_raw(entry, name, is_text) for name in ("key", value_name))
    if lost_of_key:
        raise CorruptError("the key has bytes that are no text: what printed it put U+FFFD there", path="key")
    told = printed.of_lost(key, value, lost) if lost and key is not None and value is not None else Told(key, value)
    return ToldRecord(place, told)


def _raw(entry: dict[str, Any], name: str, is_text: bool) -> tuple[bytes | None, list[int]]:
    """The bytes of a text, and at which of them there were others."""
    text = entry.get(name)
    if text is None:
        return None, []
    if not isinstance(text, str):
        raise CorruptError(f"{name} is no text", path=name)
    if is_text and _REPLACED not in text:
        return text.encode("utf-8", "surrogatepass"), []
    known = "utf-8" if is_text else "latin-1"
    data, lost = bytearray(), list[int]()
    for number, part in enumerate(text.split(_REPLACED)):
        if number:
            lost.append(len(data))
            data.append(_LOST)
        data += _encode(part, known)
    return bytes(data), lost


def _encode(text: str, known: str) -> bytes:
    try:
        return text.encode(known, "surrogatepass")
    except UnicodeEncodeError:  # some characters were escaped
        return b"".join(one.encode("latin-1" if one <= "\xff" else "utf-8", "surrogatepass") for one in text)


def _integer(entry: dict[str, Any], name: str, bits: int) -> int | None:
    value = entry.get(name)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or not -(1 << bits) <= value < 1 << bits:
        raise CorruptError(f"{name} is no integer of {bits + 1} bits", path=name)
    return value


def _from_base64(text: str) -> bytes:
    return base64.b64decode(text, validate=True)


_ENCODINGS: dict[str, Callable[[str], bytes]] = {"hex": bytes.fromhex, "base64": _from_base64}


def _encoded(entry: dict[str, Any], what: str) -> bytes | None:
    for encoding, decode in _ENCODINGS.items():
        name = f"{what}_{encoding}"
        if name in entry:
            text = entry[name]
            if text is None:
                return None
            try:
                return decode(text)
            except (ValueError, TypeError, binascii.Error):
                raise CorruptError(f"{name} is no {encoding} text", path=name) from None
    raise CorruptError(f"there is no {what}_hex and no {what}_base64", path=what)
