"""CONTRIBUTING.md: its paths are there, its picture has every room, and its recipes work when they are followed."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

import pytest

from offdecode.cli import COMMANDS
from tests import test_api, test_extremes, test_pieces
from tests.cli import test_formats, test_progress
from tests.command import ROOT, SECONDS, on_path
from tests.test_imports import MAY_IMPORT

TEXT = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
SECTIONS = {part.partition("\n")[0]: part for part in TEXT.split("\n### ")[1:]}
DIFF = re.compile(r"^```diff (\S+)\n(.*?)^```$", re.M | re.S)
CONSOLE = re.compile(r"^```console\n\$ (.*?)\n(.*?)^```$", re.M | re.S)
RECIPES = ("A record type", "A command", "A form of exports")


def test_paths_are_there() -> None:
    new = {file for file, diff in DIFF.findall(TEXT) if not re.search("^[ -]", diff, re.M)}
    named = {name for name in re.findall(r"`([\w./-]+)`", TEXT) if "/" in name}
    assert len(named) > 30
    for name in named - new:
        assert (ROOT / name).exists(), name


def test_every_room_is_in_the_picture() -> None:
    picture = TEXT.split("```text\n")[1].split("```")[0]
    rooms = set(re.findall(r"\w+", picture))
    assert {room for room in MAY_IMPORT if not room.startswith("_")} <= rooms


def followed(folder: Path, section: str) -> None:
    """Make a recipe's changes: the lines that stay or go must be there, one after the other."""
    for name, diff in DIFF.findall(section):
        path = folder / name
        lines = diff.splitlines()
        old = "".join(line[1:] + "\n" for line in lines if not line.startswith("+"))
        new = "".join(line[1:] + "\n" for line in lines if not line.startswith("-"))
        if not old:
            assert not path.exists(), name
            path.write_text(new, "utf-8")
            continue
        text = path.read_text("utf-8")
        # The last line may be the start of a longer one.
        assert text.count(old.rstrip("\n")) == 1, f"{name} has not, or not once:\n{old}"
        path.write_text(text.replace(old.rstrip("\n"), new.rstrip("\n")), "utf-8")


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_recipe_works(recipe: str, tmp_path: Path) -> None:
    shutil.copytree(ROOT / "offdecode", tmp_path / "offdecode", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "fixtures").symlink_to(ROOT / "fixtures")
    environment = {**on_path(tmp_path), "PYTHONPATH": str(tmp_path)}
    followed(tmp_path, SECTIONS[recipe])
    examples = CONSOLE.findall(SECTIONS[recipe])
    assert examples
    for command, shown in examples:
        done = subprocess.run(
            ["bash", "-c", command], env=environment, cwd=tmp_path, capture_output=True, encoding="utf-8",
            timeout=SECONDS, check=False,
        )  # fmt: skip
        assert done.stdout + done.stderr == shown


WITHOUT_ROWS = {"check", "carve", "report", "tail", "schema", "partition-for", "help"}


def test_every_command_is_asked() -> None:
    """What is asked of all commands is asked of each; a new one is a line in every list here."""
    lists: dict[str, Iterable[str]] = {
        "tests/test_api.py ASKED": test_api.ASKED,
        "tests/test_pieces.py ASKED": test_pieces.ASKED,
        "tests/test_extremes.py COMMANDS": (command[0] for command in test_extremes.COMMANDS),
        "tests/cli/test_formats.py IN_CSV": test_formats.IN_CSV,
        "tests/cli/test_progress.py READING and OF_SEGMENTS": (*test_progress.READING, *test_progress.OF_SEGMENTS),
        "offdecode/spark.py _QUESTIONS": re.findall(
            r'"(\w+)": \w+', (ROOT / "offdecode" / "spark.py").read_text("utf-8")
        ),
    }
    for place, names in lists.items():
        there = {re.split("[ -]", name)[0] for name in names}
        assert COMMANDS.keys() - WITHOUT_ROWS - there == set(), place


def test_make_has_what_is_told_of_it() -> None:
    targets = set(re.findall(r"^([a-z]+):.*## ", (ROOT / "Makefile").read_text("utf-8"), re.M))
    told = re.findall(r"(?:^|`)make ([a-z ]+?) *(?:#|`|$)", TEXT, re.M)
    assert {word for words in told for word in words.split()} <= targets
    assert len(told) > 5
