"""README and docs/ cover every command, option, row type and problem kind; their examples print what they show.

Blocks marked `console`: lines that start with "$ " are run by bash, what follows is what they print; a line "..."
stands for any lines. Blocks marked `pycon` are doctests. Those of a page run in one folder, in the page's order.
"""

from __future__ import annotations

import ast
import doctest
import os
import re
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from offdecode.schemas.rows import row_type_names
from tests.command import ROOT, on_path
from tests.readme_examples import BLOCK, as_pattern, blocks, printed_by, shell_examples
from tests.readme_tables import DOCS, PAGES, README, TABLE, commands, flags_of, options, tables

TEXT = README.read_text("utf-8")
MOST_LINES = 200  # of README: what a newcomer reads
CALLS_THAT_REPORT = {"Problem", "problem", "Lost"}
KIND = re.compile(r"[a-z]+(_[a-z]+)+|unreadable")


# Coverage


@pytest.mark.parametrize(("name", "table"), tables().items(), ids=list(tables()))
def test_tables_follow_from_the_code(name: str, table: str) -> None:
    """After a change: python -m tests.readme_tables."""
    found = [match["table"] for page in PAGES for match in TABLE.finditer(page.read_text("utf-8"))
             if match["name"] == name]  # fmt: skip
    assert found
    assert set(found) == {table}


def test_every_command_and_option_is_there() -> None:
    for name, command in commands():
        assert f"| [`{name}`](docs/{name}.md) |" in TEXT
        assert re.search(rf"^\$ offdecode {name} ", TEXT, re.M), "an example of it"
        page = (DOCS / f"{name}.md").read_text("utf-8")
        assert page.startswith(f"# offdecode {name}\n")
        for option in options(command):
            for flag in flags_of(option):
                for text in (TEXT, page):
                    assert re.search(rf"`{re.escape(flag)}[` ]", text), f"{flag} of {name}"
    for flag in ("-h", "--help", "--version"):
        assert f"`{flag}`" in TEXT


def test_every_row_type_is_there() -> None:
    for name in row_type_names():
        assert f"\n| `{name}` |" in TEXT


def kinds_in_code() -> set[str]:
    """Every text in offdecode that can become a problem's kind."""
    found: set[str] = set()
    for path in sorted((ROOT / "offdecode").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            found.update(_kinds(node))
    return {kind for kind in found if KIND.fullmatch(kind)}


def _kinds(node: ast.AST) -> Iterator[str]:
    """Problem("kind", ...), frames.problem(index, "kind", ...), kind, message = "kind", ..., ("kind", f"...")"""
    candidates: list[ast.expr] = []
    if isinstance(node, ast.Call):
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        candidates = node.args[:2] if name in CALLS_THAT_REPORT else []
    elif isinstance(node, ast.Assign):
        names = [item.id for item in ast.walk(node.targets[0]) if isinstance(item, ast.Name)]
        if "kind" in names:
            candidates = node.value.elts[:1] if isinstance(node.value, ast.Tuple) else [node.value]
    elif isinstance(node, ast.Tuple) and len(node.elts) == 2:
        first, second = node.elts
        if isinstance(second, ast.JoinedStr) or (isinstance(second, ast.Name) and second.id == "message"):
            candidates = [first]
    for item in candidates:
        for choice in (item.body, item.orelse) if isinstance(item, ast.IfExp) else (item,):
            if isinstance(choice, ast.Constant) and isinstance(choice.value, str):
                yield choice.value


def test_every_problem_kind_is_there() -> None:
    listed = set(re.findall(r"^\| `(\w+)` \|", (DOCS / "problems.md").read_text("utf-8"), re.M))
    found = kinds_in_code()
    assert {"bad_crc", "bad_record", "zero_tail", "unreadable", "not_an_offsets_log"} <= found
    assert listed == found


def test_ci_runs_the_command_that_readme_gives() -> None:
    decoding, testing = (text.strip() for _, text in blocks(TEXT, "sh"))
    script = (ROOT / ".ci" / "run").read_text("utf-8")
    assert decoding in script
    assert testing in script
    assert os.stat(ROOT / ".ci" / "run").st_mode & stat.S_IXUSR
    segments = ROOT / decoding.split()[-1]
    assert segments.is_dir()


# Examples


@pytest.mark.parametrize("page", PAGES, ids=[page.stem for page in PAGES])
def test_the_examples_print_what_the_page_shows(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if shutil.which("jq") is None:
        pytest.skip("the examples need jq")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "fixtures").symlink_to(ROOT / "fixtures")
    environment = on_path(tmp_path)
    for index, (language, text) in enumerate(blocks(page.read_text("utf-8"), "console", "pycon")):
        if language == "pycon":
            run_doctest(text, f"example {index}", page)
        else:
            for command, shown in shell_examples(text):
                printed = printed_by(command, environment)
                assert as_pattern(shown).fullmatch(printed), f"$ {command}\n{printed}"


def test_every_page_has_examples() -> None:
    """But those that only a server or a cluster could run, and tables."""
    without = {page.stem for page in PAGES if not blocks(page.read_text("utf-8"), "console", "pycon")}
    assert without <= {"tail", "problems", "speed", "spark"}
    assert {language for page in PAGES for language, _ in blocks(page.read_text("utf-8"), "console", "pycon")} == {
        "console", "pycon"
    }  # fmt: skip


# Form


def test_readme_is_short() -> None:
    assert TEXT.count("\n") <= MOST_LINES


def anchors(page: Path) -> set[str]:
    """What a heading's link is, as GitHub makes it."""
    text = BLOCK.sub("", page.read_text("utf-8"))
    heads = re.findall(r"^#+ (.*)$", text, re.M)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


LINKING = (*PAGES, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md")


@pytest.mark.parametrize("page", LINKING, ids=[page.stem for page in LINKING])
def test_links_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", BLOCK.sub("", page.read_text("utf-8"))):
        if link.startswith("https://"):
            continue
        name, _, anchor = link.partition("#")
        target = page.parent / name if name else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def test_every_page_is_linked() -> None:
    for page in PAGES[1:]:
        assert f"(docs/{page.name}" in TEXT


def run_doctest(text: str, name: str, page: Path) -> None:
    example = doctest.DocTestParser().get_doctest(text, {}, name, str(page), 0)
    said: list[str] = []
    doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE).run(example, out=said.append)
    assert not said, "".join(said)


def test_a_line_of_dots_stands_for_any_lines() -> None:
    pattern = as_pattern("a\n...\nb\n")
    assert pattern.fullmatch("a\nb\n")
    assert pattern.fullmatch("a\nx\ny\nb\n")
    assert not pattern.fullmatch("a\nx\n")
    assert not as_pattern("a\n").fullmatch("a\nb\n")
