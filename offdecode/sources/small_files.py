"""Small files of a directory on a server: each is fetched once, whole, and those behind it meanwhile.

A hundred thousand small objects cost their latency, not their bytes. Segments are gone over several times in the order
of their names, so what has come is kept in a spool.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from functools import lru_cache

from offdecode.errors import SourceError
from offdecode.sources.readers import Reader
from offdecode.sources.spool import Spool, SpoolReader

MOST_BYTES = 256 << 10
_AHEAD = 16  # and as many requests at once

Fetch = Callable[[str, int], bytes]


class SmallFiles:
    """The files of a directory that are small enough.

    sizes: of all its files by name, where they are known. fetch: gives all of a file of a name and a size; OSError.
    """

    def __init__(self, sizes: Mapping[str, int], fetch: Fetch) -> None:
        self._fetch = fetch
        self._sizes = {name: size for name, size in sorted(sizes.items()) if 0 < size <= MOST_BYTES}
        self._next = self._order()
        self._forget()

    def _forget(self) -> None:
        self._process = os.getpid()
        self._coming: dict[str, Future[bytes]] = {}
        self._held: dict[str, tuple[int, int]] = {}

    def _order(self) -> dict[str, str]:
        """The next name of the same kind behind each."""
        latest: dict[str, str] = {}
        following: dict[str, str] = {}
        for name in self._sizes:
            kind = name.rpartition(".")[2]
            if kind in latest:
                following[latest[kind]] = name
            latest[kind] = name
        return following

    def reader(self, name: str, source: str) -> Reader | None:
        """A file, read; None where it is not small, or cannot be had as a whole. source: what messages call it."""
        if name not in self._sizes:
            return None
        if self._process != os.getpid():  # neither threads nor a place to write are shared with a fork
            self._forget()
        _, spool = _shared(os.getpid())
        if name not in self._held:
            self._fetch_from(name)
            try:
                data = self._coming.pop(name).result()
                start = spool.end
                spool.write(data, source)
            except (OSError, SourceError):  # nor is there room for it
                return None
            self._held[name] = start, len(data)
        return SpoolReader(spool, *self._held[name])

    def _fetch_from(self, name: str) -> None:
        pool, _ = _shared(os.getpid())
        one: str | None = name
        for _ in range(_AHEAD):
            if one is None:
                return
            if one not in self._held and one not in self._coming:
                self._coming[one] = pool.submit(self._fetch, one, self._sizes[one])
            one = self._next.get(one)


@lru_cache(1)
def _shared(process: int) -> tuple[ThreadPoolExecutor, Spool]:
    """What a process has for all directories."""
    return ThreadPoolExecutor(_AHEAD, "offdecode-small"), Spool()
