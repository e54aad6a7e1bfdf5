"""How a report comes to what it says: the commands that give its rows, and what limits them."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterable, Iterator

from offdecode.options import GROUPS, TIMES, words_of
from offdecode.reporting.seen import Seen

# What the commands take of a report's options: names of the filter's, and whether of explain's and names of topics too.
_TAKEN: dict[str, tuple[tuple[str, ...], bool, bool]] = {
    "decode": ((*GROUPS, *TIMES), False, False),
    "groups": ((*GROUPS, "until"), True, True),
    "explain": ((*GROUPS, *TIMES), True, True),
    "generations": ((*GROUPS, *TIMES), False, True),
    "state": (GROUPS, False, True),
    "lag": (GROUPS, False, False),
    "transactions": ((*GROUPS, *TIMES), False, False),
    "check": ((), False, False),
    "report": ((*GROUPS, *TIMES), True, True),
}
_TITLES = {
    "decode": "Records as they were written",
    "groups": "The table of groups",
    "explain": "Movements of offsets",
    "generations": "Generations",
    "state": "Offsets where the log ends",
    "lag": "Lag",
    "transactions": "Transactions",
    "check": "Files and completeness",
}


def ask(seen: Seen, command: str, without: Iterable[str] = ()) -> str:
    """A command line of offdecode about the same evidence. without: names of the filter's that are left out."""
    rows, explains, named = _TAKEN[command]
    source = seen.request.source
    words = ["offdecode", command, *words_of(source), *words_of(seen.request.rows, set(rows) - set(without))]
    words += words_of(seen.known) if explains else []
    words += words_of(seen.names) if named else []
    if command == "report" and seen.title is not None:
        words += ["--title", seen.title]
    paths = [str(path) for path in source.paths]
    words[2:2] = ["--", *paths] if any(len(path) > 1 and path.startswith("-") for path in paths) else paths
    return " ".join(map(_quoted, words))


def _quoted(word: str) -> str:
    """A word for a shell; one that a terminal would not show as it is, as bash and zsh read bytes."""
    if word.isprintable():
        return shlex.quote(word)
    plain = (chr(byte) if 32 <= byte < 127 and byte not in b"'\\" else f"\\x{byte:02x}" for byte in os.fsencode(word))
    return f"$'{''.join(plain)}'"


def commands(seen: Seen) -> list[tuple[str, str]]:
    """What is asked, and the command that answers row by row."""
    return [(title, ask(seen, command)) for command, title in _TITLES.items()]


def method_lines(seen: Seen) -> Iterator[str]:
    """What each part rests on, and what it cannot tell."""
    yield (
        "Records are facts: each was read from a batch with a right checksum, by the layout of its key's and value's "
        "version. What could not be read is in the list of problems, with its place."
    )
    yield (
        "A commit names neither a generation nor a member that holds the partition: owner and generation are those "
        "that the group's own records tell at that place of the log."
    )
    yield (
        "Why an offset moved is inferred. Each movement names the signals that its kind and cause rest on, and how "
        "sure they make it: high, medium or low. A movement like a reset looks as an administrator's reset does; a "
        "client may write the same."
    )
    yield (
        "A commit in a transaction counts where its marker stands; without a marker it has had no effect. A deletion "
        "is a tombstone; its causes are those that nothing in the evidence excludes."
    )
    yield (
        "Where the log was cleaned or records are missing, movements could be hidden: these ranges are shaded in the "
        "pictures of a group, and listed with their offsets above. Where nothing is shaded, every record that was "
        "written is there."
    )
    yield (
        "Who held a partition is what generations tell: a classic group's when its leader's assignment was written, "
        "another's when all its members held what it gave them, or the next change overtook it. In between, members "
        "may already have given up or taken partitions. Share groups may give a partition to several members."
    )
    yield (
        "Lag is told where logs of the users' partitions lie beside the offsets log: their headers and indexes are "
        "read, no payload. The dashed line is where such a log ended, at most, by the times of its records."
    )
    yield (
        "Pictures are reduced for the eye: the first, last, least and greatest offset of each short span, and every "
        "movement that is marked, are kept. Counts over time are of all records."
    )
    for name, kind in sorted(seen.marks.items()):
        if kind.one_in > 1:
            yield f"Of {kind.count:,} movements of the kind {name} one in {kind.one_in} is kept here."
    yield "Times are those that brokers wrote into the records; a broker's wrong clock makes them wrong."
