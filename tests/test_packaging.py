"""What users install: the sdist and the wheel built of it, with every Python that is here, and the oldest libraries."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import offdecode
from tests.command import ROOT
from tests.truth import FIXTURES

pytestmark = pytest.mark.slow

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
LOG = FIXTURES / "kafka-4.4.0-all-groups" / "log"
COMMANDS = (
    "decode --timestamps iso --with-generation", "state --format table", "groups", "explain", "growth", "check",
)  # fmt: skip
CONSUMER = """
from pathlib import Path
import offdecode

def kinds(path: Path) -> list[str]:
    found: list[offdecode.Problem] = []
    for row in offdecode.decode(path, on_problem=found.append).rows():
        print(row["type"])
    return [problem.kind for problem in found]

wrong: int = offdecode.decode("x")
"""


def pythons() -> Iterator[tuple[int, Path]]:
    """Later Pythons of this machine, one of each version."""
    for minor in range(sys.version_info[1] + 1, 20):
        named = shutil.which(f"python3.{minor}")
        kept = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"), "versions").glob(f"3.{minor}.*/bin/python")
        for path in (*([Path(named)] if named else []), *sorted(kept)):
            told = subprocess.run(
                [path, "-c", "import sys, venv, ensurepip; print(sys.version_info[1])"], capture_output=True, text=True
            )
            if told.stdout.strip() == str(minor):
                yield minor, path
                break


PYTHONS = {f"3.{minor}": path for minor, path in pythons()}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The sdist, and the wheel that is built of it."""
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run([sys.executable, "-m", "build", "--outdir", folder, ROOT], check=True, capture_output=True)
    return {path.suffix: path for path in folder.iterdir()}


def installed(python: Path, folder: Path, *what: str | Path) -> Path:
    """The Python of a new virtual environment in which these are installed."""
    subprocess.run([python, "-m", "venv", folder], check=True, capture_output=True)
    done = subprocess.run([folder / "bin" / "pip", "install", "-q", *what], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder / "bin" / "python"


def told(python: Path, folder: Path) -> dict[str, tuple[int, bytes]]:
    """What commands print with a Python, run where the checkout is not."""
    found = {}
    for words in COMMANDS:
        done = subprocess.run([python, "-m", "offdecode", *words.split(), LOG], cwd=folder, capture_output=True)
        found[words] = done.returncode, done.stdout + done.stderr
    return found


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[int, bytes]]:
    """What they print with this Python and its libraries."""
    return told(Path(sys.executable), tmp_path_factory.mktemp("here"))


def test_what_is_in_them(built: dict[str, Path]) -> None:
    names = zipfile.ZipFile(built[".whl"]).namelist()
    inside = {name for name in names if not name.split("/")[0].endswith(".dist-info")}
    ours = {str(path.relative_to(ROOT)) for path in (ROOT / "offdecode").rglob("*") if path.is_file()}
    pages = {f"offdecode/docs/{path.name}" for path in (ROOT / "docs").iterdir()}
    assert inside == {name for name in ours if "__pycache__" not in name} | pages
    assert {"offdecode/py.typed", "offdecode/reporting/assets/echarts.min.js"} <= inside
    assert any(name.endswith("licenses/LICENSE") for name in names)
    with tarfile.open(built[".gz"]) as sdist:
        top = {name.split("/")[1] for name in sdist.getnames() if "/" in name}
    assert top >= {"offdecode", "docs", "README.md", "CHANGELOG.md", "LICENSE", "pyproject.toml"}
    assert not top & {"tests", "fixtures", ".ci"}
    assert f"-{offdecode.__version__}-" in built[".whl"].name


@pytest.mark.parametrize("name", PYTHONS)
def test_it_runs_with_other_pythons(
    name: str, built: dict[str, Path], expected: dict[str, tuple[int, bytes]], tmp_path: Path
) -> None:
    python = installed(PYTHONS[name], tmp_path / "venv", built[".whl"])
    assert told(python, tmp_path) == expected
    pages = subprocess.run([python, "-m", "offdecode", "help", "rows"], cwd=tmp_path, capture_output=True)
    assert pages.stdout == (ROOT / "docs" / "rows.md").read_bytes()
    script = subprocess.run([python.parent / "offdecode", "--version"], capture_output=True, text=True)
    assert script.stdout.split()[-1] == offdecode.__version__


def test_it_runs_with_the_oldest_libraries(
    built: dict[str, Path], expected: dict[str, tuple[int, bytes]], tmp_path: Path
) -> None:
    """The lowest versions that the package allows."""
    lowest = [one.split(";")[0].replace(">=", "==").split(",")[0] for one in PROJECT["dependencies"]
              if "== 'Windows'" not in one]  # fmt: skip
    assert len(lowest) == len({one.split("==")[0] for one in lowest})
    python = installed(Path(sys.executable), tmp_path / "venv", built[".whl"], *lowest)
    assert told(python, tmp_path) == expected


def test_its_types_are_seen(built: dict[str, Path], tmp_path: Path) -> None:
    python = installed(Path(sys.executable), tmp_path / "venv", "--no-deps", built[".whl"])
    (tmp_path / "consumer.py").write_text(CONSUMER, "utf-8")
    command = [sys.executable, "-m", "mypy", "--strict", "--python-executable", str(python), "consumer.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    lines = done.stdout.splitlines()
    assert len(lines) == 2, done.stdout
    assert 'variable has type "int"' in lines[0]
