"""offdecode: Kafka's `__consumer_offsets` log as a history of commits and generations.

Every command of the command line is a function here: `decode`, `state`, `generations`, `explain`, `transactions`,
`check`. `read` and `read_table` are short ways to rows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from offdecode.api import (
        Answer,
        ProblemWarning,
        check,
        decode,
        explain,
        generations,
        read,
        read_table,
        state,
        transactions,
    )
    from offdecode.errors import OffdecodeError, SourceError, UsageError
    from offdecode.model import Problem

__version__ = "0.1.0"
__all__ = [
    "Answer",
    "OffdecodeError",
    "Problem",
    "ProblemWarning",
    "SourceError",
    "UsageError",
    "check",
    "decode",
    "explain",
    "generations",
    "read",
    "read_table",
    "state",
    "transactions",
]

_HOMES = dict.fromkeys(__all__, "api") | {
    "OffdecodeError": "errors", "SourceError": "errors", "UsageError": "errors", "Problem": "model",
}  # fmt: skip


def __getattr__(name: str) -> Any:
    """Import what is asked for when it is asked for: `offdecode --help` needs none of it."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
