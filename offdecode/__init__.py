"""offdecode: Kafka's `__consumer_offsets` log as a history of commits and generations.

Every command of the command line is a function here: `decode`, `groups`, `state`, `lag`, `generations`,
`explain`, `transactions`, `report`, `check`, `carve`. `read` and `read_table` are short ways to rows.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from offdecode.api import *  # noqa: F403 - its __all__ is this package's

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """Import the API when something of it is asked for: `offdecode --help` needs none of it."""
    if name != "__all__" and name.startswith("__"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    api = import_module("offdecode.api")  # a from-import would ask here for `api`
    if name != "__all__" and name not in api.__all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(api, name)


def __dir__() -> list[str]:
    return [*globals(), *__getattr__("__all__")]
