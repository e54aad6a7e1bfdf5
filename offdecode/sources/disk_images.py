"""Images of disks to locations of the files on them, by the dissect libraries of forensic analysts.

File systems: ext2, ext3, ext4 and XFS, on the whole image, in partitions (GPT, MBR) and logical volumes (LVM). Images:
raw, qcow2, vmdk, E01. What hides behind another file (a qcow2's backing file, the extents that a vmdk's descriptor
names) is not opened: an image must not lead to files that nobody gave.

A file is named IMAGE!/PATH; where the disk is divided, IMAGE!/VOLUME/PATH.
"""

from __future__ import annotations

import errno
import io
import logging
import re
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, Self

from offdecode.errors import SourceError
from offdecode.model import Problem
from offdecode.sources.archives import ContentLocation, InsideLocation
from offdecode.sources.image_heads import EXT_MAGIC_AT, FORMS, IMAGE_HEAD_BYTES, is_lvm
from offdecode.sources.locations import Complain, Location
from offdecode.sources.readers import SECTOR_BYTES, Reader

_MOST_DEPTH = 64
_MOST_DIRECTORIES = 1 << 20
_EXTRA = "pip install 'offdecode[images]'"

_log = logging.getLogger("dissect")
_log.addHandler(logging.NullHandler())  # else it prints to stderr

_E01_NAME = re.compile(r"(?P<stem>.+)\.[EFes][0-9A-Za-z]{2}")


class DiskImage:
    """The file systems of an image. problems: of volumes that hold none that can be read."""

    flat = False

    def __init__(self, outer: Location) -> None:
        self.outer = outer
        self.problems: list[Problem] = []
        self._volumes: dict[str, Any] = {}
        with _telling(partial(self._damaged, "")):
            stream = _opened(outer)
            self._size = stream.size
            self._find(stream, "")
        self._whole = list(self._volumes) == [""]
        if not self._volumes and not self.problems:
            self._damaged("", "it looks like the image of a disk, but no ext or XFS file system is in it")

    @property
    def members(self) -> list[Location]:
        """Files are found by their directories."""
        return []

    @property
    def root(self) -> Location:
        roots = {name: system.root for name, system in self._volumes.items()}
        node = next(iter(roots.values())) if self._whole else roots
        return DiskLocation(self, "", node, self.outer.parent)

    def sized(self, node: Any) -> Any:
        """A file or directory, if it can be on the disk: to read a size made up takes its time, holes or not."""
        if node.size > self._size:
            raise OSError(errno.EIO, f"it claims to have {node.size} bytes, more than the disk")
        return node

    def _find(self, stream: Any, name: str) -> None:
        """Enter the file systems in a stream of bytes: one, or those in the volumes that it is divided into."""
        from dissect.extfs import ExtFS
        from dissect.volume.disk import Disk
        from dissect.volume.lvm import LVM2
        from dissect.xfs import XFS

        head = _bytes_of(stream, IMAGE_HEAD_BYTES)
        try:
            if head[:4] == b"XFSB":
                self._volumes[name] = XFS(stream)
            elif head[EXT_MAGIC_AT : EXT_MAGIC_AT + 2] == b"\x53\xef":
                self._volumes[name] = ExtFS(stream)
            elif is_lvm(head):
                group = LVM2(stream).volume_group
                for volume in group.lv:
                    self._find(volume.open(), f"{group.name}-{volume.name}")
            elif not name:
                stream.seek(0)
                for number, partition in enumerate(Disk(stream).partitions, 1):
                    self._find(partition.open(), f"{number}")
        except Exception as error:  # whatever a damaged image leads a library to
            self._damaged(name, f"{f'its volume {name}' if name else 'it'} cannot be read: {_reason(error)}")

    def _damaged(self, name: str, words: str) -> None:
        carve = "offdecode carve looks through its bytes for batches"
        self.problems.append(Problem("damaged_image", self.outer.text, f"{words}; {carve}"))


def open_image(outer: Location) -> DiskImage:
    """The image that a file is. Raises SourceError where the libraries that read images are missing, OSError."""
    _require_libraries(outer)
    return DiskImage(outer)


def raw_disk(outer: Location) -> Location:
    """The bytes of the disk that a qcow2, vmdk or E01 image is of; any other file as it is. Raises as `open_image`."""
    with outer.open() as reader:
        if reader.read(0, 4) not in FORMS:
            return outer
    _require_libraries(outer)
    with _telling():
        stream = _opened(outer)
    return ContentLocation(outer, "raw", lambda: _NodeReader(stream, stream.size))


def _require_libraries(outer: Location) -> None:
    try:
        import dissect.evidence
        import dissect.extfs
        import dissect.hypervisor
        import dissect.volume
        import dissect.xfs  # noqa: F401
    except ImportError:
        message = f"is the image of a disk: {_EXTRA} to read it"
        raise SourceError(outer.text, message) from None


