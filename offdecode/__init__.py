"""offdecode: Kafka's `__consumer_offsets` log as a history of commits and generations.

`read` and `read_table` give its rows as Arrow data; the command line is `offdecode`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from offdecode.api import ProblemWarning, read, read_table
    from offdecode.errors import OffdecodeError, SourceError, UsageError
    from offdecode.model import Problem

__version__ = "0.1.0"
__all__ = ["OffdecodeError", "Problem", "ProblemWarning", "SourceError", "UsageError", "read", "read_table"]

_HOMES = {
    "ProblemWarning": "api",
    "read": "api",
    "read_table": "api",
    "OffdecodeError": "errors",
    "SourceError": "errors",
    "UsageError": "errors",
    "Problem": "model",
}


def __getattr__(name: str) -> Any:
    """Import what is asked for when it is asked for: `offdecode --help` needs none of it."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
