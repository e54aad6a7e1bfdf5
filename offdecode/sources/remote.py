"""Evidence in object stores and on servers, by fsspec: s3, gs, abfs, hdfs, sftp, http.

fsspec is what pandas, Dask, DuckDB and Polars use: credentials and endpoints are found as there (environment,
profiles, instance roles), and are never printed. What passes is tried again; reading ahead in parallel hides latency.
"""

from __future__ import annotations

import errno
import logging
import os
import re
import socket
import ssl
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime
from functools import lru_cache
from typing import Any, NamedTuple, Self, TypeVar
from urllib.parse import urlsplit, urlunsplit

from offdecode.errors import SourceError
from offdecode.sources.locations import Location, live_text
from offdecode.sources.readers import Reader
from offdecode.sources.small_files import SmallFiles
from offdecode.sources.spool import Spool, SpoolReader

T = TypeVar("T")

_EXTRAS = {
    "s3": "s3", "s3a": "s3", "gs": "gs", "gcs": "gs", "abfs": "abfs", "abfss": "abfs", "az": "abfs",
    "sftp": "sftp", "hdfs": "remote", "http": "remote", "https": "remote",
}  # fmt: skip
_LOGGERS = ("adlfs", "aiobotocore", "azure", "botocore", "fsspec", "gcsfs", "paramiko", "s3fs")
_URL = re.compile(rf"(?P<scheme>{'|'.join(_EXTRAS)}):/+(?P<rest>.*)", re.S | re.I)
_BLOCK_BYTES = 2 << 20
_BLOCKS_AHEAD = 8  # and as many requests at once: 16 MiB
_SMALL_BYTES = 4096
_ATTEMPTS = 4
_FIRST_WAIT_SECONDS = 0.2
_STALLED_SECONDS = 30
_MOST_CACHED = 4096
for _name in _LOGGERS:  # what nobody listens to is not for standard error, where problems are
    logging.getLogger(_name).addHandler(logging.NullHandler())
# What may stand behind a client's own error.
_REASONS = (
    (socket.gaierror, "there is no host of this name"), (ConnectionRefusedError, "the connection is refused"),
    (ssl.SSLCertVerificationError, "its certificate is not trusted"), (TimeoutError, "nothing comes in time"),
)  # fmt: skip
_FINAL = (FileNotFoundError, NotADirectoryError, IsADirectoryError)
_VERSION = ("ETag", "etag", "mtime", "LastModified")


class _Known(NamedTuple):
    """What is told of a file. version: other values when it has changed. There may be 100,000 of these."""

    kind: str  # file, directory, link or missing
    size: int | None = None
    version: tuple[object, ...] = ()
    html: bool = False


_DIRECTORY, _MISSING = _Known("directory"), _Known("missing")


def _told(found: dict[str, Any]) -> _Known:
    """What a client tells of a file, without the rest, which takes a kilobyte."""
    marks = (found.get(name) for name in _VERSION)
    # A time zone of its own for each takes more than all else.
    version = tuple(mark.timestamp() if isinstance(mark, datetime) else mark for mark in marks if mark is not None)
    size = found.get("size")
    html = found.get("mimetype") == "text/html"
    return _Known(found["type"], None if size is None else int(size), version, html)


def remote_location(text: str, family: dict[str, RemoteLocation] | None = None) -> RemoteLocation:
    """The location that a URL names. A Path has lost one of the two slashes. Raises SourceError for other URLs."""
    match = _URL.fullmatch(text)
    if match is None:
        kinds = f"{', '.join(sorted(_EXTRAS))}, file or kafka"
        reason = f"there is no such file, and no such URL is read; those are that begin with {kinds}"
        raise SourceError(live_text(text), reason)
    return RemoteLocation(f"{match['scheme'].lower()}://{match['rest']}", family=family)


