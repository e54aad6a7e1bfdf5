"""The examples of the documentation: what they are, and what they print.

`python -m tests.readme_examples` writes what they print now into the pages, where that is something else. What it makes
of a line "..." is to be looked at.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.command import ROOT, SECONDS, on_path
from tests.readme_tables import PAGES

BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.M | re.S)


def blocks(text: str, *languages: str) -> list[tuple[str, str]]:
    return [(match[1], match[2]) for match in BLOCK.finditer(text) if match[1] in languages]


def shell_examples(text: str) -> Iterator[tuple[str, str]]:
    """Commands, and what each prints."""
    for part in re.split(r"^\$ ", text, flags=re.M)[1:]:
        command, _, shown = part.partition("\n")
        yield command, shown


def as_pattern(shown: str) -> re.Pattern[str]:
    lines = ["(?:.*\n)*" if line == "..." else re.escape(line + "\n") for line in shown.split("\n")[:-1]]
    return re.compile("".join(lines))


def printed_by(command: str, environment: Mapping[str, str]) -> str:
    """What a command prints in the working directory, on both streams."""
    done = subprocess.run(["bash", "-c", command], env=environment, capture_output=True, encoding="utf-8",
                          timeout=SECONDS, check=False)  # fmt: skip
    return done.stdout + done.stderr


def main() -> None:
    for page in PAGES:
        with TemporaryDirectory() as folder:
            os.chdir(folder)
            Path("fixtures").symlink_to(ROOT / "fixtures")
            text = page.read_text("utf-8")
            page.write_text(_rewritten(text, on_path(Path(folder))), "utf-8")
            os.chdir(ROOT)


def _rewritten(text: str, environment: Mapping[str, str]) -> str:
    def block(match: re.Match[str]) -> str:
        if match[1] != "console":
            return match[0]
        parts = []
        for command, shown in shell_examples(match[2]):
            printed = printed_by(command, environment)
            parts.append(f"$ {command}\n{shown if as_pattern(shown).fullmatch(printed) else printed}")
        return f"```console\n{''.join(parts)}```"

    return BLOCK.sub(block, text)


if __name__ == "__main__":
    main()
