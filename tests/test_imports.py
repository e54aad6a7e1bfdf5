"""The rooms and arrows of the package: who may import whom, and who may name what."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import offdecode
from offdecode.schemas.registry import RECORD_TYPES

PACKAGE = Path(offdecode.__file__).parent

# Data goes sources -> log -> engines -> (history) -> sinks. evidence leads a request's paths to steps, a run gives
# questions their rows, writing brings answers to sinks; api and cli are faces of the questions.
MAY_IMPORT = {
    "errors": set[str](),
    "system": set(),
    "growing": {"system"},
    "options": set(),
    "option_values": {"errors", "options"},
    "model": {"errors"},
    "byte_vectors": {"model"},
    "texts": {"errors", "model", "growing", "byte_vectors"},
    "sources": {"errors", "options", "model", "system"},
    "log": {"errors", "model", "byte_vectors"},
    "schemas": {"errors", "model"},
    "engines": {"errors", "model", "byte_vectors", "texts", "log", "schemas"},
    "history": {"errors", "options", "model", "growing", "texts", "filtering", "schemas"},
    "sinks": {"errors", "model", "schemas", "system"},
    "filtering": {"model", "options", "schemas"},
    "request": {"errors", "model", "options", "filtering", "log", "schemas", "engines"},
    "logs": {"errors", "model", "sources", "log", "engines"},
    "cluster": {"model", "byte_vectors", "sources", "log", "logs", "engines", "schemas"},
    "evidence": {"errors", "model", "cluster", "filtering", "options", "request", "sources", "log", "logs", "engines"},
    "run": {"model", "options", "request", "evidence", "schemas"},
    "by_log": {"model", "options", "evidence", "run", "history", "schemas"},
    "carving": {"errors", "model", "byte_vectors", "sources", "log", "logs", "engines", "schemas", "__init__"},
    "questions": {
        "errors",
        "model",
        "options",
        "filtering",
        "request",
        "cluster",
        "evidence",
        "run",
        "by_log",
        "schemas",
        "history",
        "log",
        "logs",
        "engines",
        "carving",
        "sources",  # check takes stock of files, tail follows a topic
    },
    "parallel": {"errors", "system"},
    "writing": {
        "errors",
        "model",
        "options",
        "request",
        "evidence",
        "run",
        "by_log",
        "schemas",
        "sinks",
        "parallel",
        "system",
    },
    "per_log": {"evidence", "parallel", "request", "system", "writing"},
    "dealing": {
        "errors",
        "model",
        "options",
        "request",
        "evidence",
        "run",
        "by_log",
        "sinks",
        "parallel",
        "per_log",
        "system",
        "writing",
    },
    "pieces": {"errors", "model", "request", "evidence", "sources"},
    "reporting": {
        "errors",
        "model",
        "options",
        "filtering",
        "request",
        "evidence",
        "run",
        "schemas",
        "history",
        "questions",
        "sinks",
        "__init__",
    },
    "api": {
        "errors",
        "model",
        "options",
        "option_values",
        "request",
        "evidence",
        "run",
        "pieces",
        "questions",
        "schemas",
        "sinks",
        "reporting",
    },
    "spark": {"api", "errors", "model", "options", "pieces", "schemas"},
    "cli": {
        "errors",
        "model",
        "options",
        "option_values",
        "request",
        "run",
        "by_log",
        "questions",
        "schemas",
        "sinks",
        "writing",
        "dealing",
        "per_log",
        "reporting",
        "__init__",
    },
    "__init__": {"api", "errors", "model"},
    "__main__": {"cli"},
}
CONSTRUCT = {"engines/reference_blocks.py"}

MODULES = sorted(PACKAGE.rglob("*.py"))


def name_of(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield node.module or ""


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_arrows_point_one_way(path: Path) -> None:
    room = room_of(path)
    for module in imports(path):
        if module.split(".")[0] == "offdecode":
            target = [*module.split("."), "__init__"][1]
            assert target == room or target in MAY_IMPORT[room], f"{name_of(path)} imports {module}"


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_construct_stays_in_its_rooms(path: Path) -> None:
    if any(module.split(".")[0] == "construct" for module in imports(path)):
        assert name_of(path) in CONSTRUCT


@pytest.mark.parametrize("path", [p for p in MODULES if room_of(p) in ("engines", "sinks", "cli", "log")], ids=name_of)
def test_no_record_type_is_named(path: Path) -> None:
    """What a record is stands in its table only; everything else is derived from it."""
    names = {record.row_type for record in RECORD_TYPES} | {record.name for record in RECORD_TYPES}
    texts = {node.value for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.Constant)}
    assert not names & {text for text in texts if isinstance(text, str)}


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_construct_is_never_compiled(path: Path) -> None:
    """Compiled construct accepts truncated input."""
    calls = (node.func for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.Call))
    compiled = [func for func in calls if isinstance(func, ast.Attribute) and func.attr == "compile"]
    assert all(isinstance(func.value, ast.Name) and func.value.id == "re" for func in compiled)