class RemoteLocation(Location):
    """A file or directory that a URL names. known: what a listing has told of it; beside: what lies there with it.

    family: the directories that one search has met, by URL, so that each is listed once; a new search begins anew.
    """

    __slots__ = (
        "_beside", "_family", "_hadoop", "_http", "_known", "_listing", "_ranges", "_side_files", "_small", "_spool",
        "_url",
    )  # fmt: skip

    def __init__(
        self,
        url: str,
        known: _Known | None = None,
        beside: SmallFiles | None = None,
        family: dict[str, RemoteLocation] | None = None,
    ) -> None:
        self._url = url
        self._known = known
        self._beside = beside
        self._family: dict[str, RemoteLocation] = {} if family is None else family
        self._small: SmallFiles | None = None
        self._listing: dict[str, _Known] | None = None
        self._spool: Spool | None = None
        self._side_files: dict[str, bytes | None] | None = None
        self._ranges: bool | None = None
        self._http = url.startswith(("http:", "https:"))
        self._hadoop = url.startswith("hdfs:")

    @property
    def name(self) -> str:
        return urlsplit(self._url).path.rstrip("/").rpartition("/")[2]

    @property
    def text(self) -> str:
        """The URL without user, password and query, which may hold a signature."""
        parts = urlsplit(self._url)
        return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))

    @property
    def parent(self) -> Location:
        parts = urlsplit(self._url)
        return self._directory(urlunsplit((*parts[:2], parts.path.rstrip("/").rpartition("/")[0], "", "")))

    @property
    def key(self) -> str:
        return self._url.rstrip("/")

    @property
    def survives_fork(self) -> bool:
        return not self._hadoop

    @property
    def version(self) -> object:
        found = self._info()
        return found.size, *found.version

    def exists(self) -> bool:
        try:
            self._info()
        except FileNotFoundError:
            return False
        except OSError as error:
            raise SourceError(self.text, f"cannot be read: {error.strerror}") from None
        return True

    def is_file(self) -> bool:
        return self._info().kind == "file"

    def is_directory(self) -> bool:
        return self._info().kind == "directory"

    def child(self, name: str) -> Location:
        known: _Known | None = self._list().get(name, _MISSING)
        if known is not None and known.kind == "link":
            known = None  # what it leads to is asked for
        url = f"{self._url.rstrip('/')}/{name}"
        if known is not None and known.kind == "directory":
            return self._directory(url)
        if self._small is None:
            self._small = self._small_files()
        return RemoteLocation(url, known, self._small, self._family)

    def _small_files(self) -> SmallFiles:
        sizes = {name: one.size for name, one in self._list().items() if one.kind == "file" and one.size}

        def fetch(name: str, size: int) -> bytes:
            return RemoteLocation(f"{self._url.rstrip('/')}/{name}")._range(0, size)

        return SmallFiles({} if self._http else sizes, fetch)

    def names(self) -> list[str]:
        return sorted(self._list())

    def open(self) -> Reader:
        if self._beside is not None and (small := self._beside.reader(self.name, self.text)) is not None:
            return small
        info = self._info()
        if info.size is None:  # a listing of links tells no sizes
            info = self._known = self._ask(lambda fs, path: _told(fs.info(path)))
        if info.size is None or not self._gives_ranges(info.size):
            spool = self._whole()
            return SpoolReader(spool, 0, spool.end)
        return RemoteReader(self._range, info.size)

    def side_file(self, name: str, most_bytes: int) -> bytes | None:
        """As above, and kept: a data directory's are asked for by each of its partitions."""
        if self._side_files is None:
            self._side_files = {}
        if name not in self._side_files:
            self._side_files[name] = super().side_file(name, most_bytes)
        return self._side_files[name]

    def _gives_ranges(self, size: int) -> bool:
        """Whether parts of the file can be asked for. Servers of the web need not give them, nor say it."""
        if self._ranges is None:

            def try_one(fs: Any, path: str) -> bool:
                try:
                    with fs.open(path, size=size, cache_type="none") as file:
                        file.seek(1)
                        file.read(1)
                except ValueError:  # the whole file would come, of which nothing has been read
                    return False
                return True

            self._ranges = not self._http or size < 2 or self._ask(try_one)
        return self._ranges

    def _range(self, start: int, end: int) -> bytes:
        data: bytes = self._ask(lambda fs, path: fs.cat_file(path, start=start, end=end))
        if len(data) != end - start:
            raise OSError(errno.EIO, f"{len(data)} bytes came where {end - start} were asked for")
        return data

    def _whole(self) -> Spool:
        """All of a file of a server that does not give ranges, read in order."""
        if self._spool is None:

            def copy(fs: Any, path: str) -> Spool:
                spool = Spool()
                with fs.open(path, block_size=0) as stream:
                    while data := stream.read(_BLOCK_BYTES):
                        spool.write(data, self.text)
                return spool

            self._spool = self._ask(copy)
        return self._spool

    def _info(self) -> _Known:
        if self._known is None:
            found = self._ask(lambda fs, path: _told(fs.info(path)))
            self._known = _DIRECTORY if self._http and found.html else found  # a page of links
        return self._known

    def _list(self) -> dict[str, _Known]:
        shared = self._directory(self.key)
        if shared is not self:
            return shared._list()
        if self._listing is None:
            end = "/" if self._http else ""
            root = "/" if self._hadoop else ""
            found = self._ask(lambda fs, path: fs.ls(path.rstrip("/") + end or root, detail=True))
            named = {one["name"].rstrip("/").rpartition("/")[2]: _told(one) for one in found}
            named.pop(self.name, None)  # the placeholder of a "directory" in an object store
            self._listing = named
        return self._listing

    def _directory(self, url: str) -> RemoteLocation:
        if url not in self._family:
            self._family[url] = RemoteLocation(url, _DIRECTORY, family=self._family)
        return self._family[url]

    def _ask(self, question: Callable[[Any, str], T]) -> T:
        """What a filesystem answers. Raises OSError, without a URL in it, after some attempts."""
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                return question(*_filesystem(self._url, os.getpid()))
            except SourceError:
                raise
            except Exception as caught:  # each client has errors of its own, and few are OSErrors
                error = _cause(caught) if self._http else caught
                if isinstance(error, PermissionError) or getattr(error, "status", 0) in (401, 403):
                    raise PermissionError(errno.EACCES, os.strerror(errno.EACCES)) from None
                if isinstance(error, _FINAL) or getattr(error, "status", 0) in (404, 410):
                    raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT)) from None
                if attempt == _ATTEMPTS:
                    raise OSError(errno.EIO, f"{_words(error)} after {_ATTEMPTS} attempts") from None
                _filesystem.cache_clear()  # a connection may be dead
                time.sleep(_FIRST_WAIT_SECONDS * 2 ** (attempt - 1))
        raise AssertionError


