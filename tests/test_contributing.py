"""CONTRIBUTING.md: its paths are there, its picture has every room, and its recipes work when they are followed."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.command import ROOT, SECONDS, on_path
from tests.test_imports import MAY_IMPORT

TEXT = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
SECTIONS = {part.partition("\n")[0]: part for part in TEXT.split("\n### ")[1:]}
DIFF = re.compile(r"^```diff (\S+)\n(.*?)^```$", re.M | re.S)
CONSOLE = re.compile(r"^```console\n\$ (.*?)\n(.*?)^```$", re.M | re.S)
RECIPES = ("A record type", "A command")


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
