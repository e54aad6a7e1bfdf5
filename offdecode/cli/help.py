"""offdecode help: the pages of the documentation, where there is no network."""

from __future__ import annotations

import sys
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

import click

from offdecode.cli import COMMANDS, did_you_mean
from offdecode.cli.options import beginning
from offdecode.errors import UsageError


@click.command("help")
@click.argument(
    "topic", metavar="[TOPIC]", required=False, shell_complete=lambda ctx, param, begun: beginning(begun, _pages())
)
def command(topic: str | None) -> None:
    """Print a page of the documentation: of a command, or about answers, evidence, rows, problems and more.

    Without a TOPIC, list the pages.
    """
    found = _pages()
    if topic is None:
        width = max(map(len, found))
        click.echo("".join(f"{name:<{width}}  {_title(page)}\n" for name, page in sorted(found.items())), nl=False)
        return
    if topic not in found:
        hint = did_you_mean(topic, found)
        raise UsageError(f"there is no page {topic!r}.{hint} The pages are {', '.join(sorted(found))}")
    text = found[topic].read_text("utf-8")
    if sys.stdout.isatty():
        click.echo_via_pager(text)
    else:
        click.echo(text, nl=False)


def _pages() -> dict[str, Traversable]:
    """By name. An installed package has them in it, a checkout beside it."""
    inside = files("offdecode").joinpath("docs")
    folder = inside if inside.is_dir() else Path(__file__).parents[2] / "docs"
    if not folder.is_dir():
        raise UsageError("the pages are not here: this installation has left them out")
    return {page.name.removesuffix(".md"): page for page in folder.iterdir() if page.name.endswith(".md")}


def _title(page: Traversable) -> str:
    """What a page is about: of a command what that is for."""
    title = page.read_text("utf-8").partition("\n")[0].lstrip("# ")
    command = COMMANDS.get(title.removeprefix("offdecode "))
    return title if command is None else command[1]