def _words(error: BaseException) -> str:
    """What is wrong. The text of an error may hold what is secret."""
    name = type(error).__name__
    if "Credential" in name:
        return "there are no credentials for it"
    behind: BaseException | None = error
    while behind is not None:
        for kind, words in _REASONS:
            if isinstance(behind, kind):
                return words
        behind = behind.__cause__ or (None if behind.__suppress_context__ else behind.__context__)
    return name


def _cause(error: BaseException) -> BaseException:
    """Fsspec says of each failure over HTTP that the file is not there; what it comes from tells more."""
    return error.__cause__ if isinstance(error, FileNotFoundError) and error.__cause__ is not None else error


@lru_cache(_MOST_CACHED)
def _filesystem(url: str, process: int) -> tuple[Any, str]:
    """The filesystem of a URL and the path in it. process: connections do not survive a fork."""
    scheme = urlsplit(url).scheme
    options: dict[str, Any] = {"use_listings_cache": False}  # what is listed is kept here, and is less
    try:
        import fsspec

        if scheme in ("http", "https"):
            import aiohttp

            patience = aiohttp.ClientTimeout(total=None, sock_connect=_STALLED_SECONDS, sock_read=_STALLED_SECONDS)
            options["client_kwargs"] = {"timeout": patience}
        elif scheme == "sftp":
            from offdecode.sources.sftp import known_host

            return known_host(url, process)
        elif scheme == "hdfs":
            from offdecode.sources.hdfs import name_node

            return name_node(url, process)
        found: tuple[Any, str] = fsspec.url_to_fs(url, **options)
    except ImportError:
        reason = f"{scheme}:// needs more packages: pip install 'offdecode[{_EXTRAS[scheme]}]'"
        raise SourceError(RemoteLocation(url).text, reason) from None
    return found


class RemoteReader:
    """A file that is read by ranges; where it is read in order, blocks ahead are fetched meanwhile."""

    def __init__(self, fetch: Callable[[int, int], bytes], size: int, block_bytes: int = _BLOCK_BYTES) -> None:
        self._fetch = fetch
        self.grain = block_bytes
        self._pool: ThreadPoolExecutor | None = None
        self._blocks: dict[int, Future[bytes]] = {}
        self._latest: int | None = None
        self._untouched = True
        self.size = size

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)

    def read(self, position: int, size: int) -> bytes:
        size = max(min(size, self.size - position), 0)
        if self._untouched and 0 < size <= _SMALL_BYTES:
            self._untouched = False
            return self._fetch(position, position + size)  # often all that is wanted: what the file is
        target = bytearray(size)
        return bytes(target[: self.read_into(memoryview(target), position)])

    def read_into(self, target: memoryview, position: int) -> int:
        room = max(min(len(target), self.size - position), 0)
        filled = 0
        while filled < room:
            index, at = divmod(position + filled, self.grain)
            part = memoryview(self._block(index))[at : at + room - filled]
            target[filled : filled + len(part)] = part
            filled += len(part)
        return filled

    def changed(self, size: int) -> str | None:
        return None

    def _block(self, index: int) -> bytes:
        in_order = self._latest is None or index - 1 <= self._latest <= index
        ahead = _BLOCKS_AHEAD if in_order else 1
        self._latest = index
        last = min(index + ahead, -(-self.size // self.grain))
        for number in range(index, last):
            if number not in self._blocks:
                self._blocks[number] = self._submit(number)
        for number in [one for one in self._blocks if not index - 1 <= one < index + _BLOCKS_AHEAD]:
            self._blocks.pop(number).cancel()
        try:
            return self._blocks[index].result()
        except OSError:
            del self._blocks[index]
            raise

    def _submit(self, number: int) -> Future[bytes]:
        if self._pool is None:
            self._pool = ThreadPoolExecutor(_BLOCKS_AHEAD, "offdecode-fetch")
        start = number * self.grain
        return self._pool.submit(self._fetch, start, min(start + self.grain, self.size))
