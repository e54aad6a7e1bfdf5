"""The command line: one module per command. A command's module is imported when the command runs."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterable
from importlib import import_module
from typing import Any

import click

from offdecode import __version__
from offdecode.errors import OffdecodeError, near

# Command name: (module, one line for the overview).
COMMANDS = {
    "decode": ("offdecode.cli.decode", "Decode segment files into JSON lines or Parquet."),
    "groups": ("offdecode.cli.groups", "List the groups: members, commits, generations, what is worth a look."),
    "generations": ("offdecode.cli.generations", "List the generations of groups: members, and what changed."),
    "explain": ("offdecode.cli.explain", "Tell how each offset moved: rewinds, resets, deletions, and who held it."),
    "state": ("offdecode.cli.state", "Tell committed offsets and groups as of a moment."),
    "lag": ("offdecode.cli.lag", "Tell how far committed offsets are behind the ends of their partitions."),
    "transactions": ("offdecode.cli.transactions", "List transactions, and what open ones hold back."),
    "report": ("offdecode.cli.report", "Write a page to look at: groups, offsets over time, and the evidence."),
    "growth": ("offdecode.cli.growth", "Tell where the bytes are, and what keeps the log cleaner from removing them."),
    "check": ("offdecode.cli.check", "Check evidence: checksums, damage, what is complete and what is missing."),
    "carve": ("offdecode.cli.carve", "Find batches of the offsets topic in disk images, and write them as segments."),
    "partition-for": ("offdecode.cli.partition_for", "Print the partition of the offsets topic that holds a group."),
    "tail": ("offdecode.cli.tail", "Decode the live topic, without touching a broker's disk."),
    "schema": ("offdecode.cli.schema", "Print the row reference."),
    "help": ("offdecode.cli.help", "Print a page of the documentation."),
}

# The overview by purpose; each command is in one of these.
PURPOSES = {
    "Rows of the log": ("decode", "tail", "carve"),
    "What happened to groups and offsets": (
        "groups",
        "explain",
        "report",
        "generations",
        "state",
        "lag",
        "transactions",
    ),
    "The evidence itself": ("check", "growth"),
    "Reference": ("schema", "partition-for", "help"),
}
_EXAMPLES = """\b
Examples:
  offdecode groups /var/lib/kafka/data --notable --format table
  offdecode explain /var/lib/kafka/data --group payments --format text
"""

DAMAGED, FAILED = 1, 2  # exit statuses beside 0
INTERRUPTED, TERMINATED = 130, 143


class _NoPandas:
    """pyarrow imports pandas wherever it is installed: half a second, for nothing that a command needs."""

    @staticmethod
    def find_spec(name: str, path: object, target: object = None) -> None:
        if name == "pandas":
            raise ModuleNotFoundError(name)


class _Terminated(BaseException):
    """SIGTERM has come: what was begun is tidied up on the way out."""


class _ReaderGone(Exception):
    """Nobody reads the output any more. click would make a failure of a BrokenPipeError."""


def did_you_mean(name: str, among: Iterable[str]) -> str:
    """A sentence behind one that says that there is no such name; empty where none is near."""
    found = near(name, among)
    return f" Did you mean {found}?" if found else ""


class _Commands(click.Group):
    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError as error:
            raise _ReaderGone from error

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = import_module(COMMANDS[cmd_name][0]).command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for purpose, names in PURPOSES.items():
            with formatter.section(purpose):
                formatter.write_dl([(name, COMMANDS[name][1]) for name in names])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:  # fmt: skip
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            ctx.fail(f"No such command {args[0]!r}.{did_you_mean(args[0], COMMANDS)}")
        return super().resolve_command(ctx, args)


@click.group(cls=_Commands, epilog=_EXAMPLES, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="offdecode")
def cli() -> None:
    """Decode Kafka's __consumer_offsets log: who committed which offset, when, and whether it took effect.

    Exit status: 0 = all read; 1 = decoded, but damage or undecodable records were found; 2 = could not run.
    """


def main() -> int:
    """Run the command line: the exit status. Errors become one line on stderr; a closed pipe ends quietly."""
    sys.meta_path.insert(0, _NoPandas)
    signal.signal(signal.SIGTERM, _terminate)
    if sys.stderr is None:  # it was closed when the process started
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115
    try:
        status = cli.main(prog_name="offdecode", standalone_mode=False)
        if sys.stdout is not None:
            sys.stdout.flush()
    except click.ClickException as error:
        error.show()
        status = FAILED
    except click.Abort:
        status = INTERRUPTED
    except _Terminated:
        status = TERMINATED
    except OffdecodeError as error:
        click.echo(f"offdecode: {error}", err=True)
        status = FAILED
    except (_ReaderGone, BrokenPipeError):
        # Nobody reads any more; without this, Python complains as it flushes stdout at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        status = 0
    except OSError as error:
        click.echo(f"offdecode: {error}", err=True)
        status = FAILED
    except MemoryError:
        click.echo("offdecode: out of memory", err=True)
        status = FAILED
    return status if isinstance(status, int) else 0


def _terminate(number: int, frame: object) -> None:
    raise _Terminated
