"""Where evidence lies: files and directories, whatever holds them.

Segments and the small files beside them are found and opened through a Location, never by a path. A new form of
input is a subclass.
"""

from __future__ import annotations

import os
import re
import stat
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

from offdecode.model import path_text
from offdecode.sources.readers import FileReader, Reader
from offdecode.system import open_to_read

Complain = Callable[["Location", OSError], None]
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+]+:/")  # one letter and a colon are a drive
LIVE_URL = "kafka:/+"
_LIVE_SECRETS = re.compile(r"(?<=/).*@|[?].*", re.DOTALL)


def is_standard_input(path: Path) -> bool:
    """Whether a path names standard input. A file of such a name goes first."""
    return str(path) in ("-", "/dev/stdin") and not path.is_file()


def is_url(path: Path) -> bool:
    """Whether a path looks like a URL. A file of such a name goes first."""
    return _URL.match(path.as_posix()) is not None and not path.exists()


def is_live(path: Path) -> bool:
    """Whether a path names a running cluster."""
    return is_url(path) and re.match(LIVE_URL, path.as_posix(), re.I) is not None


def live_text(url: str) -> str:
    """A URL of a running cluster, or what is meant for a URL, without what may be secret."""
    return _LIVE_SECRETS.sub("", url)


def local_path(path: Path) -> Path | None:
    """The file or directory of this machine that a path or a `file:` URL names; None for what is elsewhere."""
    if is_standard_input(path):
        return None
    if not is_url(path):
        return path
    text = path.as_posix()
    if not text.lower().startswith("file:/"):
        return None
    from urllib.request import url2pathname  # takes long to import

    return Path(url2pathname(urlsplit(text).path))


class ToldPartition(Protocol):
    """A partition of which its broker tells, and no file: offsets and times of records, in ms since 1970 UTC.

    end: the high watermark.
    """

    start: int
    end: int

    def first_offset_after(self, time: int) -> int:
        """The offset of the first record that is later than a time, `end` = none is. OSError where it does not tell."""

    def note(self, offset: int) -> None:
        """That it is going to be asked about, about the time of an offset, too: what many are asked is had together."""

    def time_of(self, offset: int) -> int | None:
        """The latest time of the records up to an offset; None = it does not tell."""


class Location(ABC):
    """A file or directory. `text` names it in rows and problems; OSError where the system refuses an answer.

    served: a running broker gives what is in it, which lacks nothing but what the log cleaner has removed.
    """

    __slots__ = ()
    served = False

    @property
    @abstractmethod
    def name(self) -> str:
        """The last part of its path."""

    @property
    @abstractmethod
    def text(self) -> str: ...

    @property
    @abstractmethod
    def parent(self) -> Location: ...

    @property
    @abstractmethod
    def key(self) -> str:
        """The same for a directory, however it was reached, as far as the names tell."""

    @property
    def identity(self) -> str:
        """The same for two names of one file."""
        return self.key

    @property
    @abstractmethod
    def version(self) -> object:
        """Another value when the file has changed. OSError where it cannot be told."""

    @property
    def survives_fork(self) -> bool:
        """Whether a forked process can read it."""
        return True

    @property
    def container(self) -> Location | None:
        """The archive or compressed file that it lies in; None where it lies in none."""
        return None

    @abstractmethod
    def exists(self) -> bool: ...

    @abstractmethod
    def is_file(self) -> bool: ...

    @abstractmethod
    def is_directory(self) -> bool: ...

    @abstractmethod
    def child(self, name: str) -> Location: ...

    @abstractmethod
    def names(self) -> list[str]:
        """Names of what is in a directory, sorted."""

    @abstractmethod
    def open(self) -> Reader: ...

    def directories(self, pattern: re.Pattern[str], complain: Complain) -> Iterator[Location]:
        """The directories at any depth whose name is of the pattern; those are not looked into."""
        try:
            inside = [self.child(name) for name in self.names()]
        except OSError as error:
            complain(self, error)
            return
        deeper = [one for one in inside if one.is_directory()]
        yield from (one for one in deeper if pattern.fullmatch(one.name))
        for one in deeper:
            if not pattern.fullmatch(one.name):
                yield from one.directories(pattern, complain)

    def told(self) -> ToldPartition | None:
        """What a broker tells of the partition of which this is the directory; None where files tell of it.

        OSError where it should tell, and does not.
        """
        return None

    def setting(self, name: str) -> str | None:
        """What all brokers of the cluster of which this is the data directory have for a setting; None = not told."""
        return None

    def side_file(self, name: str, most_bytes: int) -> bytes | None:
        """All of a file of at most so many bytes in this directory; None where it is not there, or anything else."""
        try:
            found = self.child(name)
            if not found.is_file():
                return None
            with found.open() as reader:
                return reader.read(0, reader.size) if reader.size <= most_bytes else None
        except OSError:
            return None


class LocalLocation(Location):
    """A file or directory of this machine."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def name(self) -> str:
        return self.path.name or self.path.absolute().name

    @property
    def text(self) -> str:
        return path_text(self.path)

    @property
    def parent(self) -> Location:
        return LocalLocation(self.path.absolute().parent)

    @property
    def key(self) -> str:
        return str(self.path.absolute())

    @property
    def identity(self) -> str:
        return os.path.realpath(self.path)

    @property
    def version(self) -> object:
        found = self.path.stat()
        return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns

    def exists(self) -> bool:
        return self.path.exists()

    def is_file(self) -> bool:
        return self.path.is_file() or self.path.is_block_device()

    def is_directory(self) -> bool:
        return self.path.is_dir()

    def child(self, name: str) -> Location:
        return LocalLocation(self.path / name)

    def names(self) -> list[str]:
        return sorted(os.listdir(self.path))

    def open(self) -> Reader:
        return FileReader(self.path)

    def directories(self, pattern: re.Pattern[str], complain: Complain) -> Iterator[Location]:
        """As above; a link is taken for the directory that it leads to, but not looked into."""

        def on_error(error: OSError) -> None:
            complain(LocalLocation(Path(error.filename or self.path)), error)

        for place, names, _ in os.walk(self.path, onerror=on_error):
            for name in sorted(names):
                if pattern.fullmatch(name):
                    yield LocalLocation(Path(place, name))
            names[:] = [name for name in names if not pattern.fullmatch(name)]

    def side_file(self, name: str, most_bytes: int) -> bytes | None:
        """As above, of a regular file only."""
        try:
            if not (self.path / name).is_file():
                return None
            descriptor = open_to_read(self.path / name)
        except OSError:
            return None
        try:
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode) or found.st_size > most_bytes:
                return None
            with open(descriptor, "rb", closefd=False) as file:
                return file.read()
        except OSError:
            return None
        finally:
            os.close(descriptor)


def listed(directory: Location) -> list[str]:
    """Names of what is in a directory, sorted; none where it cannot be listed, or is no directory."""
    try:
        return directory.names()
    except OSError:
        return []