class DiskLocation(InsideLocation):
    """A file or directory on a disk. node: dissect's inode; or volumes by name."""

    def __init__(self, image: DiskImage, path: str, node: Any, above: Location) -> None:
        super().__init__(image.outer, path)
        self._image = image
        self._node = node
        self._above = above
        self._inside: dict[str, Any] | None = None

    @property
    def name(self) -> str:
        return self._path.rpartition("/")[2] or self._outer.name

    @property
    def container(self) -> Location | None:
        return self._outer.container  # a disk is no file that was handed over, and takes long to read

    @property
    def parent(self) -> Location:
        return self._above

    def exists(self) -> bool:
        return self._node is not None

    def is_file(self) -> bool:
        return self._is(stat.S_IFREG)

    def is_directory(self) -> bool:
        return isinstance(self._node, dict) or self._is(stat.S_IFDIR)

    def _is(self, kind: int) -> bool:
        with _telling():
            return self._node is not None and not isinstance(self._node, dict) and self._node.filetype == kind

    def child(self, name: str) -> DiskLocation:
        path = f"{self._path}/{name}" if self._path else name
        return DiskLocation(self._image, path, self._listing().get(name), self)

    def names(self) -> list[str]:
        return sorted(self._listing())

    def _listing(self) -> dict[str, Any]:
        if self._inside is None:
            if not self.is_directory():
                return {}
            with _telling(self._damaged):
                found = self._node if isinstance(self._node, dict) else self._image.sized(self._node).listdir()
                self._inside = {
                    name: node for name, node in found.items() if name not in (".", "..") and "/" not in name
                }
        return self._inside

    def open(self) -> Reader:
        with _telling(self._damaged):
            return _NodeReader(self._image.sized(self._node).open(), self._node.size)

    def _damaged(self, words: str) -> None:
        problem = Problem("damaged_image", self.text, words)
        if problem not in self._image.problems:
            self._image.problems.append(problem)

    def directories(self, pattern: re.Pattern[str], complain: Complain) -> Iterator[Location]:
        """As above; a damaged file system may hold a directory in itself: each is gone into once."""
        return self._below(pattern, complain, set(), 0)

    def _below(
        self, pattern: re.Pattern[str], complain: Complain, seen: set[tuple[int, int]], depth: int
    ) -> Iterator[Location]:
        try:
            inside = [one for one in map(self.child, self.names()) if one._enters(seen, complain)]
        except OSError as error:
            complain(self, error)
            return
        yield from (one for one in inside if pattern.fullmatch(one.name))
        for one in inside:
            if not pattern.fullmatch(one.name) and depth < _MOST_DEPTH:
                yield from one._below(pattern, complain, seen, depth + 1)

    def _enters(self, seen: set[tuple[int, int]], complain: Complain) -> bool:
        """Whether it is a directory that was not met before."""
        try:
            if isinstance(self._node, dict) or not self.is_directory() or len(seen) >= _MOST_DIRECTORIES:
                return False
        except OSError as error:
            complain(self, error)
            return False
        known = (id(getattr(self._node, "extfs", None) or self._node.xfs), self._node.inum)
        new = known not in seen
        seen.add(known)
        return new


class _NodeReader:
    """An open file of an image."""

    grain = SECTOR_BYTES

    def __init__(self, stream: Any, size: int) -> None:
        self._stream = stream
        self.size = size

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        pass

    def read(self, position: int, size: int) -> bytes:
        wanted = max(min(size, self.size - position), 0)
        with _telling():
            self._stream.seek(position)
            return bytes(self._stream.read(wanted)) if wanted else b""

    def read_into(self, target: memoryview, position: int) -> int:
        data = self.read(position, len(target))
        target[: len(data)] = data
        return len(data)

    def changed(self, size: int) -> str | None:
        return None


class _ReaderStream(io.RawIOBase):
    """A reader as a file object."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._position = 0
        self.size = reader.size

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self.size}[whence]
        self._position = max(start + offset, 0)
        return self._position

    def readinto(self, target: Any) -> int:
        got = self._reader.read_into(memoryview(target).cast("B"), self._position)
        self._position += got
        return got


def _opened(outer: Location) -> Any:
    """The bytes of the disk, as a file object; it stays open."""
    stream = _ReaderStream(outer.open().__enter__())
    form = FORMS.get(_bytes_of(stream, 4))
    if form == "qcow2":
        from dissect.hypervisor.disk.qcow2 import QCow2

        return QCow2(stream).open()
    if form == "vmdk":
        from dissect.hypervisor.disk.vmdk import VMDK

        return VMDK(stream)
    if form == "E01":
        from dissect.evidence.ewf import EWF

        return EWF([_ReaderStream(one.open().__enter__()) for one in _parts_of(outer)]).open()
    return stream


def _parts_of(outer: Location) -> list[Location]:
    """The files of an E01 image, of which one is given: NAME.E01, NAME.E02 and so on."""
    match = _E01_NAME.fullmatch(outer.name)
    if match is None:
        return [outer]
    directory = outer.parent
    pattern = re.compile(re.escape(match["stem"]) + r"\.[EFes][0-9A-Za-z]{2}")
    return [directory.child(name) for name in directory.names() if pattern.fullmatch(name)] or [outer]


def _bytes_of(stream: Any, size: int) -> bytes:
    stream.seek(0)
    found = bytes(stream.read(size))
    stream.seek(0)
    return found


class _Words(logging.Handler):
    """Hands on what the libraries write to their logs."""

    def __init__(self, damaged: Callable[[str], None]) -> None:
        super().__init__()
        self._damaged = damaged

    def emit(self, record: logging.LogRecord) -> None:
        self._damaged(f"the file system is damaged here: {record.getMessage()}")


@contextmanager
def _telling(damaged: Callable[[str], None] | None = None) -> Iterator[None]:
    """What the libraries raise on damage is what the system says of a file that cannot be read.

    damaged: takes what they merely write to their logs.
    """
    words = None if damaged is None else _Words(damaged)
    if words is not None:
        _log.addHandler(words)
    try:
        yield
    except (OSError, SourceError):
        raise
    except Exception as error:  # they raise whatever their parsing leads to
        raise OSError(errno.EIO, f"the file system is damaged here: {_reason(error)}") from None
    finally:
        if words is not None:
            _log.removeHandler(words)


def _reason(error: Exception) -> str:
    words = re.sub(r":? *\[?<[^<>]* at 0x[0-9a-f]+>\]?", "", f"{type(error).__name__} {error}")
    return words.strip().replace("\n", " ")[:200]
